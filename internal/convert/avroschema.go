package convert

import (
	"strconv"
	"strings"
)

// avroKind is an Avro type.
type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroRecord
	avroEnum
	avroArray
	avroMap
	avroUnion
	avroFixed
)

var avroKindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

func (k avroKind) String() string { return avroKindNames[k] }

// avroPrimitives are the kinds that are written as their name alone.
var avroPrimitives = map[string]avroKind{
	"null": avroNull, "boolean": avroBoolean, "int": avroInt, "long": avroLong, "float": avroFloat,
	"double": avroDouble, "bytes": avroBytes, "string": avroString,
}

// avroSchema is a node of an Avro schema. Named types that are used again are the
// same pointer.
type avroSchema struct {
	kind      avroKind
	name      string // of named types, without namespace
	namespace string
	doc       string
	fields    []avroField
	elem      *avroSchema   // items of an array, values of a map
	branches  []*avroSchema // of a union
	symbols   []string
	size      int
	enumDef   string
	props     []avroProp // in the order they are written
}

// avroProp is a property beyond those of Avro itself, its value as JSON text.
type avroProp struct {
	key   string
	value []byte
}

type avroField struct {
	name string
	doc  string
	typ  *avroSchema
	def  []byte // JSON text; nil: none
}

// fullName is the name with its namespace.
func (s *avroSchema) fullName() string {
	if s.namespace == "" {
		return s.name
	}
	return s.namespace + "." + s.name
}

