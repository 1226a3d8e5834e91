package oracle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"millrace/internal/testkit"
)

// Request is one call of a Schema Registry that a case makes. A schema in the body
// is written as YAML and sent as text.
type Request struct {
	Method string    `yaml:"method"` // PUT when it is left out
	Path   string    `yaml:"path"`
	Body   yaml.Node `yaml:"body"`
}

// schemas reads what a run wrote with a registry's converters.
type schemas struct {
	rest  testkit.Rest
	known map[uint32]*Object // by id
}

// ask sends a request of the case.
func (s *session) ask(ctx context.Context, r Request) error {
	method := cmp.Or(r.Method, "PUT")
	var body any
	if r.Body.Kind != 0 {
		body = json.RawMessage(s.fill(yamlJSON(&r.Body, true)))
	}
	return s.registry.rest.Do(ctx, method, s.fill(r.Path), body, nil)
}

// yamlJSON writes YAML as JSON in the order of its text. At the top the field
// schema becomes a text that holds its JSON.
func yamlJSON(n *yaml.Node, top bool) string {
	text := func(s string) string {
		b, _ := json.Marshal(s) // a string always marshals
		return string(b)
	}
	switch n.Kind {
	case yaml.MappingNode:
		var parts []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			x := yamlJSON(v, false)
			if top && k.Value == "schema" && v.Kind != yaml.ScalarNode {
				x = text(x)
			}
			parts = append(parts, text(k.Value)+":"+x)
		}
		return "{" + strings.Join(parts, ",") + "}"
	case yaml.SequenceNode:
		var parts []string
		for _, e := range n.Content {
			parts = append(parts, yamlJSON(e, false))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	switch n.Tag {
	case "!!null":
		return "null"
	case "!!int", "!!float", "!!bool":
		return strings.ToLower(n.Value)
	}
	return text(n.Value)
}

// schema returns what the registry has under an id, nil when it has nothing.
func (x *schemas) schema(ctx context.Context, id uint32) (*Object, error) {
	if o, ok := x.known[id]; ok {
		return o, nil
	}
	o, err := x.get(ctx, "/schemas/ids/"+strconv.FormatUint(uint64(id), 10))
	if testkit.IsStatus(err, 404) {
		o, err = nil, nil
	}
	if err == nil {
		x.known[id] = o
	}
	return o, err
}

func (x *schemas) get(ctx context.Context, path string) (*Object, error) {
	var b rawJSON
	if err := x.rest.Do(ctx, "GET", path, nil, &b); err != nil {
		return nil, err
	}
	v, err := ParseJSON(b)
	o, _ := v.(*Object)
	if err == nil && o == nil {
		err = fmt.Errorf("%s is no object", path)
	}
	return o, err
}

type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error { *r = bytes.Clone(b); return nil }

// parse reads a key or value that a registry's converter wrote. nil is neither
// Avro nor JSON Schema.
func (x *schemas) parse(ctx context.Context, b []byte) (*Object, error) {
	if len(b) < 5 || b[0] != 0 {
		return nil, nil
	}
	o, err := x.schema(ctx, binary.BigEndian.Uint32(b[1:]))
	if err != nil || o == nil {
		return nil, err
	}
	text, _ := o.Get("schema")
	kind, _ := o.Get("schemaType")
	if kind == "PROTOBUF" {
		return nil, nil
	}
	s, err := ParseJSON([]byte(fmt.Sprint(text)))
	if err != nil {
		return nil, err
	}
	if kind == "JSON" {
		v, err := ParseJSON(b[5:])
		return object("jsonschema", object("schema", s, "value", v)), err
	}
	v, odd, err := decodeAvro(s, b[5:])
	if err != nil {
		return nil, err
	}
	inner := object("schema", s, "value", v)
	if len(odd) > 0 {
		inner.Set("odd", odd)
	}
	return object("avro", inner), nil
}

// registered makes a row of each subject of the run: its level and its versions.
func (s *session) registered(ctx context.Context) (out []Row, err error) {
	if s.registry == nil {
		return nil, nil
	}
	n := NewNormal(s.run, *s.c.Normal)
	names, err := s.subjects(ctx)
	for _, name := range names {
		if strings.Contains(name, "zz_sentinel") {
			continue
		}
		at := "/subjects/" + url.PathEscape(name) + "/versions"
		var numbers []int
		err = errors.Join(err, s.registry.rest.Do(ctx, "GET", at, nil, &numbers))
		versions := []Value{}
		for _, v := range numbers {
			o, e := s.registry.get(ctx, at+"/"+strconv.Itoa(v))
			if e != nil {
				return nil, e
			}
			text, _ := o.Get("schema")
			var schema Value = n.Text(fmt.Sprint(text))
			if kind, _ := o.Get("schemaType"); kind != "PROTOBUF" {
				if schema, e = ParseJSON([]byte(fmt.Sprint(text))); e != nil {
					return nil, e
				}
				schema = n.schema(schema)
			}
			versions = append(versions, schema)
		}
		o, e := s.registry.get(ctx, "/config/"+url.PathEscape(name)+"?defaultToGlobal=true")
		if e != nil {
			return nil, e
		}
		level, _ := o.Get("compatibilityLevel")
		out = append(out, object("topic", "~registered "+n.Text(name), "key", nil, "value", object("registered", object("compatibility", level, "versions", versions))))
	}
	return out, err
}

func (s *session) subjects(ctx context.Context) ([]string, error) {
	var all []string
	err := s.registry.rest.Do(ctx, "GET", "/subjects", nil, &all)
	all = slices.DeleteFunc(all, func(n string) bool { return !strings.Contains(n, s.run.Prefix) })
	slices.Sort(all)
	return all, err
}

// forgetSchemas deletes the run's subjects.
func (s *session) forgetSchemas(ctx context.Context) error {
	if s.registry == nil {
		return nil
	}
	names, err := s.subjects(ctx)
	for _, n := range names {
		err = errors.Join(err, s.registry.rest.Do(ctx, "DELETE", "/subjects/"+url.PathEscape(n), nil, nil))
	}
	return err
}
