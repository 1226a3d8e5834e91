package record

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// Datum is a constant value with its own memory: schema defaults, template
// values, test values. It is immutable once made.
type Datum struct {
	b    Batch
	Root Cell
}

// Batch returns the memory the datum lives in, for reading only.
func (d *Datum) Batch() *Batch { return &d.b }

// NewDatum copies a value out of a batch.
func NewDatum(src *Batch, c Cell) *Datum {
	d := &Datum{}
	d.Root = d.b.Import(src, c)
	return d
}

// DatumOf makes a constant of a Go value; see FromGo.
func DatumOf(s *Schema, v any) (*Datum, error) {
	d := &Datum{}
	c, err := FromGo(&d.b, s, v)
	if err != nil {
		return nil, err
	}
	d.Root = c
	return d, nil
}

// MustDatum is DatumOf for constants known to fit.
func MustDatum(s *Schema, v any) *Datum {
	d, err := DatumOf(s, v)
	if err != nil {
		panic(err)
	}
	return d
}

func (d *Datum) fingerprint() string {
	var sb strings.Builder
	Dump(&sb, &d.b, d.Root)
	return sb.String()
}

// Dump writes a value as unambiguous text: for tests, golden files and
// fingerprints, never for users.
func Dump(sb *strings.Builder, b *Batch, c Cell) {
	switch c.kind {
	case Null:
		sb.WriteString("null")
	case Boolean:
		fmt.Fprintf(sb, "%t", c.Bool())
	case Int8, Int16, Int32, Int64:
		fmt.Fprintf(sb, "%s:%d", c.kind, c.Int())
	case Float32, Float64:
		fmt.Fprintf(sb, "%s:%x", c.kind, math.Float64bits(c.Float()))
	case String:
		fmt.Fprintf(sb, "%q", b.Raw(c))
	case Bytes:
		fmt.Fprintf(sb, "x'%x'", b.Raw(c))
	default:
		fmt.Fprintf(sb, "%s(", c.kind)
		for i := 0; i < c.Len(); i++ {
			if i > 0 {
				sb.WriteByte(' ')
			}
			Dump(sb, b, b.Child(c, i))
		}
		sb.WriteByte(')')
	}
}

// FromGo puts a Go value on the tape. It is for cold paths and tests: nil, bool,
// the integers, float32/64, string, []byte, []any (Array), map[string]any (a
// Struct if the schema says so, else a Map with sorted keys), *Datum. A nil
// schema takes the kind from the Go type (int and int64 become Int64).
func FromGo(b *Batch, s *Schema, v any) (Cell, error) {
	want := Invalid
	if s != nil {
		want = s.Type
	}
	bad := func() (Cell, error) { return Cell{}, fmt.Errorf("a %T is no %s", v, want) }
	switch x := v.(type) {
	case nil:
		return Cell{}, nil
	case *Datum:
		return b.Put(x), nil
	case bool:
		if want != Invalid && want != Boolean {
			return bad()
		}
		return BoolCell(x), nil
	case int, int8, int16, int32, int64:
		i := toInt64(x)
		switch want {
		case Int8, Int16, Int32, Int64:
			return IntCell(want, i), nil
		case Float64:
			return Float64Cell(float64(i)), nil
		case Float32:
			return Float32Cell(float32(i)), nil
		case Invalid:
			switch x.(type) {
			case int8:
				return IntCell(Int8, i), nil
			case int16:
				return IntCell(Int16, i), nil
			case int32:
				return IntCell(Int32, i), nil
			}
			return Int64Cell(i), nil
		}
		return bad()
	case float32:
		if want != Invalid && want != Float32 {
			return bad()
		}
		return Float32Cell(x), nil
	case float64:
		if want == Float32 {
			return Float32Cell(float32(x)), nil
		}
		if want != Invalid && want != Float64 {
			return bad()
		}
		return Float64Cell(x), nil
	case string:
		if want != Invalid && want != String {
			return bad()
		}
		return b.StringCell(x), nil
	case []byte:
		if want != Invalid && want != Bytes {
			return bad()
		}
		return b.BytesCell(Bytes, x), nil
	case []any:
		return fromSlice(b, s, x)
	case map[string]any:
		return fromMap(b, s, x)
	}
	return bad()
}

