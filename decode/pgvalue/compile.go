package pgvalue

import (
	"fmt"
	"strconv"

	"millrace/internal/record"
)

func itoa(n int) string { return strconv.Itoa(n) }

// compiler carries what every part of a column's compilation needs.
type compiler struct {
	resolver
	modes Modes
	path  Path
	inKey bool
}

// Compile makes the plan of a column. The plan's Schema is interned in in and nil
// when Debezium leaves the column out. The error says which mode is not known;
// types never fail: what nobody knows is opaque or left out.
func Compile(col Column, types Types, modes Modes, path Path, in *record.Interner) (*Plan, error) {
	if err := modes.check(); err != nil {
		return nil, fmt.Errorf("compile column %q: %w", col.Name, err)
	}
	c := &compiler{resolver: resolver{types}, modes: modes, path: path, inKey: col.InKey}
	p := &Plan{Name: col.Name}
	if modes.FieldName != nil {
		p.Name = modes.FieldName(col.Name)
	}
	s, known := c.shapeOf(&col, path)
	if !known {
		t := &Type{OID: col.TypeOID, Name: "unknown"}
		s = shape{typ: t, root: t, length: -1, scale: -1, scaleSet: true}
	}
	cd := c.codecOf(s, false)
	if cd == nil {
		return p, nil
	}
	def := c.defaultOf(s, cd, col.Default)
	schema := cd.schema.Copy()
	schema.Optional = cd.optional || !col.NotNull
	schema.Params = append([]record.Param(nil), cd.schema.Params...)
	schema.Default = def
	m := newMask(&col, s, cd)
	m.addParams(schema, &col, s, path)
	p.Schema = in.Intern(schema)
	p.Decode = m.wrap(cd.decode)
	if bin := c.binaryOf(s, cd); bin != nil {
		p.DecodeBinary = m.wrap(bin)
	}

	var null *record.Datum
	switch {
	case !col.NotNull:
	case def != nil:
		null = def
	case cd.fallback != nil:
		var b record.Batch
		v := cd.fallback(&b)
		null = record.NewDatum(&b, v)
	}
	p.Null = m.applyTo(null, cd.decodesBuffer())
	toast, ok := c.toastOf(s, cd)
	p.Toast, p.ToastErr = m.applyTo(toast, false), !ok
	if toast == nil && ok {
		p.Toast = nil
		p.ToastErr = col.NotNull
	}
	return p, nil
}

// check refuses modes that nobody knows; empty means the default.
func (m *Modes) check() error {
	for _, o := range []struct {
		what, have string
		known      []string
	}{
		{"decimal.handling.mode", m.Decimal, []string{"precise", "string", "double"}},
		{"time.precision.mode", m.Time, []string{"adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"}},
		{"binary.handling.mode", m.Binary, []string{"bytes", "base64", "base64-url-safe", "hex"}},
		{"hstore.handling.mode", m.Hstore, []string{"json", "map"}},
		{"interval.handling.mode", m.Interval, []string{"numeric", "string"}},
	} {
		ok := o.have == ""
		for _, k := range o.known {
			ok = ok || k == o.have
		}
		if !ok {
			return fmt.Errorf("%s %q is not one of %v", o.what, o.have, o.known)
		}
	}
	return nil
}

