package convert

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"millrace/internal/record"
)

// jsonReader is the reading half of the JsonConverter. Its plans are found by the
// bytes of the schema text. It is safe for concurrent use.
type jsonReader struct {
	schemas     bool
	replaceNull bool
	max         int
	fixed       *jsonReadPlan // schema.content

	last  atomic.Pointer[jsonReadPlan] // of the message before: mostly the same again
	mu    sync.RWMutex
	texts map[string]*jsonReadPlan
	in    *record.Interner
	pool  sync.Pool
}

// jsonReadPlan reads payloads of one schema; a nil root reads schemaless values.
type jsonReadPlan struct {
	schema *record.Schema
	root   *jsonReadNode
	text   string
	head   []byte // how an envelope with this schema begins when it has no spaces
}

func (r *jsonReader) init(schemas, replaceNull bool, limit int) {
	r.schemas, r.replaceNull, r.max = schemas, replaceNull, limit
	r.texts, r.in = map[string]*jsonReadPlan{}, &record.Interner{}
	r.pool.New = func() any { return new(jsonScanner) }
}

// fix makes the reader use one schema for every message.
func (r *jsonReader) fix(text []byte) (err error) {
	r.fixed, err = r.plan(text)
	return err
}

// plan returns the plan of a schema text.
func (r *jsonReader) plan(text []byte) (*jsonReadPlan, error) {
	r.mu.RLock()
	p := r.texts[string(text)]
	r.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.texts[string(text)]; p != nil {
		return p, nil
	}
	if r.max > 0 && len(r.texts) >= r.max {
		r.texts, r.in = map[string]*jsonReadPlan{}, &record.Interner{}
	}
	s, _, err := parseJSONSchema(text, r.replaceNull, 0)
	if err != nil {
		return nil, err
	}
	p = &jsonReadPlan{schema: r.in.Intern(s), text: string(text)}
	p.head = []byte(`{"schema":` + p.text + `,"payload":`)
	if p.schema != nil {
		if p.root, err = compileJSONRead(p.schema, r.replaceNull); err != nil {
			return nil, err
		}
	}
	r.texts[p.text] = p
	return p, nil
}

// Decode implements Converter: an envelope of schema and payload, or with
// schemas.enable=false a plain value whose objects become Map, whole numbers
// Int64 and other numbers Float64 cells. Blank data is a null, as in Connect.
func (j *JSON) Decode(_ context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return nil, record.Cell{}, nil
	}
	s := j.reader.pool.Get().(*jsonScanner)
	*s = jsonScanner{data: bytes.TrimPrefix(data, []byte("\uFEFF")), stack: s.stack[:0], name: s.name[:0]}
	schema, c, err := j.reader.read(s, b)
	s.data = nil
	j.reader.pool.Put(s)
	if err != nil {
		return nil, record.Cell{}, dataError(topic, "Converting byte[] to Kafka Connect data failed", err)
	}
	return schema, c, nil
}

// DecodeHeader implements HeaderConverter.
func (j *JSON) DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	s, c, err := j.Decode(context.Background(), topic, data, b)
	return record.Header{Key: key, Schema: s, Value: c}, err
}

func (r *jsonReader) read(s *jsonScanner, b *record.Batch) (*record.Schema, record.Cell, error) {
	if s.peek(); s.pos == len(s.data) && (!r.schemas || r.fixed != nil) {
		return nil, record.Cell{}, nil
	}
	if !r.schemas {
		c, err := readJSONAny(s, b)
		return nil, c, orEnd(s, err)
	}
	if r.fixed != nil {
		return r.payload(s, r.fixed, b)
	}
	if p := r.last.Load(); p != nil && bytes.HasPrefix(s.data, p.head) {
		s.pos, s.depth = len(p.head), 1
		c, err := p.read(s, b)
		if err == nil {
			err = s.expect('}')
		}
		return p.schema, c, orEnd(s, err)
	}
	schema, payload, err := r.envelope(s)
	if err != nil {
		return nil, record.Cell{}, err
	}
	p, err := r.plan(schema)
	if err != nil {
		return nil, record.Cell{}, err
	}
	r.last.Store(p)
	s.pos, s.depth = payload.from, 0
	s.data = s.data[:payload.to]
	return r.payload(s, p, b)
}

