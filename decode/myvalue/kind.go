package myvalue

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

var (
	errShort = errors.New("the value has fewer bytes than its type takes")
	errText  = errors.New("the text is no value of the column's type")
)

type decodeFunc func(b *record.Batch, p []byte) (record.Cell, error)

// kind is what a column type means: its schema, how it is read from both paths,
// and what stands for a null that may not be.
type kind struct {
	schema   *record.Schema // not optional, without default; nil: not supported
	text     decodeFunc
	wire     func(col *Column, w *binlog.WireColumn) (decodeFunc, error)
	fallback any
	class    class
	literal  decodeFunc // reads a default's text; nil: text does
}

// class groups kinds by how their default literals are read.
type class int

const (
	classInt class = iota
	classFloat
	classDecimal
	classText
	classBinary
	classBool
	classBits
	classDate
	classTime
	classDateTime
	classTimestamp
	classNone
)

func logical(t record.Type, name string, params ...record.Param) *record.Schema {
	return &record.Schema{Type: t, Name: name, Version: 1, Params: params}
}

// baseType strips attributes: "INT UNSIGNED ZEROFILL" is INT.
func baseType(name string) (base string, unsigned bool) {
	base, rest, _ := strings.Cut(strings.ToUpper(name), " ")
	switch {
	case base == "DOUBLE" || base == "LONG" || base == "CHARACTER" || base == "NATIONAL" || base == "NCHAR":
		switch {
		case strings.HasPrefix(rest, "VARYING"), strings.HasPrefix(rest, "VARCHAR"):
			base = "VARCHAR"
		case base == "LONG" && strings.HasPrefix(rest, "VARBINARY"):
			base = "MEDIUMBLOB"
		case base == "LONG":
			base = "MEDIUMTEXT"
		}
	}
	return base, strings.Contains(rest, "UNSIGNED") || strings.Contains(rest, "ZEROFILL") || base == "SERIAL"
}

func kindOf(col *Column, m *Modes) (*kind, error) {
	k, err := plainKind(col, m)
	if err == nil && col.Sink != "" {
		k = sinkKind(k, col)
	}
	return k, err
}

func plainKind(col *Column, m *Modes) (*kind, error) {
	base, unsigned := baseType(col.TypeName)
	if col.Boolean {
		return positiveKind(), nil
	}
	switch base {
	case "BOOL", "BOOLEAN":
		return boolKind(), nil
	case "BIT":
		if col.Length <= 1 {
			return bitKind(), nil
		}
		return bitsKind(col.Length), nil
	case "TINYINT", "INT1":
		return intKind(record.Int16, 8, unsigned), nil
	case "SMALLINT", "INT2":
		if unsigned {
			return intKind(record.Int32, 16, true), nil
		}
		return intKind(record.Int16, 16, false), nil
	case "MEDIUMINT", "INT3", "MIDDLEINT":
		return intKind(record.Int32, 24, unsigned), nil
	case "INT", "INTEGER", "INT4":
		if unsigned {
			return intKind(record.Int64, 32, true), nil
		}
		return intKind(record.Int32, 32, false), nil
	case "BIGINT", "INT8", "SERIAL":
		if unsigned && m.BigintUnsigned == "precise" {
			return bigUnsignedKind(), nil
		}
		return intKind(record.Int64, 64, unsigned), nil
	case "FLOAT", "FLOAT4", "DOUBLE", "FLOAT8", "REAL":
		return floatKind(base, col), nil
	case "DECIMAL", "NUMERIC", "DEC", "FIXED":
		return decimalKind(col, m), nil
	case "CHAR", "CHARACTER", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "NCHAR", "NVARCHAR", "NATIONAL", "XMLTYPE":
		return textKind(record.PlainString.Copy()), nil
	case "BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB":
		return binaryKind(col, m, base == "BINARY"), nil
	case "ENUM":
		return enumKind(col), nil
	case "SET":
		return setKind(col), nil
	case "JSON":
		return jsonKind(), nil
	case "INET4":
		return inetKind(4), nil
	case "INET6":
		return inetKind(16), nil
	case "UUID":
		return uuidKind(), nil
	case "YEAR":
		return yearKind(m), nil
	case "DATE":
		return dateKind(m), nil
	case "TIME":
		return timeKind(m), nil
	case "DATETIME":
		return dateTimeKind(col, m), nil
	case "TIMESTAMP":
		return timestampKind(col), nil
	case "POINT":
		return pointKind(), nil
	case "GEOMETRY", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION", "GEOMCOLLECTION":
		return geometryKind(), nil
	case "VECTOR":
		return vectorKind(), nil
	}
	return &kind{}, nil
}