// codecOf picks the codec of a column, or of an array's element; nil leaves the
// column out.
func (c *compiler) codecOf(s shape, inArray bool) *codec {
	mode := c.modes.Time
	if s.root.Kind == 'e' {
		return codecEnum(s.root.Labels)
	}
	if s.root.Elem != 0 && !inArray {
		return c.arrayOf(s)
	}
	switch s.root.OID {
	case oidBool:
		return &codec{schema: plain(record.Boolean), decode: decodeBool, fallback: func(*record.Batch) record.Cell { return record.BoolCell(false) }}
	case oidInt2:
		return &codec{schema: plain(record.Int16), decode: decodeInt2, fallback: zeroInt(record.Int16)}
	case oidInt4:
		return &codec{schema: plain(record.Int32), decode: decodeInt4, fallback: zeroInt(record.Int32)}
	case oidInt8:
		return &codec{schema: plain(record.Int64), decode: decodeInt8, fallback: zeroInt(record.Int64)}
	case oidOID:
		return &codec{schema: plain(record.Int64), decode: decodeOID, fallback: zeroInt(record.Int64)}
	case oidFloat4:
		return &codec{schema: plain(record.Float32), decode: decodeFloat4, fallback: func(*record.Batch) record.Cell { return record.Float32Cell(0) }}
	case oidFloat8:
		return &codec{schema: plain(record.Float64), decode: decodeFloat8, fallback: func(*record.Batch) record.Cell { return record.Float64Cell(0) }}
	case oidNumeric:
		return c.numeric(s)
	case oidMoney:
		return codecMoney(c.modes.Decimal, c.modes.MoneyDigits)
	case oidChar, oidBPChar, oidVarchar, oidText:
		return codecText(plain(record.String))
	case oidName:
		if c.path == Stream && !c.modes.IncludeUnknown && !inArray && !c.inKey {
			return codecUnreadable()
		}
		return codecText(plain(record.String))
	case oidInet, oidCidr, oidMacaddr, oidMacaddr8,
		oidInt4Range, oidInt8Range, oidNumRange, oidTSRange, oidTSTZRange, oidDateRange:
		return codecText(plain(record.String))
	case oidUUID:
		return codecText(logical(record.String, "io.debezium.data.Uuid"))
	case oidJSON, oidJSONB:
		return codecText(logical(record.String, "io.debezium.data.Json"))
	case oidXML:
		return codecText(logical(record.String, "io.debezium.data.Xml"))
	case oidTSVector:
		t := codecText(logical(record.String, "io.debezium.data.Tsvector"))
		t.notOptionalElem = true
		return t
	case oidBytea:
		return codecBytea(newBinaryForm(c.modes.Binary))
	case oidBit:
		return codecBits(s.length, false)
	case oidVarbit:
		return codecBits(s.length, true)
	case oidDate:
		return codecDate(mode, inArray || c.path == Snapshot)
	case oidTime:
		return codecTime(mode, s.scale, inArray)
	case oidTimestamp:
		return codecTimestamp(mode, s.scale, inArray)
	case oidTimestampTZ:
		return codecTimestampTZ(s.scale, inArray)
	case oidTimeTZ:
		return codecTimeTZ(inArray)
	case oidInterval:
		return codecInterval(c.modes.Interval)
	case oidPoint:
		return codecPoint()
	}
	if cd := c.extensionCodec(s); cd != nil {
		return cd
	}
	return c.unknown(s)
}

// extensionCodec knows types of extensions by name, in whatever schema they are.
func (c *compiler) extensionCodec(s shape) *codec {
	if s.root.Kind != 'b' && s.root.Kind != 0 || s.root.Elem != 0 {
		return nil
	}
	switch s.root.Name {
	case "geometry":
		return codecGeometry(false)
	case "geography":
		return codecGeometry(true)
	case "citext":
		return codecText(plain(record.String))
	case "hstore":
		return codecHstore(c.modes.Hstore)
	case "ltree":
		t := codecText(logical(record.String, "io.debezium.data.Ltree"))
		t.noNullElem = true
		return t
	case "isbn":
		t := codecText(plain(record.String))
		t.notOptionalElem = true
		return t
	case "vector":
		return codecVector(false)
	case "halfvec":
		return codecVector(true)
	case "sparsevec":
		return codecSparse()
	}
	return nil
}

// unknown is a type without a form of its own.
func (c *compiler) unknown(s shape) *codec {
	if !c.modes.IncludeUnknown {
		return nil
	}
	var normalise func(dst, t []byte) []byte
	switch s.root.OID {
	case oidBox, oidCircle, oidLine, oidLseg, oidPath, oidPolygon:
		normalise = normaliseGeometric
	}
	return codecOpaque(newBinaryForm(c.modes.Binary), normalise)
}

