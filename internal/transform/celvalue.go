package transform

import (
	"fmt"
	"reflect"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"millrace/internal/record"
)

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// wrap makes a CEL value of a cell: numbers, texts and bytes as they are, decimals
// as doubles, Connect's Date and Timestamp as timestamps and its Time as a duration;
// structs, maps and lists are looked into when they are asked.
func (a *celRecord) wrap(s *record.Schema, c record.Cell) ref.Val {
	switch c.Kind() {
	case record.Null:
		return types.NullValue
	case record.Boolean:
		return types.Bool(c.Bool())
	case record.Float32, record.Float64:
		return types.Double(c.Float())
	case record.String:
		return types.String(a.b.Str(c))
	case record.Bytes:
		if s != nil && s.Name == nameDecimal {
			f, _ := decimalRat(decimalOf(a.b.Raw(c)), decimalScale(s)).Float64()
			return types.Double(f)
		}
		return types.Bytes(a.b.Raw(c))
	case record.Struct:
		return a.structOf(s, c)
	case record.Map:
		return &celMap{rec: a, schema: s, cell: c}
	case record.Array:
		var elem *record.Schema
		if s != nil {
			elem = s.Elem
		}
		out := make([]ref.Val, c.Len())
		for i := range out {
			out[i] = a.wrap(elem, a.b.Child(c, i))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, out)
	}
	if s != nil {
		switch s.Name {
		case nameTimestamp:
			return types.Timestamp{Time: millis(c.Int())}
		case nameDate:
			return types.Timestamp{Time: millis(c.Int() * 86_400_000)}
		case nameTime:
			return types.Duration{Duration: time.Duration(c.Int()) * time.Millisecond}
		}
	}
	return types.Int(c.Int())
}

// celBase is what values of a record share: they are maps of CEL.
type celBase struct{}

// ConvertToType implements ref.Val.
func (celBase) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return types.MapType
	}
	return types.NewErr("a struct cannot be converted to %s", t.TypeName())
}

// ConvertToNative implements ref.Val; nothing asks for it.
func (celBase) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a struct cannot be converted to %s", t)
}

// Type implements ref.Val.
func (celBase) Type() ref.Type { return types.MapType }

// equalMaps compares two maps by their entries.
func equalMaps(m traits.Mapper, other ref.Val) ref.Val {
	o, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		x, _ := m.Find(k)
		y, found := o.Find(k)
		if !found || types.Equal(x, y) != types.True {
			return types.False
		}
	}
	return types.True
}

// getOf is Find as an index: a key that is not there is an error.
func getOf(m traits.Mapper, k ref.Val) ref.Val {
	if v, ok := m.Find(k); ok {
		return v
	}
	return types.NewErr("no such field or key: %v", k.Value())
}

// containsIn is Find as a question.
func containsIn(m traits.Mapper, k ref.Val) ref.Val {
	_, ok := m.Find(k)
	return types.Bool(ok)
}

// celStruct is a struct of the record.
type celStruct struct {
	celBase
	rec    *celRecord
	schema *record.Schema
	cell   record.Cell
}

// Find implements traits.Mapper.
func (v *celStruct) Find(k ref.Val) (ref.Val, bool) {
	name, ok := k.(types.String)
	if !ok {
		return nil, false
	}
	i, fs := v.schema.Field(string(name))
	if i < 0 {
		return nil, false
	}
	return v.rec.wrap(fs, v.rec.b.Child(v.cell, i)), true
}

// Get implements traits.Indexer.
func (v *celStruct) Get(k ref.Val) ref.Val { return getOf(v, k) }

// Contains implements traits.Container.
func (v *celStruct) Contains(k ref.Val) ref.Val { return containsIn(v, k) }

// Size implements traits.Sizer.
func (v *celStruct) Size() ref.Val { return types.Int(v.cell.Len()) }

// Equal implements ref.Val.
func (v *celStruct) Equal(o ref.Val) ref.Val { return equalMaps(v, o) }

// Value implements ref.Val.
func (v *celStruct) Value() any { return v }

// Iterator implements traits.Iterable: the names of the fields.
func (v *celStruct) Iterator() traits.Iterator {
	names := make([]string, len(v.schema.Fields))
	for i, f := range v.schema.Fields {
		names[i] = f.Name
	}
	return types.NewStringList(types.DefaultTypeAdapter, names).Iterator()
}

// celMap is a map of the record, or a schemaless object.
type celMap struct {
	celBase
	rec    *celRecord
	schema *record.Schema
	cell   record.Cell
}

// Find implements traits.Mapper.
func (v *celMap) Find(k ref.Val) (ref.Val, bool) {
	var ks, es *record.Schema
	if v.schema != nil {
		ks, es = v.schema.Key, v.schema.Elem
	}
	for i := 0; i < v.cell.Len(); i += 2 {
		if types.Equal(v.rec.wrap(ks, v.rec.b.Child(v.cell, i)), k) == types.True {
			return v.rec.wrap(es, v.rec.b.Child(v.cell, i+1)), true
		}
	}
	return nil, false
}

// Get implements traits.Indexer.
func (v *celMap) Get(k ref.Val) ref.Val { return getOf(v, k) }

// Contains implements traits.Container.
func (v *celMap) Contains(k ref.Val) ref.Val { return containsIn(v, k) }

// Size implements traits.Sizer.
func (v *celMap) Size() ref.Val { return types.Int(v.cell.Len() / 2) }

// Equal implements ref.Val.
func (v *celMap) Equal(o ref.Val) ref.Val { return equalMaps(v, o) }

// Value implements ref.Val.
func (v *celMap) Value() any { return v }

// Iterator implements traits.Iterable.
func (v *celMap) Iterator() traits.Iterator {
	var ks *record.Schema
	if v.schema != nil {
		ks = v.schema.Key
	}
	keys := make([]ref.Val, 0, v.cell.Len()/2)
	for i := 0; i < v.cell.Len(); i += 2 {
		keys = append(keys, v.rec.wrap(ks, v.rec.b.Child(v.cell, i)))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// celHeaders are the headers of the record by name.
type celHeaders struct {
	celBase
	rec *celRecord
}

func (v *celHeaders) all() []record.Header { return v.rec.b.Headers(v.rec.r) }

// Find implements traits.Mapper.
func (v *celHeaders) Find(k ref.Val) (ref.Val, bool) {
	name, ok := k.(types.String)
	if !ok {
		return nil, false
	}
	hs := v.all()
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].Key == string(name) {
			return v.rec.wrap(hs[i].Schema, hs[i].Value), true
		}
	}
	return nil, false
}

// Get implements traits.Indexer.
func (v *celHeaders) Get(k ref.Val) ref.Val { return getOf(v, k) }

// Contains implements traits.Container.
func (v *celHeaders) Contains(k ref.Val) ref.Val { return containsIn(v, k) }

// Size implements traits.Sizer.
func (v *celHeaders) Size() ref.Val { return types.Int(len(v.all())) }

// Equal implements ref.Val.
func (v *celHeaders) Equal(o ref.Val) ref.Val { return types.Bool(v == o) }

// Value implements ref.Val.
func (v *celHeaders) Value() any { return v }

// Iterator implements traits.Iterable.
func (v *celHeaders) Iterator() traits.Iterator {
	var names []string
	for _, h := range v.all() {
		names = append(names, h.Key)
	}
	return types.NewStringList(types.DefaultTypeAdapter, names).Iterator()
}