// same uses one decoder for every wire form.
func same(f decodeFunc) func(*Column, *binlog.WireColumn) (decodeFunc, error) {
	return func(*Column, *binlog.WireColumn) (decodeFunc, error) { return f, nil }
}

func boolKind() *kind {
	return &kind{schema: &record.Schema{Type: record.Boolean}, fallback: false, class: classBool,
		text: func(_ *record.Batch, p []byte) (record.Cell, error) {
			v, err := strconv.ParseInt(string(p), 10, 64)
			return record.BoolCell(v != 0), err
		},
		wire: same(func(_ *record.Batch, p []byte) (record.Cell, error) {
			for _, c := range p {
				if c != 0 {
					return record.BoolCell(true), nil
				}
			}
			return record.BoolCell(false), nil
		})}
}

// positiveKind is an integer under TinyIntOneToBooleanConverter: above 0 is true,
// with the byte taken as signed.
func positiveKind() *kind {
	k := boolKind()
	k.text = func(_ *record.Batch, p []byte) (record.Cell, error) {
		v, err := strconv.ParseInt(string(p), 10, 64)
		return record.BoolCell(v > 0), err
	}
	k.wire = same(func(_ *record.Batch, p []byte) (record.Cell, error) {
		if len(p) < 1 {
			return record.Cell{}, errShort
		}
		return record.BoolCell(int8(p[0]) > 0), nil
	})
	return k
}

func bitKind() *kind {
	f := func(_ *record.Batch, p []byte) (record.Cell, error) { return record.BoolCell(be(p) != 0), nil }
	return &kind{schema: &record.Schema{Type: record.Boolean}, fallback: false, class: classBool, text: f, wire: same(f)}
}

// bitsKind is BIT(n): little-endian, always ceil(n/8) bytes. Both paths get the
// value big-endian.
func bitsKind(n int) *kind {
	f := func(b *record.Batch, p []byte) (record.Cell, error) {
		a := b.Arena()
		from := len(a)
		for i := range (n + 7) / 8 {
			v := byte(0)
			if j := len(p) - 1 - i; j >= 0 {
				v = p[j]
			}
			a = append(a, v)
		}
		b.SetArena(a)
		return b.SpanCell(record.Bytes, from, len(a)), nil
	}
	return &kind{schema: logical(record.Bytes, "io.debezium.data.Bits", record.Param{Key: "length", Value: strconv.Itoa(n)}),
		fallback: []byte{}, class: classBits, text: f, wire: same(f)}
}

func intKind(t record.Type, bits int, unsigned bool) *kind {
	text := func(_ *record.Batch, p []byte) (record.Cell, error) {
		if len(p) > 0 && p[0] != '-' {
			v, err := strconv.ParseUint(string(p), 10, 64)
			return record.IntCell(t, int64(v)), err
		}
		v, err := strconv.ParseInt(string(p), 10, 64)
		return record.IntCell(t, v), err
	}
	size := (bits + 7) / 8
	wire := func(_ *record.Batch, p []byte) (record.Cell, error) {
		if len(p) < size {
			return record.Cell{}, errShort
		}
		var v uint64
		for i := size - 1; i >= 0; i-- {
			v = v<<8 | uint64(p[i])
		}
		if unsigned {
			return record.IntCell(t, int64(v)), nil
		}
		shift := 64 - 8*size
		return record.IntCell(t, int64(v<<shift)>>shift), nil
	}
	return &kind{schema: &record.Schema{Type: t}, fallback: 0, class: classInt, text: text, wire: same(wire)}
}

