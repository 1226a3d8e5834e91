package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// headerToValue copies or moves headers into the value; names with dots go into
// nested structs.
type headerToValue struct {
	paths map[string][]string // header name -> where it goes
	move  bool
	plans planCache[[]*headerValuePlan] // variants, by the headers' schemas
	found []record.Header
	keep  []record.Header
}

// headerValuePlan is the work for a value schema and the headers that were there.
type headerValuePlan struct {
	keys    []string
	schemas []*record.Schema
	node    *valueNode
}

// valueNode rebuilds one struct: fields taken over, rebuilt or set from headers.
type valueNode struct {
	copy   *copyPlan
	nested map[int]*valueNode // by field of the new struct
	set    map[int]int        // field of the new struct -> header
	fresh  bool               // a struct that was not there before
}

func headerToValueDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("headers", configdef.List, noDefault, configdef.High, configdef.WidthNone, "Header names list", "Headers to take.", needed),
		dopt("fields", configdef.List, noDefault, configdef.High, configdef.WidthNone, "Field names list", "Where they go, one per header; dots lead into nested structs.", needed, func(in configdef.Input) []string {
			if len(configdef.SplitList(in.Value)) != len(configdef.SplitList(in.Props["headers"])) {
				return []string{"'fields' config must have the same number of elements as 'headers' config."}
			}
			return nil
		}),
		dopt("operation", configdef.String, noDefault, configdef.High, configdef.WidthNone, "Operation: mover or copy", "move takes the headers away, copy leaves them.", needed, enum("move", "copy")),
	}}
}

func newHeaderToValue(v configdef.Values) (Step, error) {
	t := &headerToValue{paths: map[string][]string{}, move: v.Enum("operation") == "move"}
	fields := v.List("fields")
	for i, h := range v.List("headers") {
		if t.paths[h] == nil {
			t.paths[h] = strings.Split(fields[i], ".")
		}
	}
	return t, nil
}

func (t *headerToValue) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	if err := requireStruct(r.Value, r.ValueSchema, "Header field insertion"); err != nil {
		return true, err
	}
	t.found, t.keep = t.found[:0], t.keep[:0]
	for _, h := range b.Headers(r) {
		if t.paths[h.Key] != nil {
			t.found = append(t.found, h)
		} else {
			t.keep = append(t.keep, h)
		}
	}
	if len(t.found) == 0 {
		return true, nil
	}
	p, err := t.plan(r.ValueSchema)
	if err != nil {
		return true, err
	}
	r.ValueSchema, r.Value = p.node.copy.out, t.build(b, r.Value, p.node)
	if t.move {
		b.SetHeaders(r, t.keep)
	}
	return true, nil
}

func (t *headerToValue) plan(s *record.Schema) (*headerValuePlan, error) {
	variants, _ := t.plans.lookup(s)
	for _, p := range variants {
		if p.fits(t.found) {
			return p, nil
		}
	}
	p := &headerValuePlan{}
	entries := map[string]int{}
	var paths [][]string
	var at []int
	for i, h := range t.found {
		p.keys, p.schemas = append(p.keys, h.Key), append(p.schemas, h.Schema)
		path := t.paths[h.Key]
		if j, again := entries[h.Key]; again {
			at[j] = i // the last header of a name wins
			continue
		}
		entries[h.Key] = len(paths)
		paths, at = append(paths, path), append(at, i)
	}
	var err error
	if p.node, err = compileNode(s, p.schemas, paths, at); err != nil {
		return nil, err
	}
	if len(variants) >= 64 {
		variants = nil
	}
	t.plans.store(s, append(variants, p))
	return p, nil
}

func (p *headerValuePlan) fits(hs []record.Header) bool {
	if len(hs) != len(p.keys) {
		return false
	}
	for i := range hs {
		if hs[i].Key != p.keys[i] || hs[i].Schema != p.schemas[i] {
			return false
		}
	}
	return true
}

// compileNode makes the plan of a struct and the entries that go into it; at
// holds the header of each path. A nil schema is a struct that does not exist yet.
func compileNode(s *record.Schema, headers []*record.Schema, paths [][]string, at []int) (*valueNode, error) {
	n := &valueNode{nested: map[int]*valueNode{}, set: map[int]int{}}
	index := map[string]int{}
	if s == nil {
		n.fresh, n.copy = true, &copyPlan{out: &record.Schema{Type: record.Struct, Optional: true}}
	} else {
		n.copy = wholeCopy(s, basics(s), true)
		for i, f := range s.Fields {
			index[f.Name] = i
		}
	}
	below := map[string][]int{}
	var order []string
	for i, path := range paths {
		if len(path) > 1 {
			if below[path[0]] == nil {
				order = append(order, path[0])
			}
			below[path[0]] = append(below[path[0]], i)
			continue
		}
		f, there := index[path[0]]
		if !there {
			f = len(n.copy.from)
			index[path[0]] = f
			fs := headers[at[i]]
			if fs == nil {
				fs = record.OptionalString
			}
			n.copy.add(path[0], fs, -1, false)
		}
		if h := headers[at[i]]; there && h != nil && h.Type != n.copy.out.Fields[f].Schema.Type {
			var b record.Batch
			return nil, dataErr("Invalid Java object for schema with type %s: class %s for field: \"%s\"",
				strings.ToUpper(n.copy.out.Fields[f].Schema.Type.String()), javaClass(b.Alloc(h.Type, 0), h), path[0])
		}
		n.set[f] = at[i]
	}
	for _, name := range order {
		var rest [][]string
		var sub []int
		for _, i := range below[name] {
			rest, sub = append(rest, paths[i][1:]), append(sub, at[i])
		}
		f, there := index[name]
		var old *record.Schema
		if there {
			if old = n.copy.out.Fields[f].Schema; old.Type != record.Struct {
				return nil, dataErr("Field '%s' is a primitive type, not a struct. Cannot add nested field '%s'.", name, name+"."+strings.Join(rest[0], "."))
			}
		}
		child, err := compileNode(old, headers, rest, sub)
		if err != nil {
			return nil, err
		}
		if there {
			n.copy.out.Fields[f].Schema, n.copy.defaults[f] = child.copy.out, nil
		} else {
			f = len(n.copy.from)
			n.copy.add(name, child.copy.out, -1, false)
		}
		n.nested[f] = child
	}
	return n, nil
}

func (t *headerToValue) build(b *record.Batch, c record.Cell, n *valueNode) record.Cell {
	out := n.copy.apply(b, c)
	for f, h := range n.set {
		b.SetChild(out, f, t.found[h].Value)
	}
	for f, child := range n.nested {
		if v := b.Child(out, f); child.fresh || !v.IsNull() {
			b.SetChild(out, f, t.build(b, v, child))
		}
	}
	return out
}
