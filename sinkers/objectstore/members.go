package objectstore

import (
	"strings"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// member is a column of a file that holds more than its values' own fields, or values
// that have no fields.
type member struct {
	name    string
	source  field
	entry   string         // the key of the value's map that it holds, when isEntry
	schema  *record.Schema // nil: no record of the file has anything here
	isEntry bool
}

// mixedHeaders holds headers of several types as text.
var mixedHeaders = record.OptionalString

// headerType is the schema of a record's headers when they are of one type, nil
// without headers, and mixedHeaders otherwise.
func headerType(b *record.Batch, r *record.Record) *record.Schema {
	var out *record.Schema
	for _, h := range b.Headers(r) {
		switch {
		case h.Schema == nil, h.Value.IsNull() && !h.Schema.Optional:
			return mixedHeaders
		case out == nil:
			out = h.Schema
		case out.Type != h.Schema.Type || out.Name != h.Schema.Name:
			return mixedHeaders
		}
	}
	return out
}

// headerMap makes a map of a record's headers, of values of the type or as text.
func headerMap(b *record.Batch, r *record.Record, typ *record.Schema) record.Cell {
	hs := b.Headers(r)
	m := b.Alloc(record.Map, 2*len(hs))
	for i, h := range hs {
		b.SetChild(m, 2*i, b.StringCell(h.Key))
		v := h.Value
		if typ == mixedHeaders && v.Kind() != record.String {
			text, ok := appendScalar(nil, b, v)
			if v = (record.Cell{}); ok {
				v = b.BytesCell(record.String, text)
			}
		}
		b.SetChild(m, 2*i+1, v)
	}
	return m
}

// textKeys are the keys of a map, false when they are no text.
func textKeys(b *record.Batch, c record.Cell) ([]string, bool) {
	var keys []string
	for i := 0; i < c.Len(); i += 2 {
		k := b.Child(c, i)
		if k.Kind() != record.String {
			return nil, false
		}
		keys = append(keys, string(b.Raw(k)))
	}
	return keys, true
}

// mapKeys are textKeys in Java's order.
func mapKeys(b *record.Batch, c record.Cell) ([]string, bool) {
	keys, ok := textKeys(b, c)
	if !ok {
		return nil, false
	}
	out := make([]string, len(keys))
	for i, j := range convert.JavaHashOrder(keys) {
		out[i] = keys[j]
	}
	return out, true
}

// spread reports whether the entries of a bare map are the columns of its file.
func spread(s *record.Schema) bool {
	return s != nil && s.Type == record.Map && !s.Optional && s.Key != nil && s.Key.Type == record.String && !s.Key.Optional
}

// membersOf returns the columns of a file whose first record is r. bare: the single
// field stands alone, so a struct that is never null gives the file its own fields,
// for which none are returned.
func membersOf(fields []field, bare bool, b *record.Batch, r *record.Record) ([]member, error) {
	out := make([]member, 0, len(fields))
	for _, f := range fields {
		m := member{name: string(f), source: f}
		switch f {
		case fieldKey:
			m.schema = r.KeySchema
		case fieldValue:
			m.schema = r.ValueSchema
		case fieldHeaders:
			if t := headerType(b, r); t != nil {
				m.schema = &record.Schema{Type: record.Map, Key: record.PlainString, Elem: t}
			}
		default:
			m.schema = record.PlainInt64
		}
		if m.schema == nil && f != fieldHeaders {
			return nil, dataError("Record %s without schema (topic %s). Use a converter that gives it one, or format.output.type=jsonl", f, r.Topic.Name)
		}
		out = append(out, m)
	}
	if !bare || out[0].schema == nil {
		return out, nil
	}
	s := out[0].schema
	if s.Type == record.Struct && !s.Optional {
		return nil, nil
	}
	if out[0].source == fieldHeaders || !spread(s) {
		return out, nil
	}
	if keys, ok := mapKeys(b, valueOf(b, r, &out[0])); ok && len(keys) > 0 {
		whole := out[0]
		out = out[:0]
		for _, k := range keys {
			out = append(out, member{name: k, source: whole.source, schema: s.Elem, entry: k, isEntry: true})
		}
	}
	return out, nil
}

// valueOf is what of a record stands in a column.
func valueOf(b *record.Batch, r *record.Record, m *member) record.Cell {
	c := r.Value
	switch m.source {
	case fieldKey:
		c = r.Key
	case fieldOffset:
		c = record.Int64Cell(r.Origin.Offset)
	case fieldTimestamp:
		c = record.Int64Cell(r.Timestamp)
	case fieldHeaders:
		if m.schema == nil {
			return record.Cell{}
		}
		return headerMap(b, r, m.schema.Elem)
	}
	if !m.isEntry {
		return c
	}
	for i := 0; i+1 < c.Len(); i += 2 {
		if k := b.Child(c, i); k.Kind() == record.String && b.Str(k) == m.entry {
			return b.Child(c, i+1)
		}
	}
	return record.Cell{}
}

// shape tells apart records that cannot share a file although their schemas are the
// same: the entries of a bare map and the types of headers are columns as well. ""
// fits into every file.
func shape(fields []field, bare bool, b *record.Batch, r *record.Record) string {
	var out strings.Builder
	for _, f := range fields {
		switch {
		case f == fieldHeaders:
			if t := headerType(b, r); t == mixedHeaders {
				out.WriteString("mixed headers")
			} else if t != nil {
				out.WriteString(t.Type.String() + " " + t.Name)
			}
		case bare && f == fieldValue && spread(r.ValueSchema) && !r.Value.IsNull():
			keys, _ := mapKeys(b, r.Value)
			out.WriteString("entries\x00" + strings.Join(keys, "\x00"))
		case bare && f == fieldKey && spread(r.KeySchema) && !r.Key.IsNull():
			keys, _ := mapKeys(b, r.Key)
			out.WriteString("entries\x00" + strings.Join(keys, "\x00"))
		}
	}
	return out.String()
}