// unscaledBytes is the minimal big-endian two's complement of a number.
func unscaledBytes(v *big.Int) []byte {
	if v.Sign() >= 0 {
		p := v.Bytes()
		if len(p) == 0 || p[0] >= 0x80 {
			p = append([]byte{0}, p...)
		}
		return p
	}
	n := v.BitLen()/8 + 1
	p := new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n))).Bytes()
	for len(p) < n {
		p = append([]byte{0xff}, p...)
	}
	for len(p) > 1 && p[0] == 0xff && p[1] >= 0x80 {
		p = p[1:]
	}
	return p
}

func bigUnsignedKind() *kind {
	cell := func(b *record.Batch, v uint64) record.Cell {
		return b.BytesCell(record.Bytes, unscaledBytes(new(big.Int).SetUint64(v)))
	}
	return &kind{schema: decimalSchema(0, 20), fallback: []byte{0}, class: classDecimal,
		text: func(b *record.Batch, p []byte) (record.Cell, error) {
			v, err := strconv.ParseUint(string(p), 10, 64)
			return cell(b, v), err
		},
		wire: same(func(b *record.Batch, p []byte) (record.Cell, error) {
			if len(p) < 8 {
				return record.Cell{}, errShort
			}
			return cell(b, le64(p)), nil
		})}
}

func floatKind(base string, col *Column) *kind {
	t := record.Float64
	if base == "REAL" || (base == "FLOAT" && col.Scale < 0 && col.Length <= 24) {
		t = record.Float32
	}
	cell := func(v float64) record.Cell {
		if t == record.Float32 {
			return record.Float32Cell(float32(v))
		}
		return record.Float64Cell(v)
	}
	return &kind{schema: &record.Schema{Type: t}, fallback: 0.0, class: classFloat,
		literal: func(_ *record.Batch, p []byte) (record.Cell, error) { // a default is not widened
			bits := 64
			if t == record.Float32 {
				bits = 32
			}
			v, err := strconv.ParseFloat(string(p), bits)
			return cell(v), err
		},
		text: func(_ *record.Batch, p []byte) (record.Cell, error) {
			bits := 64
			if t == record.Float32 || base == "FLOAT" && col.Scale >= 0 { // FLOAT(M,D) is a float, widened
				bits = 32
			}
			v, err := strconv.ParseFloat(string(p), bits)
			return cell(v), err
		},
		wire: func(_ *Column, w *binlog.WireColumn) (decodeFunc, error) {
			if w.Type == binlog.TypeFloat {
				return func(_ *record.Batch, p []byte) (record.Cell, error) {
					if len(p) < 4 {
						return record.Cell{}, errShort
					}
					return cell(float64(math.Float32frombits(le32(p)))), nil
				}, nil
			}
			return func(_ *record.Batch, p []byte) (record.Cell, error) {
				if len(p) < 8 {
					return record.Cell{}, errShort
				}
				return cell(floatFrom(le64(p))), nil
			}, nil
		}}
}

func decimalSchema(scale, precision int) *record.Schema {
	return logical(record.Bytes, "org.apache.kafka.connect.data.Decimal",
		record.Param{Key: "scale", Value: strconv.Itoa(scale)}, record.Param{Key: "connect.decimal.precision", Value: strconv.Itoa(precision)})
}

// appendUnscaled appends the unscaled two's complement of a plain decimal text
// whose fraction has exactly the column's scale.
func appendUnscaled(dst, text []byte) ([]byte, error) {
	negative, digits := false, 0
	var v uint64
	for _, c := range text {
		switch {
		case c == '-':
			negative = true
		case c == '.' || c == '+':
		case c >= '0' && c <= '9':
			if digits++; digits > 18 {
				n, ok := new(big.Int).SetString(strings.Replace(string(text), ".", "", 1), 10)
				if !ok {
					return dst, errText
				}
				return append(dst, unscaledBytes(n)...), nil
			}
			v = v*10 + uint64(c-'0')
		default:
			return dst, errText
		}
	}
	n := int64(v)
	if negative {
		n = -n
	}
	return appendInt(dst, n), nil
}

