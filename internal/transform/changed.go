package transform

import (
	"bytes"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// changed is ExtractChangedRecordState: two headers that name the changed and the
// unchanged columns of an update.
type changed struct {
	changedName, unchangedName string
	changed, unchanged         *record.Schema
	plans                      planCache[*changedPlan]
	at                         int
	a, u                       []int
}

type changedPlan struct {
	before, after int
	row           *record.Schema
	was           []int // where before has each field of after; -1: nowhere, a step in front made it
}

func changedDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("header.changed.name", configdef.String, noDefault, configdef.Low, configdef.WidthLong, "Header change name.", "Header for the names of the columns that changed; none when not set."),
		dopt("header.unchanged.name", configdef.String, noDefault, configdef.Low, configdef.WidthLong, "Header unchanged name.", "Header for the names of the columns that did not change; none when not set."),
	}}
}

func newChanged(v configdef.Values) (Step, error) {
	list := func(name string) *record.Schema {
		return &record.Schema{Type: record.Array, Optional: true, Name: name, Elem: record.OptionalString}
	}
	t := &changed{changedName: v.String("header.changed.name"), unchangedName: v.String("header.unchanged.name")}
	t.changed, t.unchanged = list(t.changedName), list(t.unchangedName)
	return t, nil
}

func (t *changed) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		if !isEnvelope(r.ValueSchema) {
			return true, nil
		}
		p = &changedPlan{}
		var was *record.Schema
		p.before, was = r.ValueSchema.Field("before")
		p.after, p.row = r.ValueSchema.Field("after")
		if p.before < 0 || p.after < 0 {
			return true, dataErr("the schema %s is named like a change event and has no before or after", r.ValueSchema.Name)
		}
		for _, f := range p.row.Fields {
			i, _ := was.Field(f.Name)
			p.was = append(p.was, i)
		}
		t.plans.store(r.ValueSchema, p)
	}
	before, after := b.Child(r.Value, p.before), b.Child(r.Value, p.after)
	t.a, t.u = t.a[:0], t.u[:0]
	if before.Kind() == record.Struct && after.Kind() == record.Struct {
		for i := range p.row.Fields {
			if p.was[i] >= 0 && equalCells(b, b.Child(before, p.was[i]), b.Child(after, i)) {
				t.u = append(t.u, i)
			} else {
				t.a = append(t.a, i)
			}
		}
	}
	var next *record.Record
	if after.IsNull() {
		next = sharedTombstone(b, r, &t.at)
	}
	if t.changedName != "" {
		b.AddHeader(r, record.Header{Key: t.changedName, Schema: t.changed, Value: names(b, p.row, t.a)})
	}
	if t.unchangedName != "" {
		b.AddHeader(r, record.Header{Key: t.unchangedName, Schema: t.unchanged, Value: names(b, p.row, t.u)})
	}
	if next != nil {
		b.ShareHeaders(next, r)
	}
	return true, nil
}

func names(b *record.Batch, s *record.Schema, index []int) record.Cell {
	out := b.Alloc(record.Array, len(index))
	for k, i := range index {
		b.SetChild(out, k, b.StringCell(s.Fields[i].Name))
	}
	return out
}

// equalCells compares two values of one batch deeply.
func equalCells(b *record.Batch, x, y record.Cell) bool {
	if x.Kind() != y.Kind() || x.Len() != y.Len() {
		return false
	}
	switch x.Kind() {
	case record.String, record.Bytes:
		return bytes.Equal(b.Raw(x), b.Raw(y))
	case record.Array, record.Map, record.Struct:
		for i := 0; i < x.Len(); i++ {
			if !equalCells(b, b.Child(x, i), b.Child(y, i)) {
				return false
			}
		}
		return true
	}
	return x == y
}

// sharedTombstone returns the tombstone right behind a delete when both have the
// same headers, else nil: in Connect both carry one headers object, so what a step
// adds to the delete, the tombstone has too. at is a hint where r lies.
func sharedTombstone(b *record.Batch, r *record.Record, at *int) *record.Record {
	i := *at
	for n := 0; ; n++ {
		if i >= len(b.Records) {
			i = 0
		}
		if &b.Records[i] == r {
			break
		}
		if n > len(b.Records) {
			return nil // r is no record of the batch
		}
		i++
	}
	*at = i
	if i+1 >= len(b.Records) {
		return nil
	}
	next := &b.Records[i+1]
	h, n := b.Headers(r), b.Headers(next)
	if !next.Value.IsNull() || next.Topic != r.Topic || len(h) != len(n) || len(h) > 0 && &h[0] != &n[0] {
		return nil
	}
	return next
}
