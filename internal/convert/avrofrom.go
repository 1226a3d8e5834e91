package convert

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// The names that Confluent's converter uses in Avro schemas.
const (
	avroNamespace     = "io.confluent.connect.avro"
	avroDefaultRecord = "ConnectDefault"
	avroDefaultFull   = "io.confluent.connect.avro.ConnectDefault"
	avroMapEntry      = "MapEntry"

	propConnectDoc     = "connect.doc"
	propConnectVersion = "connect.version"
	propConnectParams  = "connect.parameters"
	propConnectDefault = "connect.default"
	propConnectName    = "connect.name"
	propConnectType    = "connect.type"
	propInternalType   = "connect.internal.type"
	propLogicalType    = "logicalType"

	paramRecordDoc        = "io.confluent.connect.avro.record.doc"
	paramFieldDoc         = "io.confluent.connect.avro.field.doc."
	paramEnum             = "io.confluent.connect.avro.Enum"
	paramDecimalPrecision = "connect.decimal.precision"
	defaultPrecision      = 64
)

// avroOptions are the data options of the AvroConverter.
type avroOptions struct {
	enhanced       bool // enhanced.avro.schema.support
	metaData       bool // connect.meta.data
	scrub          bool // scrub.invalid.names
	ignoreDefaults bool // ignore.default.for.nullables
	optionalKeys   bool // allow.optional.map.keys
	docDefault     bool // discard.type.doc.default
	flattenUnions  bool // flatten.singleton.unions
	sumTypes       bool // generalized.sum.type.support
}

// avroBuilder makes the Avro schema of a Connect schema.
type avroBuilder struct {
	avroOptions
	unnamed int // records that had no name so far
	named   map[string]*avroSchema
}

// fromConnect returns the Avro schema that the Confluent converter registers.
func (o avroOptions) fromConnect(s *record.Schema) (*avroSchema, error) {
	b := avroBuilder{avroOptions: o, named: map[string]*avroSchema{}}
	return b.build(s)
}

// build returns the schema, a union with null when it is optional. A default
// decides which branch comes first.
func (b *avroBuilder) build(s *record.Schema) (*avroSchema, error) {
	t, err := b.base(s)
	if err != nil || !s.Optional {
		return t, err
	}
	null := &avroSchema{kind: avroNull}
	if hasAvroDefault(s) {
		return &avroSchema{kind: avroUnion, branches: []*avroSchema{t, null}}, nil
	}
	return &avroSchema{kind: avroUnion, branches: []*avroSchema{null, t}}, nil
}

func hasDefault(s *record.Schema) bool { return s.Default != nil && !s.Default.Root.IsNull() }

// hasAvroDefault reports whether a schema has a default that an Avro field can
// have. NaN and the infinities are none: JSON cannot write them, and the registry
// refuses a schema that tries. They stay in connect.default.
func hasAvroDefault(s *record.Schema) bool {
	if !hasDefault(s) {
		return false
	}
	c := s.Default.Root
	return c.Kind() != record.Float32 && c.Kind() != record.Float64 || c.Float()-c.Float() == 0
}

// base returns the schema without regard to optional.
func (b *avroBuilder) base(s *record.Schema) (*avroSchema, error) {
	t := &avroSchema{}
	var connectType string
	var err error
	switch s.Type {
	case record.Int8, record.Int16:
		t.kind, connectType = avroInt, s.Type.String()
	case record.Int32:
		t.kind = avroInt
	case record.Int64:
		t.kind = avroLong
	case record.Float32:
		t.kind = avroFloat
	case record.Float64:
		t.kind = avroDouble
	case record.Boolean:
		t.kind = avroBoolean
	case record.String:
		t.kind = avroString
		if _, ok := s.Param(paramEnum); ok && b.enhanced {
			t = b.enum(s)
		}
	case record.Bytes:
		t.kind = avroBytes
		if s.Name == nameDecimal {
			if err := decimalProps(t, s); err != nil {
				return nil, err
			}
		}
	case record.Array:
		t.kind = avroArray
		if s.Elem == nil {
			return nil, valueErrorf("an array without element schema cannot be written as Avro")
		}
		t.elem, err = b.build(s.Elem)
	case record.Map:
		t, err = b.mapType(s)
	case record.Struct:
		var again bool
		if t, again, err = b.structType(s); again {
			return t, err
		}
	default:
		err = valueErrorf("Unknown schema type: %s", s.Type)
	}
	if err != nil {
		return nil, err
	}
	return t, b.connectProps(t, s, connectType)
}

// decimalProps puts scale and precision in front of all other properties.
func decimalProps(t *avroSchema, s *record.Schema) error {
	scale, err := decimalScale(s)
	if err != nil {
		return err
	}
	precision := defaultPrecision
	if text, ok := s.Param(paramDecimalPrecision); ok {
		if precision, err = strconv.Atoi(text); err != nil {
			return valueErrorf("Invalid precision parameter found in Decimal schema: %s", text)
		}
	}
	t.add("scale", strconv.AppendInt(nil, int64(scale), 10))
	t.add("precision", strconv.AppendInt(nil, int64(precision), 10))
	return nil
}

