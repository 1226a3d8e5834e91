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
		if col.Comment != "" {
			add("comment", col.Comment)
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

// truncate cuts to n UTF-16 code units, as Java counts; a pair cut in half leaves
// the replacement character that Java's encoder writes.
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
				return append(append([]byte(nil), v[:i]...), '?')
			}
			return v[:i]
		}
		units += w
		i += size
	}
	return v
}
