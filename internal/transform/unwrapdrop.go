package transform

import "millrace/internal/record"

// dropKey is a schema and the fields to leave out of it, as one text.
type dropKey struct {
	schema *record.Schema
	fields string
}

// dropFields leaves out the fields that a header names.
func (t *unwrap) dropFields(b *record.Batch, r *record.Record) error {
	if t.dropHeader == "" {
		return nil
	}
	var list record.Cell
	for _, h := range b.Headers(r) {
		if h.Key == t.dropHeader {
			list = h.Value
			break
		}
	}
	if list.IsNull() {
		return nil
	}
	if list.Kind() != record.Array {
		return dataErr("the header %s, which drop.fields.header.name names, is no list but %s", t.dropHeader, javaClass(list, nil))
	}
	if list.Len() == 0 {
		return nil
	}
	names, text := map[string]bool{}, ""
	for i := 0; i < list.Len(); i++ {
		n := string(b.Raw(b.Child(list, i)))
		names[n] = true
		text += n + "\x00"
	}
	if t.dropFromKey && r.KeySchema != nil && r.Key.Kind() == record.Struct {
		r.KeySchema, r.Key = t.without(b, r.KeySchema, r.Key, names, text)
	}
	if r.ValueSchema != nil && r.Value.Kind() == record.Struct {
		r.ValueSchema, r.Value = t.without(b, r.ValueSchema, r.Value, names, text)
	}
	return nil
}

func (t *unwrap) without(b *record.Batch, s *record.Schema, c record.Cell, names map[string]bool, text string) (*record.Schema, record.Cell) {
	k := dropKey{s, text}
	p, ok := t.drops[k]
	if !ok {
		p = &copyPlan{out: basics(s)}
		for i, f := range s.Fields {
			if !names[f.Name] || t.dropOptional && !f.Schema.Optional {
				p.add(f.Name, f.Schema, i, true)
			}
		}
		if len(p.from) == len(s.Fields) {
			p = nil // nothing to drop
		}
		if len(t.drops) >= maxPlans {
			clear(t.drops)
		}
		t.drops[k] = p
	}
	if p == nil {
		return s, c
	}
	return p.out, p.apply(b, c)
}