// connectProps adds what only Connect knows, in Confluent's order.
func (b *avroBuilder) connectProps(t *avroSchema, s *record.Schema, connectType string) error {
	if b.metaData {
		if s.Doc != "" || s.EmptyDoc {
			t.addText(propConnectDoc, s.Doc)
		}
		if s.Version != 0 {
			t.add(propConnectVersion, strconv.AppendInt(nil, int64(s.Version), 10))
		}
		if len(s.Params) > 0 {
			text := []byte{'{'}
			for i, p := range s.Params {
				if i > 0 {
					text = append(text, ',')
				}
				text = append(appendAvroText(text, p.Key), ':')
				text = appendAvroText(text, p.Value)
			}
			t.add(propConnectParams, append(text, '}'))
		}
		if hasDefault(s) {
			text, err := b.defaultJSON(nil, s, s.Default.Batch(), s.Default.Root)
			if err != nil {
				return err
			}
			t.add(propConnectDefault, text)
		}
		if s.Name != "" {
			t.addText(propConnectName, s.Name)
		}
		if connectType != "" {
			t.addText(propConnectType, connectType)
		}
	}
	switch s.Name {
	case nameDecimal:
		if s.Type == record.Bytes {
			t.addText(propLogicalType, "decimal")
		}
	case nameDate:
		t.addText(propLogicalType, "date")
	case nameTime:
		t.addText(propLogicalType, "time-millis")
	case nameTimestamp:
		t.addText(propLogicalType, "timestamp-millis")
	}
	for _, p := range s.Params {
		if strings.HasPrefix(p.Key, "avro") {
			t.addText(p.Key, p.Value)
		}
	}
	return nil
}

// enum makes an Avro enum of a string that carries Confluent's Enum parameters.
func (b *avroBuilder) enum(s *record.Schema) *avroSchema {
	full, _ := s.Param(paramEnum)
	t := &avroSchema{kind: avroEnum}
	t.namespace, t.name = b.split(full)
	for _, p := range s.Params {
		if sym, ok := strings.CutPrefix(p.Key, paramEnum+"."); ok {
			t.symbols = append(t.symbols, sym)
		}
	}
	return t
}

// isAvroMap reports whether a map is an Avro map; else it is an array of entries.
func (b *avroBuilder) isAvroMap(s *record.Schema) bool {
	return s.Key.Type == record.String && (!s.Key.Optional || b.optionalKeys)
}

func (b *avroBuilder) mapType(s *record.Schema) (*avroSchema, error) {
	if s.Key == nil || s.Elem == nil {
		return nil, valueErrorf("a map without key or value schema cannot be written as Avro")
	}
	if b.isAvroMap(s) {
		elem, err := b.build(s.Elem)
		return &avroSchema{kind: avroMap, elem: elem}, err
	}
	entry := &avroSchema{kind: avroRecord, namespace: avroNamespace, name: avroMapEntry}
	if s.Name != "" {
		entry.namespace, entry.name = b.split(s.Name)
		entry.addText(propInternalType, avroMapEntry)
	}
	for _, f := range []record.Field{{Name: "key", Schema: s.Key}, {Name: "value", Schema: s.Elem}} {
		field, err := b.field(s, f)
		if err != nil {
			return nil, err
		}
		entry.fields = append(entry.fields, field)
	}
	return &avroSchema{kind: avroArray, elem: entry}, nil
}

// structType makes a record. A struct without name gets ConnectDefault, the
// second one ConnectDefault2, and so on. Avro knows one record per name: a name
// that was there before stands for the first one (again is true), and the plan
// refuses a struct that does not fit it.
func (b *avroBuilder) structType(s *record.Schema) (t *avroSchema, again bool, err error) {
	t = &avroSchema{kind: avroRecord}
	if s.Name != "" {
		t.namespace, t.name = b.split(s.Name)
	} else {
		b.unnamed++
		t.namespace, t.name = avroNamespace, avroDefaultRecord
		if b.unnamed > 1 {
			t.name += strconv.Itoa(b.unnamed)
		}
	}
	if first := b.named[t.fullName()]; first != nil {
		return first, true, nil
	}
	if err := checkAvroName(t.name); err != nil {
		return nil, false, err
	}
	b.named[t.fullName()] = t
	t.doc, _ = s.Param(paramRecordDoc)
	seen := map[string]string{}
	for _, f := range s.Fields {
		field, err := b.field(s, f)
		if err != nil {
			return nil, false, within(f.Name, err)
		}
		if err := checkAvroName(field.name); err != nil {
			return nil, false, err
		}
		if other, ok := seen[field.name]; ok {
			return nil, false, valueErrorf("the fields %q and %q of %s both become the Avro field %q; rename one of them", other, f.Name, s.Name, field.name)
		}
		seen[field.name] = f.Name
		t.fields = append(t.fields, field)
	}
	return t, false, nil
}

