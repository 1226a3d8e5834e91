package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// flatten turns nested structs into fields with joined names.
type flatten struct {
	side  side
	delim string
	plans planCache[*flattenPlan]
}

type flattenPlan struct {
	out    *record.Schema
	leaves []leaf
}

// leaf is the way to one field: indexes from the top, and the defaults on the way.
type leaf struct {
	path    []int
	schemas []*record.Schema
}

func flattenDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{opt("delimiter", configdef.String, ".", configdef.Medium, "What stands between the joined names.")}}
}

func newFlatten(s side, v configdef.Values) (Step, error) {
	return &flatten{side: s, delim: v.String("delimiter")}, nil
}

func (t *flatten) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if c.IsNull() {
		return true, nil
	}
	if s == nil {
		if err := requireMap(c, "flattening"); err != nil {
			return true, err
		}
		out := b.Alloc(record.Map, 2*t.count(b, c))
		t.fillMap(b, c, "", out, 0)
		t.side.set(r, nil, out)
		return true, nil
	}
	if err := requireStruct(c, s, "flattening"); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		p = &flattenPlan{out: basics(s)}
		if err := t.compile(p, s, "", s.Optional, s.Default, nil, nil); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	out := b.Alloc(record.Struct, len(p.leaves))
	for i := range p.leaves {
		l := &p.leaves[i]
		v := c
		for k, x := range l.path {
			if v = fieldValue(b, v, x, l.schemas[k], true); v.IsNull() {
				break
			}
		}
		b.SetChild(out, i, v)
	}
	t.side.set(r, p.out, out)
	return true, nil
}

// compile walks the schema; optional and def come from the structs above.
func (t *flatten) compile(p *flattenPlan, s *record.Schema, prefix string, optional bool, def *record.Datum, path []int, schemas []*record.Schema) error {
	for i, f := range s.Fields {
		name := f.Name
		if prefix != "" {
			name = prefix + t.delim + name
		}
		opt := optional || f.Schema.Optional
		d := f.Schema.Default
		if d == nil && def != nil && !def.Root.IsNull() {
			if v := def.Batch().Child(def.Root, i); !v.IsNull() {
				d = record.NewDatum(def.Batch(), v)
			}
		}
		at := append(append([]int(nil), path...), i)
		through := append(append([]*record.Schema(nil), schemas...), f.Schema)
		switch f.Schema.Type {
		case record.Struct:
			if err := t.compile(p, f.Schema, name, opt, d, at, through); err != nil {
				return err
			}
			continue
		case record.Map:
			return dataErr("Flatten transformation does not support %s for record with schemas (for field %s).", strings.ToUpper(f.Schema.Type.String()), name)
		}
		c := f.Schema.Copy()
		c.Optional, c.Default = opt, d
		p.out.Fields = append(p.out.Fields, record.Field{Name: name, Schema: c})
		p.leaves = append(p.leaves, leaf{at, through})
	}
	return nil
}

// count is the number of leaves of a schemaless map.
func (t *flatten) count(b *record.Batch, c record.Cell) int {
	n := 0
	for i := 1; i < c.Len(); i += 2 {
		if v := b.Child(c, i); v.Kind() == record.Map {
			n += t.count(b, v)
		} else {
			n++
		}
	}
	return n
}

// fillMap writes the leaves of a schemaless map into out from entry at on.
func (t *flatten) fillMap(b *record.Batch, c record.Cell, prefix string, out record.Cell, at int) int {
	for i := 0; i < c.Len(); i += 2 {
		name := string(b.Raw(b.Child(c, i)))
		if prefix != "" {
			name = prefix + t.delim + name
		}
		v := b.Child(c, i+1)
		if v.Kind() == record.Map {
			at = t.fillMap(b, v, name, out, at)
			continue
		}
		b.SetChild(out, at, b.StringCell(name))
		b.SetChild(out, at+1, v)
		at += 2
	}
	return at
}