func (r *jsonReader) payload(s *jsonScanner, p *jsonReadPlan, b *record.Batch) (*record.Schema, record.Cell, error) {
	c, err := p.read(s, b)
	return p.schema, c, orEnd(s, err)
}

// read takes one value.
func (p *jsonReadPlan) read(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	if p.root == nil {
		return readJSONAny(s, b)
	}
	return p.root.read(s, b)
}

func orEnd(s *jsonScanner, err error) error {
	if err != nil {
		return err
	}
	return s.end()
}

type textSpan struct{ from, to int }

// envelope finds the two members of {"schema":…,"payload":…}.
func (r *jsonReader) envelope(s *jsonScanner) (schema []byte, payload textSpan, err error) {
	other, seen := s.peek() != '{', 0
	if other {
		if s.pos < len(s.data) {
			_, err = s.skip() // text that is no JSON at all is told from a wrong document
		}
	} else {
		err = s.members('{', func(name []byte) error {
			isSchema := string(name) == "schema"
			if !isSchema && string(name) != "payload" {
				other = true
			} else if isSchema {
				seen |= 1
			} else {
				seen |= 2
			}
			s.peek()
			from := s.pos
			text, err := s.skip()
			if isSchema {
				schema = text
			} else {
				payload = textSpan{from, s.pos}
			}
			return err
		})
	}
	switch {
	case err != nil:
	case other || seen != 3:
		err = javaError(`JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.`)
	default:
		err = s.end()
	}
	return schema, payload, err
}

// readJSONAny takes a schemaless value.
func readJSONAny(s *jsonScanner, b *record.Batch) (record.Cell, error) {
	c := s.peek()
	switch c {
	case '{', '[':
		kind := record.Array
		if c == '{' {
			kind = record.Map
		}
		base := len(s.stack)
		err := s.members(c, func(name []byte) error {
			if c == '[' {
				v, err := readJSONAny(s, b)
				s.stack = append(s.stack, v)
				return err
			}
			k := b.BytesCell(record.String, name)
			v, err := readJSONAny(s, b)
			s.setEntry(b, base, k, v)
			return err
		})
		return s.collect(kind, base, b), err
	case '"':
		return readJSONText(s, b)
	case 'n':
		return record.Cell{}, s.literal("null")
	case 't':
		return record.BoolCell(true), s.literal("true")
	case 'f':
		return record.BoolCell(false), s.literal("false")
	}
	text, whole, err := s.number()
	if err != nil {
		return record.Cell{}, err
	}
	if whole {
		if v, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return record.Int64Cell(v), nil
		}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return record.Cell{}, s.fail("the number is too large")
	}
	return record.Float64Cell(v), nil
}

// jsonSchemaParts are the members of a schema object as text.
type jsonSchemaParts struct {
	typ, items, keys, values, fields, optional, name, version, doc, params, def, field []byte
}

func (p *jsonSchemaParts) slot(name string) *[]byte {
	switch name {
	case "type":
		return &p.typ
	case "items":
		return &p.items
	case "keys":
		return &p.keys
	case "values":
		return &p.values
	case "fields":
		return &p.fields
	case "optional":
		return &p.optional
	case "name":
		return &p.name
	case "version":
		return &p.version
	case "doc":
		return &p.doc
	case "parameters":
		return &p.params
	case "default":
		return &p.def
	case "field":
		return &p.field
	}
	return nil
}

// jsonTypes are the type names of JsonConverter's schemas.
var jsonTypes = map[string]record.Type{
	"boolean": record.Boolean, "int8": record.Int8, "int16": record.Int16, "int32": record.Int32, "int64": record.Int64,
	"float": record.Float32, "double": record.Float64, "bytes": record.Bytes, "string": record.String,
	"array": record.Array, "map": record.Map, "struct": record.Struct,
}

