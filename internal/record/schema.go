package record

import (
	"fmt"
	"strings"
	"sync"
)

// Type is a Connect schema type. The zero value is Invalid, which as the kind of
// a Cell means null.
type Type uint8

// The Connect types, in the order of Connect's own Schema.Type.
const (
	Invalid Type = iota
	Int8
	Int16
	Int32
	Int64
	Float32
	Float64
	Boolean
	String
	Bytes
	Array
	Map
	Struct
)

// Null is the kind of a Cell that holds no value.
const Null = Invalid

var typeNames = [...]string{"null", "int8", "int16", "int32", "int64", "float32", "float64", "boolean", "string", "bytes", "array", "map", "struct"}

// String returns Connect's lower-case name of the type ("int32", "struct", …).
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", t)
}

// Param is one entry of a schema's parameters; their order is kept, since
// converters print them in it.
type Param struct{ Key, Value string }

// Field is a member of a struct schema; its index is its place in Schema.Fields.
type Field struct {
	Name   string
	Schema *Schema
}

// Schema is a node of a Connect schema tree. It must not be changed once it is
// shared: build it whole, then Interner.Intern it and use the returned pointer.
type Schema struct {
	Type     Type
	Optional bool
	Name     string // "" means none
	Version  int    // 0 means none
	Doc      string // "" means none, unless EmptyDoc
	EmptyDoc bool   // there is a Doc, and it is empty
	Params   []Param
	Default  *Datum  // nil means none
	Key      *Schema // of a map
	Elem     *Schema // of an array, or the values of a map
	Fields   []Field // of a struct

	once  sync.Once
	index map[string]int
}

// Field returns the index and schema of the named field, or -1 and nil.
func (s *Schema) Field(name string) (int, *Schema) {
	if s == nil {
		return -1, nil
	}
	if len(s.Fields) <= 8 {
		for i := range s.Fields {
			if s.Fields[i].Name == name {
				return i, s.Fields[i].Schema
			}
		}
		return -1, nil
	}
	s.once.Do(func() {
		m := make(map[string]int, len(s.Fields))
		for i, f := range s.Fields {
			m[f.Name] = i
		}
		s.index = m
	})
	if i, ok := s.index[name]; ok {
		return i, s.Fields[i].Schema
	}
	return -1, nil
}

// Param returns the value of a schema parameter and whether it is there.
func (s *Schema) Param(key string) (string, bool) {
	for _, p := range s.Params {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Copy returns a shallow copy that may be changed before it is interned.
func (s *Schema) Copy() *Schema {
	return &Schema{Type: s.Type, Optional: s.Optional, Name: s.Name, Version: s.Version, Doc: s.Doc, EmptyDoc: s.EmptyDoc,
		Params: s.Params, Default: s.Default, Key: s.Key, Elem: s.Elem, Fields: s.Fields}
}

// AsOptional returns the schema with Optional set as asked (not interned when it
// had to be copied).
func (s *Schema) AsOptional(optional bool) *Schema {
	if s.Optional == optional {
		return s
	}
	c := s.Copy()
	c.Optional = optional
	return c
}

// Plain schemas without name, version or default, ready to share.
var (
	PlainInt8    = &Schema{Type: Int8}
	PlainInt16   = &Schema{Type: Int16}
	PlainInt32   = &Schema{Type: Int32}
	PlainInt64   = &Schema{Type: Int64}
	PlainFloat32 = &Schema{Type: Float32}
	PlainFloat64 = &Schema{Type: Float64}
	PlainBoolean = &Schema{Type: Boolean}
	PlainString  = &Schema{Type: String}
	PlainBytes   = &Schema{Type: Bytes}

	OptionalInt8    = &Schema{Type: Int8, Optional: true}
	OptionalInt16   = &Schema{Type: Int16, Optional: true}
	OptionalInt32   = &Schema{Type: Int32, Optional: true}
	OptionalInt64   = &Schema{Type: Int64, Optional: true}
	OptionalFloat32 = &Schema{Type: Float32, Optional: true}
	OptionalFloat64 = &Schema{Type: Float64, Optional: true}
	OptionalBoolean = &Schema{Type: Boolean, Optional: true}
	OptionalString  = &Schema{Type: String, Optional: true}
	OptionalBytes   = &Schema{Type: Bytes, Optional: true}
)

// fingerprint appends a text that is equal exactly for structurally equal schemas.
func (s *Schema) fingerprint(sb *strings.Builder) {
	if s == nil {
		sb.WriteByte('-')
		return
	}
	fmt.Fprintf(sb, "(%d,%t,%q,%d,%q", s.Type, s.Optional, s.Name, s.Version, s.Doc)
	if s.EmptyDoc {
		sb.WriteString(";doc")
	}
	for _, p := range s.Params {
		fmt.Fprintf(sb, ";%q=%q", p.Key, p.Value)
	}
	if s.Default != nil {
		fmt.Fprintf(sb, ";default=%s", s.Default.fingerprint())
	}
	if s.Key != nil || s.Elem != nil {
		sb.WriteByte('[')
		s.Key.fingerprint(sb)
		s.Elem.fingerprint(sb)
		sb.WriteByte(']')
	}
	for _, f := range s.Fields {
		fmt.Fprintf(sb, "{%q", f.Name)
		f.Schema.fingerprint(sb)
		sb.WriteByte('}')
	}
	sb.WriteByte(')')
}

// Equal reports whether two schemas are structurally the same.
func Equal(a, b *Schema) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	var x, y strings.Builder
	a.fingerprint(&x)
	b.fingerprint(&y)
	return x.String() == y.String()
}

// Interner makes structurally equal schemas one pointer. It is safe for
// concurrent use. Use one per task, so that it dies with the task; it holds every
// schema it has seen.
type Interner struct {
	mu   sync.Mutex
	seen map[string]*Schema
}

// Intern returns the one pointer for this schema. Children are interned too.
func (in *Interner) Intern(s *Schema) *Schema {
	if s == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.seen == nil {
		in.seen = map[string]*Schema{}
	}
	return in.intern(s)
}

func (in *Interner) intern(s *Schema) *Schema {
	var sb strings.Builder
	s.fingerprint(&sb)
	if have := in.seen[sb.String()]; have != nil {
		return have
	}
	c := s.Copy()
	if c.Key != nil {
		c.Key = in.intern(c.Key)
	}
	if c.Elem != nil {
		c.Elem = in.intern(c.Elem)
	}
	if len(c.Fields) > 0 {
		f := make([]Field, len(c.Fields))
		for i := range f {
			f[i] = Field{c.Fields[i].Name, in.intern(c.Fields[i].Schema)}
		}
		c.Fields = f
	}
	in.seen[sb.String()] = c
	return c
}
