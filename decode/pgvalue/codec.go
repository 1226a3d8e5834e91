package pgvalue

import (
	"encoding/base64"
	"encoding/hex"

	"millrace/internal/record"
)

// decodeFunc makes the cell of a value's text form.
type decodeFunc func(b *record.Batch, text []byte) (record.Cell, error)

// codec is how values of one type, with the connector's modes applied, are
// described and decoded. It knows nothing of the column's nullability, default or
// masks.
type codec struct {
	// schema is neither optional nor has a default; it may be copied, not changed.
	schema *record.Schema
	decode decodeFunc
	// fallback makes Debezium's value for a null in a NOT NULL column.
	fallback func(b *record.Batch) record.Cell
	// optional: the schema is optional whatever the column says.
	optional bool
	// notOptionalElem: as an array element the schema is not optional.
	notOptionalElem bool
	// objectText: Java code prints any object for this type, so the elements of a
	// nested array are printed, not dropped.
	objectText bool
	// noNullElem: a null element makes the whole array unreadable.
	noNullElem bool
	// toast is which placeholder fits; see toast.go.
	toast toastKind
}

// logical makes a schema with a name at version 1.
func logical(t record.Type, name string) *record.Schema {
	return &record.Schema{Type: t, Name: name, Version: 1}
}

// plain makes a schema without name.
func plain(t record.Type) *record.Schema { return &record.Schema{Type: t} }

func zeroInt(k record.Type) func(*record.Batch) record.Cell {
	return func(*record.Batch) record.Cell { return record.IntCell(k, 0) }
}

func emptyString(b *record.Batch) record.Cell { return b.StringCell("") }

func emptyBytes(b *record.Batch) record.Cell { return b.BytesCell(record.Bytes, nil) }

func decodeText(b *record.Batch, t []byte) (record.Cell, error) {
	return b.BytesCell(record.String, t), nil
}

// codecText passes the server's text on.
func codecText(schema *record.Schema) *codec {
	return &codec{schema: schema, decode: decodeText, fallback: emptyString, objectText: true, toast: toastText}
}

func codecEnum(labels []string) *codec {
	s := logical(record.String, "io.debezium.data.Enum")
	allowed := ""
	for i, l := range labels {
		if i > 0 {
			allowed += ","
		}
		allowed += l
	}
	s.Params = []record.Param{{Key: "allowed", Value: allowed}}
	c := codecText(s)
	c.notOptionalElem = true
	return c
}

// codecUnreadable is a column whose stream path has no decoder: always null.
func codecUnreadable() *codec {
	c := codecText(plain(record.String))
	c.decode = func(*record.Batch, []byte) (record.Cell, error) { return record.Cell{}, nil }
	return c
}

// binaryForm applies binary.handling.mode to raw bytes that lie in the arena from
// index raw on: it replaces them by their encoding.
type binaryForm struct {
	mode   string
	schema *record.Schema
}

func newBinaryForm(mode string) binaryForm {
	if mode == "bytes" || mode == "" {
		return binaryForm{"bytes", plain(record.Bytes)}
	}
	return binaryForm{mode, plain(record.String)}
}

func (f binaryForm) empty(b *record.Batch) record.Cell { return b.BytesCell(f.schema.Type, nil) }

// put encodes raw.
func (f binaryForm) put(b *record.Batch, raw []byte) record.Cell {
	a := b.Arena()
	from := len(a)
	switch f.mode {
	case "hex":
		a = hex.AppendEncode(a, raw)
	case "base64":
		a = base64.StdEncoding.AppendEncode(a, raw)
	case "base64-url-safe":
		a = base64.URLEncoding.AppendEncode(a, raw)
	default:
		a = append(a, raw...)
	}
	b.SetArena(a)
	return b.SpanCell(f.schema.Type, from, len(a))
}

// codecBytea decodes the server's hex format.
func codecBytea(f binaryForm) *codec {
	c := &codec{schema: f.schema, fallback: f.empty, toast: toastBinary}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		if len(t) < 2 || t[0] != '\\' || t[1] != 'x' || len(t)%2 != 0 {
			return record.Cell{}, errBytea
		}
		t = t[2:]
		switch f.mode {
		case "hex":
			return putHexText(b, t)
		case "bytes":
			return putUnhex(b, record.Bytes, t, errBytea)
		}
		a := b.Arena()
		from := len(a)
		a, ok := appendUnhex(a, t)
		if !ok {
			return record.Cell{}, errBytea
		}
		// Encode behind the raw bytes, then move down over them.
		raw := len(a)
		enc := base64.StdEncoding
		if f.mode == "base64-url-safe" {
			enc = base64.URLEncoding
		}
		a = enc.AppendEncode(a, a[from:raw])
		n := copy(a[from:], a[raw:])
		a = a[:from+n]
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	}
	return c
}

