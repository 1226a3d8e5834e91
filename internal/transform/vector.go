package transform

import (
	"sort"
	"strconv"

	"millrace/internal/record"
)

// vectorToJSON is VectorToJsonConverter: vectors become JSON text.
type vectorToJSON struct{ plans planCache[*vectorPlan] }

// vectorPlan rebuilds a struct; nil: there is no vector in it.
type vectorPlan struct {
	out    *record.Schema
	index  []int
	nested []*vectorPlan // nil: a vector
	sparse []bool
	// defaults are put in first, at the top only.
	defaults *defaultsPlan
}

func compileVectors(s *record.Schema) *vectorPlan {
	if s == nil || s.Type != record.Struct {
		return nil
	}
	p := &vectorPlan{out: s.Copy()}
	p.out.Fields = append([]record.Field(nil), s.Fields...)
	for i, f := range s.Fields {
		sparse := f.Schema.Name == "io.debezium.data.SparseDoubleVector"
		if sparse || f.Schema.Name == "io.debezium.data.DoubleVector" || f.Schema.Name == "io.debezium.data.FloatVector" {
			p.out.Fields[i].Schema = &record.Schema{Type: record.String, Optional: f.Schema.Optional, Name: "io.debezium.data.Json", Version: 1}
			p.index, p.nested, p.sparse = append(p.index, i), append(p.nested, nil), append(p.sparse, sparse)
		} else if n := compileVectors(f.Schema); n != nil {
			p.out.Fields[i].Schema = n.out
			p.index, p.nested, p.sparse = append(p.index, i), append(p.nested, n), append(p.sparse, false)
		}
	}
	if p.index == nil {
		return nil
	}
	return p
}

func (t *vectorToJSON) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	if err := requireStruct(r.Value, r.ValueSchema, "Value should be a struct"); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		p = compileVectors(r.ValueSchema)
		if p == nil {
			p = &vectorPlan{out: r.ValueSchema}
		}
		p.defaults = compileDefaults(r.ValueSchema)
		t.plans.store(r.ValueSchema, p)
	}
	r.ValueSchema, r.Value = p.out, p.apply(b, p.defaults.apply(b, r.Value))
	return true, nil
}

func (p *vectorPlan) apply(b *record.Batch, c record.Cell) record.Cell {
	if c.IsNull() {
		return c
	}
	out := b.CloneChildren(c, 0)
	for k, i := range p.index {
		v := b.Child(out, i)
		switch {
		case v.IsNull():
			continue
		case p.nested[k] != nil:
			v = p.nested[k].apply(b, v)
		case p.sparse[k]:
			v = sparseJSON(b, v)
		default:
			v = denseJSON(b, v)
		}
		b.SetChild(out, i, v)
	}
	return out
}

func appendNumber(a []byte, c record.Cell) []byte {
	switch c.Kind() {
	case record.Null:
		return append(a, "null"...)
	case record.Float32:
		return appendJavaFloat(a, c.Float(), 32)
	case record.Float64:
		return appendJavaFloat(a, c.Float(), 64)
	}
	return strconv.AppendInt(a, c.Int(), 10)
}

func denseJSON(b *record.Batch, c record.Cell) record.Cell {
	a := b.Arena()
	from := len(a)
	a = append(a, `{ "values": [`...)
	for i := 0; i < c.Len(); i++ {
		if i > 0 {
			a = append(a, ", "...)
		}
		a = appendNumber(a, b.Child(c, i))
	}
	a = append(a, `] }`...)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

// sparseJSON writes {dimensions, vector}, the entries in order of their keys.
func sparseJSON(b *record.Batch, c record.Cell) record.Cell {
	dims, m := b.Child(c, 0), b.Child(c, 1)
	order := make([]int, m.Len()/2)
	for i := range order {
		order[i] = 2 * i
	}
	sort.Slice(order, func(i, j int) bool { return b.Child(m, order[i]).Int() < b.Child(m, order[j]).Int() })
	a := b.Arena()
	from := len(a)
	a = append(a, `{ "dimensions": `...)
	a = appendNumber(a, dims)
	a = append(a, `, "vector": { `...)
	for k, i := range order {
		if k > 0 {
			a = append(a, ", "...)
		}
		a = append(a, '"')
		a = appendNumber(a, b.Child(m, i))
		a = append(a, `": `...)
		a = appendNumber(a, b.Child(m, i+1))
	}
	a = append(a, ` } }`...)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}