// appendInt appends the minimal big-endian two's complement of a number.
func appendInt(dst []byte, n int64) []byte {
	size := 1
	for size < 8 && n>>(8*size-1) != 0 && n>>(8*size-1) != -1 {
		size++
	}
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

func decimalKind(col *Column, m *Modes) *kind {
	precision, scale := col.Length, col.Scale
	if precision < 0 {
		precision = 10
	}
	if scale < 0 {
		scale = 0
	}
	k := &kind{class: classDecimal}
	switch m.Decimal {
	case "string":
		k.schema, k.fallback = &record.Schema{Type: record.String}, "0"
		k.text = func(b *record.Batch, p []byte) (record.Cell, error) {
			for len(p) > 1 && p[0] == '0' && p[1] != '.' {
				p = p[1:] // of ZEROFILL
			}
			return b.BytesCell(record.String, p), nil
		}
	case "double":
		k.schema, k.fallback = &record.Schema{Type: record.Float64}, 0.0
		k.text = func(_ *record.Batch, p []byte) (record.Cell, error) {
			v, err := strconv.ParseFloat(string(p), 64)
			return record.Float64Cell(v), err
		}
	default:
		k.schema, k.fallback = decimalSchema(scale, precision), []byte{0}
		k.text = func(b *record.Batch, p []byte) (record.Cell, error) {
			a := b.Arena()
			from := len(a)
			a, err := appendUnscaled(a, p)
			b.SetArena(a)
			return b.SpanCell(record.Bytes, from, len(a)), err
		}
	}
	k.wire = func(_ *Column, w *binlog.WireColumn) (decodeFunc, error) {
		wp, ws := int(w.Meta>>8), int(w.Meta&0xff)
		if wp <= 18 && k.schema.Type == record.Bytes {
			return func(b *record.Batch, p []byte) (record.Cell, error) {
				n, ok := decimalInt(p, wp, ws)
				if !ok {
					return record.Cell{}, errShort
				}
				a := b.Arena()
				from := len(a)
				a = appendInt(a, n)
				b.SetArena(a)
				return b.SpanCell(record.Bytes, from, len(a)), nil
			}, nil
		}
		var scratch []byte
		return func(b *record.Batch, p []byte) (record.Cell, error) {
			var ok bool
			if scratch, ok = appendDecimal(scratch[:0], p, wp, ws); !ok {
				return record.Cell{}, errShort
			}
			return k.text(b, scratch)
		}, nil
	}
	return k
}

func textKind(s *record.Schema) *kind {
	return &kind{schema: s, fallback: "", class: classText,
		text: func(b *record.Batch, p []byte) (record.Cell, error) { return b.BytesCell(record.String, p), nil },
		wire: func(col *Column, _ *binlog.WireColumn) (decodeFunc, error) {
			dec := decoder(col.Charset)
			return func(b *record.Batch, p []byte) (record.Cell, error) {
				a := b.Arena()
				from := len(a)
				a = dec(a, p)
				b.SetArena(a)
				return b.SpanCell(record.String, from, len(a)), nil
			}, nil
		}}
}

// binaryKind is the binary family by binary.handling.mode. BINARY(n) is padded
// with zero bytes again, which the binary log strips.
func binaryKind(col *Column, m *Modes, fixed bool) *kind {
	pad := 0
	if fixed && col.Length > 0 {
		pad = col.Length
	}
	f := func(b *record.Batch, p []byte) (record.Cell, error) {
		if len(p) < pad {
			padded := make([]byte, pad)
			copy(padded, p)
			p = padded
		}
		a := b.Arena()
		from, t := len(a), record.String
		switch m.Binary {
		case "hex":
			a = hex.AppendEncode(a, p)
		case "base64":
			a = base64.StdEncoding.AppendEncode(a, p)
		case "base64-url-safe":
			a = base64.URLEncoding.AppendEncode(a, p)
		default:
			a, t = append(a, p...), record.Bytes
		}
		b.SetArena(a)
		return b.SpanCell(t, from, len(a)), nil
	}
	k := &kind{schema: &record.Schema{Type: record.Bytes}, fallback: []byte{}, class: classBinary, text: f, wire: same(f)}
	if pad > 0 { // the default is not padded
		k.literal = binaryKind(col, m, false).text
	}
	if m.Binary != "" && m.Binary != "bytes" {
		k.schema, k.fallback = &record.Schema{Type: record.String}, ""
	}
	return k
}