// jsonTextOf returns the text of a JSON string, ok false for anything else.
func jsonTextOf(text []byte) (string, bool) {
	if len(text) < 2 || text[0] != '"' {
		return "", false
	}
	return string(appendUnescaped(nil, text[1:len(text)-1])), true
}

// parseJSONSchema reads a schema as JsonConverter writes it, and the name of the
// field it is the schema of. The text null is no schema.
func parseJSONSchema(text []byte, replaceNull bool, depth int) (*record.Schema, []byte, error) {
	if string(bytes.TrimSpace(text)) == "null" {
		return nil, nil, nil
	}
	var p jsonSchemaParts
	s := jsonScanner{data: text, depth: depth}
	if s.peek() != '{' {
		return nil, nil, javaError("Schema must contain 'type' field")
	}
	err := s.members('{', func(name []byte) error {
		slot := p.slot(string(name))
		part, err := s.skip()
		if slot != nil {
			*slot = part
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	name, ok := jsonTextOf(p.typ)
	if !ok {
		return nil, nil, javaError("Schema must contain 'type' field")
	}
	t, ok := jsonTypes[name]
	if !ok {
		return nil, nil, javaError("Unknown schema type: " + name)
	}
	out := &record.Schema{Type: t, Optional: string(p.optional) == "true"}
	if err := p.children(out, replaceNull, depth+1); err != nil {
		return nil, nil, err
	}
	return out, p.field, p.attributes(out, replaceNull)
}

func (p *jsonSchemaParts) children(out *record.Schema, replaceNull bool, depth int) (err error) {
	child := func(text []byte, missing string) *record.Schema {
		if err != nil {
			return nil
		}
		var c *record.Schema
		if text != nil {
			c, _, err = parseJSONSchema(text, replaceNull, depth)
		}
		if err == nil && c == nil {
			err = javaError(missing)
		}
		return c
	}
	switch out.Type {
	case record.Array:
		out.Elem = child(p.items, "Array schema did not specify the element type")
	case record.Map:
		out.Key = child(p.keys, "Map schema did not specify the key type")
		out.Elem = child(p.values, "Map schema did not specify the value type")
	case record.Struct:
		if len(p.fields) == 0 || p.fields[0] != '[' {
			return javaError("Struct schema's \"fields\" argument is not an array.")
		}
		s := jsonScanner{data: p.fields, depth: depth}
		seen := map[string]bool{}
		err = s.members('[', func([]byte) error {
			text, err := s.skip()
			if err != nil {
				return err
			}
			c, field, err := parseJSONSchema(text, replaceNull, depth)
			if err != nil {
				return err
			}
			name, ok := jsonTextOf(field)
			if !ok || c == nil || seen[name] {
				return javaError("Struct schema's field name not specified properly")
			}
			seen[name] = true
			out.Fields = append(out.Fields, record.Field{Name: name, Schema: c})
			return nil
		})
	}
	return err
}

func (p *jsonSchemaParts) attributes(out *record.Schema, replaceNull bool) error {
	out.Name, _ = jsonTextOf(p.name)
	var have bool
	out.Doc, have = jsonTextOf(p.doc)
	out.EmptyDoc = have && out.Doc == ""
	if v, err := strconv.ParseInt(string(p.version), 10, 32); err == nil {
		out.Version = int(v)
	}
	if len(p.params) > 0 && p.params[0] == '{' {
		s := jsonScanner{data: p.params}
		err := s.members('{', func(name []byte) error {
			text, err := s.skip()
			if err != nil {
				return err
			}
			v, ok := jsonTextOf(text)
			if !ok {
				return javaError("Schema parameters must have string values.")
			}
			out.Params = append(out.Params, record.Param{Key: string(name), Value: v})
			return nil
		})
		if err != nil {
			return err
		}
	}
	if p.def == nil || string(p.def) == "null" {
		return nil
	}
	n, err := compileJSONRead(out, replaceNull)
	if err != nil {
		return err
	}
	var b record.Batch
	c, err := n.read(&jsonScanner{data: p.def}, &b)
	if err != nil {
		return within("default", err)
	}
	out.Default = record.NewDatum(&b, c)
	return nil
}