// putHexText copies hexadecimal digits as they are (the server prints lower case).
func putHexText(b *record.Batch, t []byte) (record.Cell, error) {
	for _, c := range t {
		if unhex(c) > 15 {
			return record.Cell{}, errBytea
		}
	}
	return b.BytesCell(record.String, t), nil
}

// putUnhex decodes pairs of hexadecimal digits into a cell.
func putUnhex(b *record.Batch, k record.Type, t []byte, bad error) (record.Cell, error) {
	a := b.Arena()
	from := len(a)
	a, ok := appendUnhex(a, t)
	if !ok {
		return record.Cell{}, bad
	}
	b.SetArena(a)
	return b.SpanCell(k, from, len(a)), nil
}

// appendUnhex appends the bytes of hexadecimal digits; ok is false if they are not.
func appendUnhex(dst, t []byte) ([]byte, bool) {
	if len(t)%2 != 0 {
		return dst, false
	}
	for i := 0; i+1 < len(t); i += 2 {
		h, l := unhex(t[i]), unhex(t[i+1])
		if h|l > 15 {
			return dst, false
		}
		dst = append(dst, h<<4|l)
	}
	return dst, true
}

func unhex(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xFF
}

// codecOpaque is a type we do not know, with include.unknown.datatypes: the bytes
// of its text form, normalised where the JDBC driver normalises.
func codecOpaque(f binaryForm, normalise func(dst, text []byte) []byte) *codec {
	c := &codec{schema: f.schema, fallback: f.empty, toast: toastBinary, notOptionalElem: true}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		if normalise != nil {
			var buf [256]byte
			t = normalise(buf[:0], t)
		}
		return f.put(b, t), nil
	}
	return c
}

// codecBits decodes bit strings: a boolean for one bit, else little-endian bytes
// up to the highest set bit.
func codecBits(length int, varying bool) *codec {
	if length <= 1 {
		c := &codec{schema: plain(record.Boolean), fallback: func(*record.Batch) record.Cell { return record.BoolCell(false) }}
		c.decode = func(_ *record.Batch, t []byte) (record.Cell, error) {
			v := false
			for _, ch := range t {
				if ch != '0' && ch != '1' {
					return record.Cell{}, errBits
				}
				v = v || ch == '1'
			}
			if len(t) == 0 {
				return record.Cell{}, errBitsEmpty
			}
			return record.BoolCell(v), nil
		}
		return c
	}
	c := &codec{schema: bitsSchema(length), decode: decodeBits, fallback: emptyBytes}
	return c
}

func bitsSchema(length int) *record.Schema {
	s := logical(record.Bytes, "io.debezium.data.Bits")
	s.Params = []record.Param{{Key: "length", Value: itoa(length)}}
	return s
}

func decodeBits(b *record.Batch, t []byte) (record.Cell, error) {
	a := b.Arena()
	from := len(a)
	var cur byte
	n, used := 0, from
	for i := len(t) - 1; i >= 0; i-- {
		switch t[i] {
		case '1':
			cur |= 1 << (n & 7)
		case '0':
		default:
			return record.Cell{}, errBits
		}
		n++
		if n&7 == 0 || i == 0 {
			a = append(a, cur)
			if cur != 0 {
				used = len(a)
			}
			cur = 0
		}
	}
	a = a[:used]
	b.SetArena(a)
	return b.SpanCell(record.Bytes, from, used), nil
}

// codecBitArray is Debezium's broken bit[]: the schema of its element, no value.
func codecBitArray(length int) *codec {
	c := &codec{decode: func(*record.Batch, []byte) (record.Cell, error) { return record.Cell{}, errBitArray }}
	if length > 1 {
		c.schema, c.fallback = bitsSchema(length), emptyBytes
	} else {
		c.schema = plain(record.Boolean)
		c.fallback = func(*record.Batch) record.Cell { return record.BoolCell(false) }
	}
	return c
}
