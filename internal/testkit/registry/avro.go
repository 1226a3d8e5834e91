package registry

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// avro is a schema whose named types are resolved.
type avro struct {
	kind     string // record, enum, union, int, …
	name     string // without namespace
	full     string
	aliases  []string // full names
	fields   []avroField
	branches []*avro // of a union
	items    *avro   // of an array or map
	symbols  []string
	size     string // of a fixed
	fallback bool   // an enum with a default
}

type avroField struct {
	name    string
	aliases []string
	schema  *avro
	deflt   any
	has     bool // there is a default
}

// invalid is the text of Avro's SchemaParseException.
type invalid string

func (e invalid) Error() string { return string(e) }

// parseAvro reads a schema and checks names and defaults as Avro does.
func parseAvro(v any) (*avro, error) {
	p := &avroParser{names: map[string]*avro{}}
	return p.schema(v, "")
}

type avroParser struct{ names map[string]*avro }

var primitives = []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}

func (p *avroParser) schema(v any, space string) (*avro, error) {
	switch x := v.(type) {
	case string:
		if slices.Contains(primitives, x) {
			return &avro{kind: x}, nil
		}
		if s := p.names[qualified(x, space)]; s != nil {
			return s, nil
		}
		return nil, invalid("Undefined schema: " + qualified(x, space))
	case []any:
		u := &avro{kind: "union"}
		seen := map[string]bool{}
		for _, e := range x {
			s, err := p.schema(e, space)
			if err != nil {
				return nil, err
			}
			key := s.kind + s.full
			if s.kind == "union" {
				return nil, invalid("Nested union: " + canonical(v, false))
			}
			if seen[key] {
				return nil, invalid("Duplicate in union:" + strings.TrimPrefix(key, s.kind))
			}
			seen[key] = true
			u.branches = append(u.branches, s)
		}
		return u, nil
	case *object:
		return p.object(x, space)
	}
	return nil, invalid("Schema not yet supported: " + canonical(v, false))
}

func (p *avroParser) object(o *object, space string) (*avro, error) {
	kind, ok := o.vals["type"].(string)
	if !ok {
		if o.vals["type"] == nil {
			return nil, invalid("No type: " + canonical(o, false))
		}
		return p.schema(o.vals["type"], space)
	}
	switch kind {
	case "record", "error", "enum", "fixed":
		return p.named(o, kind, space)
	case "array", "map":
		inner := o.vals[map[string]string{"array": "items", "map": "values"}[kind]]
		s, err := p.schema(inner, space)
		return &avro{kind: kind, items: s}, err
	}
	return p.schema(kind, space)
}

func (p *avroParser) named(o *object, kind, space string) (*avro, error) {
	full := o.text("name")
	if full == "" {
		return nil, invalid("No name in schema: " + canonical(o, false))
	}
	if !strings.Contains(full, ".") {
		if n, ok := o.vals["namespace"].(string); ok {
			space = n
		}
		full = qualified(full, space)
	}
	at := strings.LastIndexByte(full, '.')
	s := &avro{kind: kind, name: full[at+1:], full: full}
	space = full[:max(at, 0)]
	for part := range strings.SplitSeq(space, ".") {
		if e := nameError(part); e != "" && space != "" {
			return nil, invalid(fmt.Sprintf("Namespace part %q is invalid: %s", part, e))
		}
	}
	if e := nameError(s.name); e != "" {
		return nil, invalid(e)
	}
	if p.names[full] != nil {
		return nil, invalid("Can't redefine: " + full)
	}
	p.names[full] = s
	for _, a := range texts(o.vals["aliases"]) {
		s.aliases = append(s.aliases, qualified(a, space))
	}
	s.symbols = texts(o.vals["symbols"])
	_, s.fallback = o.vals["default"]
	if n, ok := o.vals["size"].(json.Number); ok {
		s.size = n.String()
	}
	fields, _ := o.vals["fields"].([]any)
	for _, f := range fields {
		if err := p.field(s, f, space); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (p *avroParser) field(s *avro, v any, space string) error {
	o, ok := v.(*object)
	if !ok {
		return invalid("No field name: " + canonical(v, false))
	}
	f := avroField{name: o.text("name"), aliases: texts(o.vals["aliases"])}
	if e := nameError(f.name); e != "" {
		return invalid(e)
	}
	for _, g := range s.fields {
		if g.name == f.name {
			return invalid("Duplicate field " + f.name + " in record " + s.full)
		}
	}
	var err error
	if f.schema, err = p.schema(o.vals["type"], space); err != nil {
		return err
	}
	if f.deflt, f.has = o.vals["default"]; f.has && !f.schema.accepts(f.deflt) {
		return invalid(fmt.Sprintf("Invalid default for field %s: %s not a %s", f.name, canonical(f.deflt, false), canonical(o.vals["type"], false)))
	}
	s.fields = append(s.fields, f)
	return nil
}

// accepts reports whether a default fits.
func (s *avro) accepts(v any) bool {
	n, isNumber := v.(json.Number)
	switch s.kind {
	case "null":
		return v == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "string", "bytes", "enum", "fixed":
		_, ok := v.(string)
		return ok
	case "int", "long":
		i, err := n.Int64()
		return isNumber && err == nil && (s.kind == "long" || i >= math.MinInt32 && i <= math.MaxInt32)
	case "float", "double":
		return isNumber
	case "array":
		l, ok := v.([]any)
		return ok && !slices.ContainsFunc(l, func(e any) bool { return !s.items.accepts(e) })
	case "map":
		o, ok := v.(*object)
		return ok && !slices.ContainsFunc(o.keys, func(k string) bool { return !s.items.accepts(o.vals[k]) })
	case "union":
		return slices.ContainsFunc(s.branches, func(b *avro) bool { return b.accepts(v) })
	}
	o, ok := v.(*object)
	if !ok {
		return false
	}
	for _, f := range s.fields {
		d, has := o.vals[f.name]
		if !has {
			d = f.deflt
		}
		if !has && !f.has || !f.schema.accepts(d) {
			return false
		}
	}
	return true
}

func qualified(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func nameError(s string) string {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if i == 0 && !letter {
			return "Illegal initial character: " + s
		}
		if !letter && (c < '0' || c > '9') {
			return "Illegal character in: " + s
		}
	}
	if s == "" {
		return "Empty name"
	}
	return ""
}

func texts(v any) (out []string) {
	l, _ := v.([]any)
	for _, e := range l {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