// checkAvroName refuses a name that Avro cannot have, in the words of its Java
// library. Namespaces are left to the registry, as there.
func checkAvroName(name string) error {
	what := ""
	for i, r := range name {
		ok := r == '_' || unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r)
		if !ok && i == 0 {
			what = "Illegal initial character: "
			break
		}
		if !ok {
			what = "Illegal character in: "
			break
		}
	}
	if name == "" {
		what = "Empty name"
	}
	if what == "" {
		return nil
	}
	return &errs.Error{Java: "org.apache.avro.SchemaParseException", Msg: what + name}
}

func (b *avroBuilder) field(parent *record.Schema, f record.Field) (avroField, error) {
	t, err := b.build(f.Schema)
	if err != nil {
		return avroField{}, err
	}
	out := avroField{name: b.name(f.Name), typ: t}
	out.doc, _ = parent.Param(paramFieldDoc + f.Name)
	if b.docDefault && f.Schema.Doc != "" {
		out.doc = f.Schema.Doc
	}
	switch {
	case hasAvroDefault(f.Schema):
		out.def, err = b.defaultJSON(nil, f.Schema, f.Schema.Default.Batch(), f.Schema.Default.Root)
	case f.Schema.Optional:
		out.def = []byte("null")
	}
	return out, err
}

// split cuts a full name at its last dot, scrubbed if that is asked for.
func (b *avroBuilder) split(full string) (namespace, name string) {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		namespace, name = full[:i], full[i+1:]
	} else {
		name = full
	}
	if b.scrub {
		parts := strings.Split(namespace, ".")
		for i := range parts {
			parts[i] = scrubName(parts[i])
		}
		namespace = strings.Join(parts, ".")
	}
	return namespace, b.name(name)
}

func (b *avroBuilder) name(n string) string {
	if b.scrub {
		return scrubName(n)
	}
	return n
}

// scrubName makes a valid Avro name: URL-encoded, what is still no letter, digit
// or underscore becomes an underscore, and a leading digit gets an x in front.
func scrubName(n string) string {
	if n == "" {
		return n
	}
	out := []byte(url.QueryEscape(n))
	for i, c := range out {
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			out[i] = '_'
		}
	}
	if out[0] >= '0' && out[0] <= '9' {
		return "x" + string(out)
	}
	return string(out)
}

// defaultJSON appends a default as JSON: numbers in Java's text, bytes as text of
// one character per byte.
func (ab *avroBuilder) defaultJSON(dst []byte, s *record.Schema, b *record.Batch, c record.Cell) (_ []byte, err error) {
	switch c.Kind() {
	case record.Null:
		return append(dst, "null"...), nil
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return strconv.AppendInt(dst, c.Int(), 10), nil
	case record.Float32:
		return appendJSONFloat(dst, c.Float(), 32), nil
	case record.Float64:
		return appendJSONFloat(dst, c.Float(), 64), nil
	case record.String:
		return appendAvroText(dst, string(b.Raw(c))), nil
	case record.Bytes:
		var text []byte
		for _, p := range b.Raw(c) {
			text = utf8.AppendRune(text, rune(p))
		}
		return appendAvroText(dst, string(text)), nil
	case record.Array:
		dst = append(dst, '[')
		for i, e := range b.Children(c) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = ab.defaultJSON(dst, elemOf(s), b, e); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
	return ab.defaultMembers(dst, s, b, c)
}

func (ab *avroBuilder) defaultMembers(dst []byte, s *record.Schema, b *record.Batch, c record.Cell) (_ []byte, err error) {
	cells := b.Children(c)
	if c.Kind() == record.Map && s != nil && s.Key != nil && !ab.isAvroMap(s) {
		dst = append(dst, '[')
		for i := 0; i+1 < len(cells); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = ab.defaultJSON(append(dst, `{"key":`...), s.Key, b, cells[i]); err != nil {
				return dst, err
			}
			if dst, err = ab.defaultJSON(append(dst, `,"value":`...), s.Elem, b, cells[i+1]); err != nil {
				return dst, err
			}
			dst = append(dst, '}')
		}
		return append(dst, ']'), nil
	}
	if c.Kind() == record.Map {
		dst = append(dst, '{')
		for i := 0; i+1 < len(cells); i += 2 {
			if cells[i].Kind() != record.String {
				return dst, valueErrorf("a default that is a map must have text keys")
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendAvroText(dst, string(b.Raw(cells[i]))), ':')
			if dst, err = ab.defaultJSON(dst, elemOf(s), b, cells[i+1]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	if s == nil || len(cells) != len(s.Fields) {
		return dst, valueErrorf("Mismatching schema: the default has %d fields", len(cells))
	}
	dst = append(dst, '{')
	for i, f := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendAvroText(dst, f.Name), ':')
		if dst, err = ab.defaultJSON(dst, f.Schema, b, cells[i]); err != nil {
			return dst, within(f.Name, err)
		}
	}
	return append(dst, '}'), nil
}