func toInt64(v any) int64 {
	switch x := v.(type) {
	case int:
		return int64(x)
	case int8:
		return int64(x)
	case int16:
		return int64(x)
	case int32:
		return int64(x)
	case int64:
		return x
	}
	return 0
}

func fromSlice(b *Batch, s *Schema, x []any) (Cell, error) {
	var es *Schema
	if s != nil {
		if s.Type != Array {
			return Cell{}, fmt.Errorf("a list is no %s", s.Type)
		}
		es = s.Elem
	}
	c := b.Alloc(Array, len(x))
	for i, e := range x {
		v, err := FromGo(b, es, e)
		if err != nil {
			return Cell{}, fmt.Errorf("element %d: %w", i, err)
		}
		b.SetChild(c, i, v)
	}
	return c, nil
}

func fromMap(b *Batch, s *Schema, x map[string]any) (Cell, error) {
	if s != nil && s.Type == Struct {
		c := b.Alloc(Struct, len(s.Fields))
		for k, e := range x {
			i, fs := s.Field(k)
			if i < 0 {
				return Cell{}, fmt.Errorf("no field %q", k)
			}
			v, err := FromGo(b, fs, e)
			if err != nil {
				return Cell{}, fmt.Errorf("field %q: %w", k, err)
			}
			b.SetChild(c, i, v)
		}
		return c, nil
	}
	var ks, es *Schema
	if s != nil {
		if s.Type != Map {
			return Cell{}, fmt.Errorf("a map is no %s", s.Type)
		}
		ks, es = s.Key, s.Elem
	}
	keys := make([]string, 0, len(x))
	for k := range x {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	c := b.Alloc(Map, 2*len(keys))
	for i, k := range keys {
		kc, err := FromGo(b, ks, k)
		if err != nil {
			return Cell{}, err
		}
		v, err := FromGo(b, es, x[k])
		if err != nil {
			return Cell{}, fmt.Errorf("key %q: %w", k, err)
		}
		b.SetChild(c, 2*i, kc)
		b.SetChild(c, 2*i+1, v)
	}
	return c, nil
}

// ToGo turns a value into plain Go values: nil, bool, int64, float32/64, string,
// []byte, []any, map[string]any (a struct needs its schema for the names; without
// one it becomes []any). For cold paths and tests.
func ToGo(b *Batch, s *Schema, c Cell) any {
	switch c.kind {
	case Boolean:
		return c.Bool()
	case Int8, Int16, Int32, Int64:
		return c.Int()
	case Float32:
		return float32(c.Float())
	case Float64:
		return c.Float()
	case String:
		return string(b.Raw(c))
	case Bytes:
		return append([]byte{}, b.Raw(c)...)
	case Array:
		out := make([]any, c.Len())
		for i := range out {
			out[i] = ToGo(b, elem(s), b.Child(c, i))
		}
		return out
	case Map:
		out := make(map[string]any, c.Len()/2)
		for i := 0; i < c.Len(); i += 2 {
			out[fmt.Sprint(ToGo(b, nil, b.Child(c, i)))] = ToGo(b, elem(s), b.Child(c, i+1))
		}
		return out
	case Struct:
		if s == nil || s.Type != Struct {
			out := make([]any, c.Len())
			for i := range out {
				out[i] = ToGo(b, nil, b.Child(c, i))
			}
			return out
		}
		out := make(map[string]any, c.Len())
		for i, f := range s.Fields {
			out[f.Name] = ToGo(b, f.Schema, b.Child(c, i))
		}
		return out
	}
	return nil
}

func elem(s *Schema) *Schema {
	if s == nil {
		return nil
	}
	return s.Elem
}