// prop returns the JSON text of a property, nil when it is not there.
func (s *avroSchema) prop(key string) []byte {
	for _, p := range s.props {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// textProp returns a property that is a JSON string.
func (s *avroSchema) textProp(key string) string {
	v, _ := jsonTextOf(s.prop(key))
	return v
}

// intProp returns a property that is a whole number.
func (s *avroSchema) intProp(key string) (int, bool) {
	n, err := strconv.Atoi(string(s.prop(key)))
	return n, err == nil
}

func (s *avroSchema) add(key string, value []byte) {
	s.props = append(s.props, avroProp{key, value})
}

func (s *avroSchema) addText(key, value string) {
	s.add(key, appendAvroText(nil, value))
}

// appendAvroText quotes a text as Avro's own schema printer does: like
// appendJSONString, but characters beyond the basic plane stay as they are.
func appendAvroText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			dst = appendJSONEscape(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// text returns the schema as Avro's Schema.toString writes it, which is what is
// registered and what its id depends on.
func (s *avroSchema) text() string { return s.textWithin("") }

// textWithin is text for a place in a record of a namespace.
func (s *avroSchema) textWithin(space string) string {
	w := avroWriter{seen: map[string]bool{}}
	w.write(s, space)
	return string(w.out)
}

// avroWriter prints a schema; a named type is spelled out once, found by its name
// alone, and named afterwards.
type avroWriter struct {
	out  []byte
	seen map[string]bool
}

func (w *avroWriter) raw(text string) { w.out = append(w.out, text...) }

func (w *avroWriter) write(s *avroSchema, space string) {
	switch s.kind {
	case avroUnion:
		w.raw("[")
		for i, b := range s.branches {
			if i > 0 {
				w.raw(",")
			}
			w.write(b, space)
		}
		w.raw("]")
		return
	case avroRecord, avroEnum, avroFixed:
		w.named(s, space)
		return
	case avroArray:
		w.raw(`{"type":"array","items":`)
		w.write(s.elem, space)
	case avroMap:
		w.raw(`{"type":"map","values":`)
		w.write(s.elem, space)
	default:
		if len(s.props) == 0 {
			w.raw(`"` + s.kind.String() + `"`)
			return
		}
		w.raw(`{"type":"` + s.kind.String() + `"`)
	}
	w.properties(s)
	w.raw("}")
}

func (w *avroWriter) properties(s *avroSchema) {
	for _, p := range s.props {
		w.raw(",")
		w.out = append(appendAvroText(w.out, p.key), ':')
		w.out = append(w.out, p.value...)
	}
}

func (w *avroWriter) named(s *avroSchema, space string) {
	full := s.fullName()
	if w.seen[full] {
		if _, primitive := avroPrimitives[s.name]; s.namespace == space && !primitive {
			full = s.name
		}
		w.out = appendAvroText(w.out, full)
		return
	}
	w.seen[full] = true
	w.raw(`{"type":"` + s.kind.String() + `","name":`)
	w.out = appendAvroText(w.out, s.name)
	if s.namespace != space {
		w.raw(`,"namespace":`)
		w.out = appendAvroText(w.out, s.namespace)
	}
	if s.doc != "" {
		w.raw(`,"doc":`)
		w.out = appendAvroText(w.out, s.doc)
	}
	switch s.kind {
	case avroRecord:
		w.raw(`,"fields":[`)
		for i, f := range s.fields {
			if i > 0 {
				w.raw(",")
			}
			w.field(f, s.namespace)
		}
		w.raw("]")
	case avroEnum:
		w.raw(`,"symbols":[`)
		for i, sym := range s.symbols {
			if i > 0 {
				w.raw(",")
			}
			w.out = appendAvroText(w.out, sym)
		}
		w.raw("]")
		if s.enumDef != "" {
			w.raw(`,"default":`)
			w.out = appendAvroText(w.out, s.enumDef)
		}
	case avroFixed:
		w.raw(`,"size":` + strconv.Itoa(s.size))
	}
	w.properties(s)
	w.raw("}")
}

func (w *avroWriter) field(f avroField, space string) {
	w.raw(`{"name":`)
	w.out = appendAvroText(w.out, f.name)
	w.raw(`,"type":`)
	w.write(f.typ, space)
	if f.doc != "" {
		w.raw(`,"doc":`)
		w.out = appendAvroText(w.out, f.doc)
	}
	if f.def != nil {
		w.raw(`,"default":`)
		w.out = append(w.out, f.def...)
	}
	w.raw("}")
}

// ---- reading schema text

// avroParser reads schema text; named types of references are put into names
// before.
type avroParser struct {
	names map[string]*avroSchema
	depth int
}

// parse reads one schema.
func (p *avroParser) parse(text []byte) (*avroSchema, error) {
	if p.names == nil {
		p.names = map[string]*avroSchema{}
	}
	s := jsonScanner{data: text}
	raw, err := s.skip()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	return p.value(raw, "")
}

func (p *avroParser) value(text []byte, space string) (*avroSchema, error) {
	if p.depth++; p.depth > maxJSONDepth {
		return nil, valueErrorf("the Avro schema is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch text[0] {
	case '"':
		name, _ := jsonTextOf(text)
		return p.lookup(name, space)
	case '[':
		u := &avroSchema{kind: avroUnion}
		s := jsonScanner{data: text}
		err := s.members('[', func([]byte) error {
			part, err := s.skip()
			if err != nil {
				return err
			}
			b, err := p.value(part, space)
			u.branches = append(u.branches, b)
			return err
		})
		return u, err
	case '{':
		return p.object(text, space)
	}
	return nil, valueErrorf("an Avro schema is a text, a list or an object, not %.40s", text)
}

func (p *avroParser) lookup(name, space string) (*avroSchema, error) {
	if k, ok := avroPrimitives[name]; ok {
		return &avroSchema{kind: k}, nil
	}
	if !strings.Contains(name, ".") && space != "" {
		if s := p.names[space+"."+name]; s != nil {
			return s, nil
		}
	}
	if s := p.names[name]; s != nil {
		return s, nil
	}
	return nil, valueErrorf("the Avro schema names %q, which it does not define", name)
}

// avroParts are the members of a schema object.
type avroParts struct {
	typ, name, namespace, doc, fields, items, values, symbols, size, def []byte
	props                                                                []avroProp
}

func (p *avroParser) object(text []byte, space string) (*avroSchema, error) {
	var m avroParts
	s := jsonScanner{data: text}
	err := s.members('{', func(name []byte) error {
		key := string(name)
		part, err := s.skip()
		if slot := m.slot(key); slot != nil {
			*slot = part
		} else if key != "aliases" {
			m.props = append(m.props, avroProp{key, part})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.typ == nil {
		return nil, valueErrorf("the Avro schema has no type: %.80s", text)
	}
	kind, isText := jsonTextOf(m.typ)
	if !isText { // {"type": {…}} stands for what is inside
		return p.value(m.typ, space)
	}
	switch kind {
	case "record", "error":
		return p.record(&m, space)
	case "enum":
		out := p.define(&m, avroEnum, space)
		if out.symbols, err = jsonTexts(m.symbols); err != nil || len(out.symbols) == 0 {
			return nil, valueErrorf("the enum %s has no symbols", out.fullName())
		}
		out.enumDef, _ = jsonTextOf(m.def)
		return out, nil
	case "fixed":
		out := p.define(&m, avroFixed, space)
		if out.size, err = strconv.Atoi(string(m.size)); err != nil || out.size < 0 {
			return nil, valueErrorf("the fixed type %s has no size", out.fullName())
		}
		return out, nil
	case "array", "map":
		out, part := &avroSchema{kind: avroArray, props: m.props}, m.items
		if kind == "map" {
			out.kind, part = avroMap, m.values
		}
		if part == nil {
			return nil, valueErrorf("the Avro %s has no element type", kind)
		}
		out.elem, err = p.value(part, space)
		return out, err
	}
	if k, ok := avroPrimitives[kind]; ok {
		return &avroSchema{kind: k, props: m.props}, nil
	}
	return p.lookup(kind, space)
}

func (m *avroParts) slot(key string) *[]byte {
	switch key {
	case "type":
		return &m.typ
	case "name":
		return &m.name
	case "namespace":
		return &m.namespace
	case "doc":
		return &m.doc
	case "fields":
		return &m.fields
	case "items":
		return &m.items
	case "values":
		return &m.values
	case "symbols":
		return &m.symbols
	case "size":
		return &m.size
	case "default":
		return &m.def
	}
	return nil
}

// define makes a named type and makes it known.
func (p *avroParser) define(m *avroParts, kind avroKind, space string) *avroSchema {
	out := &avroSchema{kind: kind, props: m.props, namespace: space}
	out.name, _ = jsonTextOf(m.name)
	if ns, ok := jsonTextOf(m.namespace); ok {
		out.namespace = ns
	}
	if i := strings.LastIndexByte(out.name, '.'); i >= 0 {
		out.namespace, out.name = out.name[:i], out.name[i+1:]
	}
	out.doc, _ = jsonTextOf(m.doc)
	p.names[out.fullName()] = out
	return out
}

func (p *avroParser) record(m *avroParts, space string) (*avroSchema, error) {
	out := p.define(m, avroRecord, space)
	if len(m.fields) == 0 || m.fields[0] != '[' {
		return nil, valueErrorf("the record %s has no fields", out.fullName())
	}
	s := jsonScanner{data: m.fields}
	err := s.members('[', func([]byte) error {
		if s.peek() != '{' {
			return valueErrorf("a field of the record %s is no object", out.fullName())
		}
		var f avroParts
		err := s.members('{', func(name []byte) error {
			slot := f.slot(string(name))
			part, err := s.skip()
			if slot != nil {
				*slot = part
			}
			return err
		})
		if err != nil {
			return err
		}
		name, ok := jsonTextOf(f.name)
		if !ok || f.typ == nil {
			return valueErrorf("a field of the record %s has no name or no type", out.fullName())
		}
		t, err := p.value(f.typ, out.namespace)
		if err != nil {
			return within(name, err)
		}
		doc, _ := jsonTextOf(f.doc)
		out.fields = append(out.fields, avroField{name: name, doc: doc, typ: t, def: f.def})
		return nil
	})
	return out, err
}

// jsonTexts reads a list of texts.
func jsonTexts(text []byte) (out []string, err error) {
	if len(text) == 0 || text[0] != '[' {
		return nil, nil
	}
	s := jsonScanner{data: text}
	err = s.members('[', func([]byte) error {
		part, err := s.skip()
		if v, ok := jsonTextOf(part); ok {
			out = append(out, v)
		} else if err == nil {
			err = valueErrorf("expected a list of texts")
		}
		return err
	})
	return out, err
}