// numberForm is what Debezium reads out of a numeric's length and scale.
type numberForm struct {
	variable bool // no modifier: VariableScaleDecimal in precise mode
	fixed    bool // values and defaults take the column's scale
}

func (c *compiler) numberOf(s shape) numberForm {
	return numberForm{
		variable: (s.length == 0 || s.length == numericDisplay) && s.scale == 0,
		fixed:    s.scaleSet && s.length != numericDisplay,
	}
}

func (c *compiler) numeric(s shape) *codec {
	form := c.numberOf(s)
	switch c.modes.Decimal {
	case "double":
		return &codec{schema: plain(record.Float64), decode: decodeDecimalDouble,
			fallback: func(*record.Batch) record.Cell { return record.Float64Cell(0) }}
	case "string":
		scale := -1
		if form.fixed {
			scale = s.scale
		}
		cd := &codec{schema: plain(record.String), decode: decodeDecimalText(scale), toast: toastText}
		cd.fallback = func(b *record.Batch) record.Cell {
			v, _ := cd.decode(b, []byte("0"))
			return v
		}
		return cd
	}
	if form.variable {
		sc := logical(record.Struct, "io.debezium.data.VariableScaleDecimal")
		sc.Doc = "Variable scaled decimal"
		sc.Fields = []record.Field{{Name: "scale", Schema: record.PlainInt32}, {Name: "value", Schema: record.PlainBytes}}
		return &codec{schema: sc, decode: decodeVariable, fallback: func(b *record.Batch) record.Cell {
			v, _ := decodeVariable(b, []byte("0"))
			return v
		}}
	}
	sc := logical(record.Bytes, "org.apache.kafka.connect.data.Decimal")
	sc.Params = []record.Param{{Key: "scale", Value: itoa(s.scale)}, {Key: "connect.decimal.precision", Value: itoa(s.length)}}
	return &codec{schema: sc, decode: decodeDecimal(s.scale), fallback: func(b *record.Batch) record.Cell {
		return b.BytesCell(record.Bytes, []byte{0})
	}}
}

// arrayOf picks the codec of an array column. Some arrays Debezium always leaves
// out; an array of a domain or of an unknown type is an array of opaque bytes.
func (c *compiler) arrayOf(s shape) *codec {
	elem := c.get(s.root.Elem)
	if elem == nil {
		return nil
	}
	if elem.Kind != 'd' {
		switch elem.OID {
		case oidMoney, oidName, oidInterval, oidVarbit, oidXML, oidPoint, oidRefcursor:
			return nil
		case oidBit:
			return codecBitArray(s.length)
		}
	}
	es := shape{typ: elem, root: elem, length: s.length, scale: s.scale, scaleSet: s.scaleSet}
	var ec *codec
	if elem.Kind == 'd' {
		ec = c.unknown(es)
	} else {
		ec = c.codecOf(es, true)
	}
	if ec == nil {
		return nil
	}
	if c.arrayBase(s.root) == s.root.OID && !optionalElements(elem) {
		ec.notOptionalElem = true
	}
	if s.root.OID == oidInt2Vector || s.root.OID == oidOIDVector {
		return codecNumberVector(ec)
	}
	delim := byte(',')
	switch {
	case elem.OID == oidBox:
		delim = ';'
	case elem.Name == "geometry" || elem.Name == "geography":
		delim = ':'
	}
	return codecArray(ec, delim)
}

// optionalElements are the extension types whose arrays Debezium lists one by one;
// it makes the elements of all other arrays that are not built in required.
func optionalElements(elem *Type) bool {
	switch elem.Name {
	case "geometry", "geography", "citext", "hstore", "ltree":
		return elem.Kind == 'b' || elem.Kind == 0
	}
	return false
}
