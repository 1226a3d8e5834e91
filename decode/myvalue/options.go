package myvalue

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"millrace/internal/record"
)

// optionParams are the schema parameters that column options add, in the
// reference's order: propagated source type, then mask and truncation.
func optionParams(col *Column) []record.Param {
	var out []record.Param
	if col.Propagate {
		add := func(k, v string) { out = append(out, record.Param{Key: "__debezium.source.column." + k, Value: v}) }
		add("type", strings.ToUpper(col.TypeName))
		if col.Length >= 0 {
			add("length", strconv.Itoa(col.Length))
		}
		if col.Scale >= 0 {
			add("scale", strconv.Itoa(col.Scale))
		}
		if col.Comment != nil && *col.Comment != "" {
			add("comment", *col.Comment)
		}
		add("name", col.Name)
	}
	if col.MaskChars >= 0 || col.Hash != nil {
		out = append(out, record.Param{Key: "masked", Value: "true"})
	}
	if col.Truncate >= 0 {
		out = append(out, record.Param{Key: "truncateLength", Value: strconv.Itoa(col.Truncate)})
	}
	return out
}

// mask wraps the decoders with the column options. They change text only; a mask
// replaces null too.
func mask(col *Column, p *Plan) {
	var change func(v []byte) []byte
	if p.Schema.Type == record.Bytes && p.Schema.Name == "" && col.Truncate >= 0 {
		p.Wire, p.Text = truncateBytes(p.Wire, col.Truncate), truncateBytes(p.Text, col.Truncate)
	}
	switch {
	case p.Schema.Type != record.String:
		return
	case col.MaskChars >= 0:
		stars := []byte(strings.Repeat("*", col.MaskChars))
		change = func([]byte) []byte { return stars }
		p.Null = record.MustDatum(record.PlainString, string(stars))
	case col.Hash != nil:
		change = col.Hash
	case col.Truncate >= 0:
		change = func(v []byte) []byte { return truncate(v, col.Truncate) }
	default:
		return
	}
	wrap := func(f decodeFunc) decodeFunc {
		if f == nil {
			return nil
		}
		return func(b *record.Batch, v []byte) (record.Cell, error) {
			c, err := f(b, v)
			if err != nil || c.Kind() != record.String {
				return c, err
			}
			return b.BytesCell(record.String, change(b.Raw(c))), nil
		}
	}
	p.Wire, p.Text = wrap(p.Wire), wrap(p.Text)
}

func truncateBytes(f decodeFunc, n int) decodeFunc {
	if f == nil {
		return nil
	}
	return func(b *record.Batch, v []byte) (record.Cell, error) {
		c, err := f(b, v)
		if err == nil && c.Kind() == record.Bytes && c.Len() > n {
			c = b.BytesCell(record.Bytes, b.Raw(c)[:n])
		}
		return c, err
	}
}

// truncate cuts to n UTF-16 code units, as Java counts. A surrogate pair that is
// cut in half leaves its first half, written as three bytes in the manner of
// UTF-8, so that a converter can print what Java would.
func truncate(v []byte, n int) []byte {
	units := 0
	for i := 0; i < len(v); {
		r, size := utf8.DecodeRune(v[i:])
		w := utf16.RuneLen(r)
		if w < 1 {
			w = 1
		}
		if units+w > n {
			if units < n {
				hi := 0xD800 + (r-0x10000)>>10
				return append(append([]byte(nil), v[:i]...), 0xE0|byte(hi>>12), 0x80|byte(hi>>6)&0x3F, 0x80|byte(hi)&0x3F)
			}
			return v[:i]
		}
		units += w
		i += size
	}
	return v
}
