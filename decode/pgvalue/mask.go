package pgvalue

import (
	"strings"
	"unicode/utf8"

	"millrace/internal/record"
)

// mask is what the connector's column options do to a column. They act on the
// converted value, hence also on placeholders and fallbacks, never on keys.
type mask struct {
	constant string // column.mask.with.N.chars
	masked   bool
	hash     func([]byte) []byte
	hashLen  int // UTF-16 units kept of a hash; below 1: all
	truncate int // UTF-16 units or bytes kept; -1: all
	buffer   bool
}

// newMask decides which options act on this type: masks and hashes on character
// types only, truncation where the declared length allows longer values.
func newMask(col *Column, s shape, cd *codec) mask {
	m := mask{truncate: -1, buffer: cd.decodesBuffer()}
	if col.Truncate >= 0 && (s.length < 0 || s.length > col.Truncate) {
		m.truncate = col.Truncate
	}
	if !s.textual() {
		return m
	}
	if col.MaskChars >= 0 {
		m.masked, m.constant = true, strings.Repeat("*", col.MaskChars)
	}
	m.hash, m.hashLen = col.Hash, s.length
	return m
}

// decodesBuffer reports whether Debezium holds the value in a byte buffer, the
// only binary form that is truncated.
func (cd *codec) decodesBuffer() bool {
	return cd.toast == toastBinary && cd.schema.Type == record.Bytes
}

// addParams appends the schema parameters of the options.
func (m *mask) addParams(schema *record.Schema, col *Column, s shape, path Path) {
	add := func(k, v string) { schema.Params = append(schema.Params, record.Param{Key: k, Value: v}) }
	if m.truncate >= 0 {
		add("truncateLength", itoa(m.truncate))
	}
	if col.MaskChars >= 0 || col.Hash != nil {
		add("masked", "true")
	}
	if !col.Propagate {
		return
	}
	add("__debezium.source.column.type", strings.ToUpper(s.sourceName(col, path)))
	if s.length != -1 {
		add("__debezium.source.column.length", itoa(s.length))
	}
	if s.scaleSet {
		add("__debezium.source.column.scale", itoa(s.scale))
	}
	// Debezium's connector never reads comments, so there is no parameter for one.
	add("__debezium.source.column.name", col.Name)
}

func (m *mask) idle() bool { return !m.masked && m.hash == nil && m.truncate < 0 }

// wrap puts the options behind a decoder.
func (m mask) wrap(decode decodeFunc) decodeFunc {
	if m.idle() {
		return decode
	}
	return func(b *record.Batch, t []byte) (record.Cell, error) {
		v, err := decode(b, t)
		if err != nil {
			return v, err
		}
		return m.apply(b, v, m.buffer), nil
	}
}

// apply changes one converted value; buffer says that bytes may be truncated.
func (m *mask) apply(b *record.Batch, v record.Cell, buffer bool) record.Cell {
	if m.masked {
		return b.StringCell(m.constant)
	}
	if v.Kind() == record.String && m.hash != nil {
		h := m.hash(b.Raw(v))
		if m.hashLen > 0 && m.hashLen < len(h) {
			h = h[:m.hashLen]
		}
		v = b.BytesCell(record.String, h)
	}
	if m.truncate < 0 {
		return v
	}
	switch {
	case v.Kind() == record.String:
		return truncateText(b, v, m.truncate)
	case v.Kind() == record.Bytes && buffer && v.Len() > m.truncate:
		return b.BytesCell(record.Bytes, b.Raw(v)[:m.truncate])
	}
	return v
}

// applyTo changes a constant; nil stands for null.
func (m *mask) applyTo(d *record.Datum, buffer bool) *record.Datum {
	if m.idle() {
		return d
	}
	var b record.Batch
	var v record.Cell
	if d != nil {
		v = b.Put(d)
	}
	v = m.apply(&b, v, buffer)
	if v.IsNull() {
		return nil
	}
	return record.NewDatum(&b, v)
}

// truncateText cuts a string to n UTF-16 units. A surrogate pair that is cut in
// half leaves its first half, written as three bytes in the manner of UTF-8, so
// that a converter can print what Java would.
func truncateText(b *record.Batch, v record.Cell, n int) record.Cell {
	raw := b.Raw(v)
	if len(raw) <= n {
		return v
	}
	units := 0
	for i := 0; i < len(raw); {
		if units == n {
			return b.BytesCell(record.String, raw[:i])
		}
		r, size := utf8.DecodeRune(raw[i:])
		if r >= 0x10000 {
			if units+1 == n {
				hi := 0xD800 + (r-0x10000)>>10
				half := []byte{0xE0 | byte(hi>>12), 0x80 | byte(hi>>6)&0x3F, 0x80 | byte(hi)&0x3F}
				cut := b.BytesCell(record.String, raw[:i])
				b.SetArena(append(b.Arena(), half...))
				end := len(b.Arena())
				return b.SpanCell(record.String, end-3-cut.Len(), end)
			}
			units++
		}
		units++
		i += size
	}
	return v
}
