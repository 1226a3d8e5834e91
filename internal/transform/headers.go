package transform

import (
	"errors"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// ---- HeaderFrom

type headerFrom struct {
	side            side
	fields, headers []string
	drop            map[string]bool
	move, fill      bool
	plans           planCache[*headerPlan]
}

type headerPlan struct {
	move   *copyPlan // nil: copy
	index  []int
	schema []*record.Schema
}

func headerFromDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		orNull(opt("fields", configdef.List, required, configdef.High, "Fields to take.", nonEmptyList), nullText("fields", "Empty list")),
		orNull(opt("headers", configdef.List, required, configdef.High, "Names of the headers, one per field.", nonEmptyList), nullText("headers", "Empty list")),
		orNull(opt("operation", configdef.String, required, configdef.High, "move takes the fields out of the record, copy leaves them.", oneOf("move", "copy")),
			nullText("operation", "String must be one of: move, copy")),
		fillOption(),
	}}
}

func newHeaderFrom(s side, v configdef.Values) (Step, error) {
	if len(v.List("fields")) != len(v.List("headers")) {
		return nil, errors.New("'fields' config must have the same number of elements as 'headers' config.")
	}
	return &headerFrom{side: s, fields: v.List("fields"), headers: v.List("headers"), drop: set(v.List("fields")), move: v.String("operation") == "move", fill: v.Bool("replace.null.with.default")}, nil
}

func (t *headerFrom) purpose() string {
	if t.move {
		return "header move"
	}
	return "header copy"
}

func (t *headerFrom) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		return t.schemaless(b, r, c)
	}
	if err := requireStruct(c, s, t.purpose()); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		var err error
		if p, err = t.compile(s); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	for i, name := range t.headers {
		b.AddHeader(r, record.Header{Key: name, Schema: p.schema[i], Value: fieldValue(b, c, p.index[i], p.schema[i], t.fill)})
	}
	if p.move != nil {
		t.side.set(r, p.move.out, p.move.apply(b, c))
	}
	return true, nil
}

func (t *headerFrom) compile(s *record.Schema) (*headerPlan, error) {
	p := &headerPlan{}
	for _, f := range t.fields {
		i, fs := s.Field(f)
		if i < 0 {
			return nil, &errs.Error{Java: "java.lang.NullPointerException", Msg: "the record has no field " + f + " for a header"}
		}
		p.index, p.schema = append(p.index, i), append(p.schema, fs)
	}
	if t.move {
		p.move = &copyPlan{out: basics(s)}
		for i, f := range s.Fields {
			if !t.drop[f.Name] {
				p.move.add(f.Name, f.Schema, i, t.fill)
			}
		}
	}
	return p, nil
}

func (t *headerFrom) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if err := requireMap(c, t.purpose()); err != nil {
		return true, err
	}
	for i, f := range t.fields {
		b.AddHeader(r, record.Header{Key: t.headers[i], Value: mapGet(b, c, f)})
	}
	if t.move {
		t.side.set(r, nil, mapDrop(b, c, func(k string) bool { return t.drop[k] }))
	}
	return true, nil
}

// ---- DropHeaders

type dropHeaders struct {
	names map[string]bool
	keep  []record.Header
}

func dropHeadersDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{someList("headers", "Names of the headers to take away.")}}
}

func newDropHeaders(v configdef.Values) (Step, error) {
	return &dropHeaders{names: set(v.List("headers"))}, nil
}

func (t *dropHeaders) Apply(b *record.Batch, r *record.Record) (bool, error) {
	t.keep = t.keep[:0]
	hs := b.Headers(r)
	for _, h := range hs {
		if !t.names[h.Key] {
			t.keep = append(t.keep, h)
		}
	}
	if len(t.keep) < len(hs) {
		b.SetHeaders(r, t.keep)
	}
	return true, nil
}

// ---- InsertHeader

type insertHeader struct {
	name   string
	schema *record.Schema
	value  *record.Datum // nil: null
}

func insertHeaderDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		orNull(opt("header", configdef.String, required, configdef.High, "Name of the header."), nullText("header", "entry must be non null")),
		orNull(opt("value.literal", configdef.String, required, configdef.High, "Its value; numbers, true, false, null, dates, lists and maps are recognised."),
			nullText("value.literal", "entry must be non null")),
	}}
}

func newInsertHeader(v configdef.Values) (Step, error) {
	s, d := parseLiteral(v.Props()["value.literal"])
	return &insertHeader{name: v.String("header"), schema: s, value: d}, nil
}

func (t *insertHeader) Apply(b *record.Batch, r *record.Record) (bool, error) {
	h := record.Header{Key: t.name, Schema: t.schema}
	if t.value != nil {
		h.Value = b.Put(t.value)
	}
	b.AddHeader(r, h)
	return true, nil
}
