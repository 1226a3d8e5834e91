package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// jsonExpander turns JSON text into a value with a schema inferred from it.
type jsonExpander struct {
	nullBytes   bool // null members become optional bytes; else they are left out
	emptyString bool // empty arrays become arrays of optional text; else they are left out
	adjust      func(string) string
	interner    *record.Interner
	seen        int
}

// maxShapes bounds the inferred schemas that are kept.
const maxShapes = 4096

// node is a JSON value that keeps the order of members.
type node struct {
	kind   byte // o object, a array, s text, n number, b boolean, z null
	text   string
	truth  bool
	names  []string
	values []*node
}

var errExpand = errors.New("the text cannot be expanded")

// expand returns the schema and value of JSON text that begins with { or [; where
// that cannot be done, the text stays as it is. An empty array at the top loses
// its schema, as in Debezium.
func (x *jsonExpander) expand(b *record.Batch, name string, s *record.Schema, c record.Cell) (*record.Schema, record.Cell) {
	raw := b.Raw(c)
	if len(raw) == 0 || raw[0] != '{' && raw[0] != '[' {
		return s, c
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err != nil {
		return s, c
	}
	out, err := x.schema(name, n)
	if err != nil {
		return s, c
	}
	if out == nil {
		return nil, c
	}
	v, err := x.value(b, n, out)
	if err != nil {
		return s, c
	}
	if x.interner == nil || x.seen >= maxShapes {
		x.interner, x.seen = &record.Interner{}, 0
	}
	x.seen++
	return x.interner.Intern(out), v
}

func readNode(d *json.Decoder, depth int) (*node, error) {
	if depth > 500 {
		return nil, errExpand
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case string:
		return &node{kind: 's', text: t}, nil
	case json.Number:
		return &node{kind: 'n', text: t.String()}, nil
	case bool:
		return &node{kind: 'b', truth: t}, nil
	case nil:
		return &node{kind: 'z'}, nil
	case json.Delim:
		n := &node{kind: 'a'}
		if t == '{' {
			n.kind = 'o'
		}
		for d.More() {
			if n.kind == 'o' {
				k, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.names = append(n.names, k.(string))
			}
			v, err := readNode(d, depth+1)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, v)
		}
		_, err := d.Token()
		return n, err
	}
	return nil, errExpand
}

// numberType is int32, int64 or, for all else, float64.
func numberType(text string) record.Type {
	if strings.ContainsAny(text, ".eE") {
		return record.Float64
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return record.Float64
	case n == int64(int32(n)):
		return record.Int32
	}
	return record.Int64
}

// schema infers a schema; nil when the value has none and is left out.
func (x *jsonExpander) schema(key string, n *node) (*record.Schema, error) {
	switch n.kind {
	case 's':
		return record.OptionalString, nil
	case 'b':
		return record.OptionalBoolean, nil
	case 'n':
		return &record.Schema{Type: numberType(n.text), Optional: true}, nil
	case 'z':
		if x.nullBytes {
			return record.OptionalBytes, nil
		}
		return nil, nil
	case 'a':
		if len(n.values) == 0 {
			if x.emptyString {
				return &record.Schema{Type: record.Array, Optional: true, Elem: record.OptionalString}, nil
			}
			return nil, nil
		}
		e, err := x.element(key, n)
		return &record.Schema{Type: record.Array, Optional: true, Elem: e}, err
	}
	s := &record.Schema{Type: record.Struct, Optional: true, Name: key}
	have := map[string]bool{}
	for i, name := range n.names {
		if x.adjust != nil {
			name = x.adjust(name)
		}
		path := name
		if strings.TrimSpace(key) != "" {
			path = key + "." + name
		}
		fs, err := x.schema(path, n.values[i])
		if err != nil {
			return nil, err
		}
		if fs != nil && !have[name] {
			have[name] = true
			s.Fields = append(s.Fields, record.Field{Name: name, Schema: fs})
		}
	}
	return s, nil
}

// element is the schema of an array's elements, which must be of one kind; those
// of objects are merged.
func (x *jsonExpander) element(key string, n *node) (*record.Schema, error) {
	var first *node
	for _, v := range n.values {
		switch {
		case v.kind == 'z':
		case first == nil:
			first = v
		case v.kind != first.kind, v.kind == 'n' && numberType(v.text) != numberType(first.text):
			return nil, errExpand
		}
	}
	if first == nil {
		first = n.values[0]
	}
	if first.kind != 'o' {
		s, err := x.schema("", first)
		if err == nil && s == nil {
			err = errExpand
		}
		return s, err
	}
	var out *record.Schema
	for _, v := range n.values {
		if v.kind != 'o' {
			continue
		}
		s, err := x.schema(key, v)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = s
		} else if !record.Equal(out, s) {
			out = mergeSchemas(out, s)
		}
	}
	return out, nil
}

// mergeSchemas is the union of two struct schemas; a field that is bytes, which
// stand for null, in one takes the type it has in the other.
func mergeSchemas(a, b *record.Schema) *record.Schema {
	out := basics(a)
	out.Fields = append([]record.Field(nil), a.Fields...)
	for _, f := range b.Fields {
		i, have := out.Field(f.Name)
		switch {
		case i < 0:
			out = out.Copy() // drops the index of names made so far
			out.Fields = append(out.Fields, f)
		case have.Type == record.Bytes && f.Schema.Type != record.Bytes:
			out.Fields[i].Schema = f.Schema
		}
	}
	return out
}

// value makes the value; an error means that it does not fit the schema.
func (x *jsonExpander) value(b *record.Batch, n *node, s *record.Schema) (record.Cell, error) {
	if n.kind == 'z' {
		return record.Cell{}, nil
	}
	switch {
	case n.kind == 's' && s.Type == record.String:
		return b.StringCell(n.text), nil
	case n.kind == 'b' && s.Type == record.Boolean:
		return record.BoolCell(n.truth), nil
	case n.kind == 'n' && (s.Type == record.Int32 || s.Type == record.Int64):
		v, err := strconv.ParseInt(n.text, 10, intBits(s.Type))
		return record.IntCell(s.Type, v), err
	case n.kind == 'n' && s.Type == record.Float64 && strings.ContainsAny(n.text, ".eE"):
		f, err := strconv.ParseFloat(n.text, 64)
		if math.IsInf(f, 0) {
			err = nil
		}
		return record.Float64Cell(f), err
	case n.kind == 'a' && s.Type == record.Array:
		out := b.Alloc(record.Array, len(n.values))
		for i, e := range n.values {
			v, err := x.value(b, e, s.Elem)
			if err != nil {
				return out, err
			}
			b.SetChild(out, i, v)
		}
		return out, nil
	case n.kind == 'o' && s.Type == record.Struct:
		return x.object(b, n, s)
	}
	return record.Cell{}, errExpand
}

func (x *jsonExpander) object(b *record.Batch, n *node, s *record.Schema) (record.Cell, error) {
	out := b.Alloc(record.Struct, len(s.Fields))
	for k, name := range n.names {
		if x.adjust != nil {
			name = x.adjust(name)
		}
		i, fs := s.Field(name)
		if i < 0 {
			continue
		}
		v, err := x.value(b, n.values[k], fs)
		if err != nil {
			return out, err
		}
		b.SetChild(out, i, v)
	}
	return out, nil
}
