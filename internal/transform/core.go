package transform

import (
	"fmt"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// side is the half of a record that a step works on.
type side bool

const (
	onValue side = false
	onKey   side = true
)

// get returns the schema and value of the half.
func (s side) get(r *record.Record) (*record.Schema, record.Cell) {
	if s == onKey {
		return r.KeySchema, r.Key
	}
	return r.ValueSchema, r.Value
}

// set replaces the schema and value of the half.
func (s side) set(r *record.Record, sch *record.Schema, c record.Cell) {
	if s == onKey {
		r.KeySchema, r.Key = sch, c
	} else {
		r.ValueSchema, r.Value = sch, c
	}
}

// maxPlans bounds the plans a step keeps; beyond it the cache starts anew.
const maxPlans = 512

// planCache holds what a step compiled, by schema pointer. The last one is tried
// first, since rows of one table come in runs.
type planCache[T any] struct {
	last *record.Schema
	plan T
	all  map[*record.Schema]T
}

func (c *planCache[T]) lookup(s *record.Schema) (T, bool) {
	if s == c.last && s != nil {
		return c.plan, true
	}
	p, ok := c.all[s]
	if ok {
		c.last, c.plan = s, p
	}
	return p, ok
}

func (c *planCache[T]) store(s *record.Schema, p T) T {
	if c.all == nil || len(c.all) >= maxPlans {
		c.all = map[*record.Schema]T{}
	}
	c.all[s], c.last, c.plan = p, s, p
	return p
}

// topicCache makes topics by name, each name one pointer.
type topicCache struct{ byName map[string]*record.Topic }

func (c *topicCache) get(name string) *record.Topic {
	if t := c.byName[name]; t != nil {
		return t
	}
	if c.byName == nil || len(c.byName) >= 1<<16 {
		c.byName = map[string]*record.Topic{}
	}
	t := &record.Topic{Name: name}
	c.byName[name] = t
	return t
}

// dataErr is a record that a step cannot work on.
func dataErr(format string, args ...any) error {
	return &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf(format, args...)}
}

// connectErr is Connect's general failure.
func connectErr(format string, args ...any) error {
	return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf(format, args...)}
}

// javaClass names a value as Java would, for error texts.
func javaClass(c record.Cell, s *record.Schema) string {
	if s != nil && c.Kind() != record.Null {
		switch s.Name {
		case nameDate, nameTime, nameTimestamp:
			return "java.util.Date"
		case nameDecimal:
			return "java.math.BigDecimal"
		}
	}
	switch c.Kind() {
	case record.Int8:
		return "java.lang.Byte"
	case record.Int16:
		return "java.lang.Short"
	case record.Int32:
		return "java.lang.Integer"
	case record.Int64:
		return "java.lang.Long"
	case record.Float32:
		return "java.lang.Float"
	case record.Float64:
		return "java.lang.Double"
	case record.Boolean:
		return "java.lang.Boolean"
	case record.String:
		return "java.lang.String"
	case record.Bytes:
		return "java.nio.HeapByteBuffer"
	case record.Array:
		return "java.util.ArrayList"
	case record.Map:
		return "java.util.HashMap"
	case record.Struct:
		return "org.apache.kafka.connect.data.Struct"
	}
	return "null"
}

// Connect's logical types.
const (
	nameDecimal   = record.DecimalName
	nameDate      = record.DateName
	nameTime      = record.TimeName
	nameTimestamp = record.TimestampName
)

func requireStruct(c record.Cell, s *record.Schema, purpose string) error {
	if c.Kind() == record.Struct {
		return nil
	}
	return dataErr("Only Struct objects supported for [%s], found: %s", purpose, javaClass(c, s))
}

func requireMap(c record.Cell, purpose string) error {
	if c.Kind() == record.Map {
		return nil
	}
	return dataErr("Only Map objects supported in absence of schema for [%s], found: %s", purpose, javaClass(c, nil))
}

// copyPlan makes a struct of another schema out of a struct: which field comes
// from where, and what stands for a null there.
type copyPlan struct {
	out      *record.Schema
	from     []int           // per field of out: index in the old struct, -1 none
	defaults []*record.Datum // per field of out: what replaces null; nil nothing
}

// add appends a field that is taken over from index i of the old struct.
func (p *copyPlan) add(name string, s *record.Schema, i int, fill bool) {
	var d *record.Datum
	if fill && i >= 0 {
		d = s.Default
	}
	p.out.Fields = append(p.out.Fields, record.Field{Name: name, Schema: s})
	p.from = append(p.from, i)
	p.defaults = append(p.defaults, d)
}

// apply makes the new struct; fields without an origin are null.
func (p *copyPlan) apply(b *record.Batch, in record.Cell) record.Cell {
	out := b.Alloc(record.Struct, len(p.from))
	for i, f := range p.from {
		if f < 0 {
			continue
		}
		v := b.Child(in, f)
		if v.IsNull() && p.defaults[i] != nil {
			v = b.Put(p.defaults[i])
		}
		b.SetChild(out, i, v)
	}
	return out
}

// check refuses what Connect's SchemaBuilder does: fields without a name and two of
// one name.
func (p *copyPlan) check() error { return checkFields(p.out) }

func checkFields(s *record.Schema) error {
	seen := make(map[string]bool, len(s.Fields))
	for _, f := range s.Fields {
		switch {
		case f.Name == "":
			return &errs.Error{Java: errs.SchemaBuilderException, Msg: "fieldName cannot be null."}
		case seen[f.Name]:
			return &errs.Error{Java: errs.SchemaBuilderException, Msg: "Cannot create field because of field name duplication " + f.Name}
		}
		seen[f.Name] = true
	}
	return nil
}

// notStruct is what Connect says when fields of another schema are asked for.
func notStruct(what string) error { return dataErr("Cannot %s fields on non-struct type", what) }

// basics copies name, version, doc and parameters of a struct schema, not its
// fields, optionality or default: Connect's SchemaUtil.copySchemaBasics.
func basics(s *record.Schema) *record.Schema {
	return &record.Schema{Type: s.Type, Name: s.Name, Version: s.Version, Doc: s.Doc, Params: s.Params}
}

// defaultsPlan puts the defaults of a schema where its structs hold null, as
// Struct.get does when a step of Debezium copies a record field by field. nil: there
// are none.
type defaultsPlan struct {
	index  []int
	value  []*record.Datum // nil: nested
	nested []*defaultsPlan
}

func compileDefaults(s *record.Schema) *defaultsPlan {
	if s == nil || s.Type != record.Struct {
		return nil
	}
	p := &defaultsPlan{}
	for i, f := range s.Fields {
		n := compileDefaults(f.Schema)
		if f.Schema.Default != nil || n != nil {
			p.index, p.value, p.nested = append(p.index, i), append(p.value, f.Schema.Default), append(p.nested, n)
		}
	}
	if p.index == nil {
		return nil
	}
	return p
}

// apply returns c with the defaults in place; c itself is not changed.
func (p *defaultsPlan) apply(b *record.Batch, c record.Cell) record.Cell {
	if p == nil || c.Kind() != record.Struct {
		return c
	}
	cloned := false
	for k, i := range p.index {
		old := b.Child(c, i)
		v := old
		if v.IsNull() && p.value[k] != nil {
			v = b.Put(p.value[k])
		} else {
			v = p.nested[k].apply(b, v)
		}
		if v == old {
			continue
		}
		if !cloned {
			c, cloned = b.CloneChildren(c, 0), true
		}
		b.SetChild(c, i, v)
	}
	return c
}

// wholeCopy is a plan that takes over every field, replacing nulls by defaults
// when fill is set. The schema's fields are copied.
func wholeCopy(s *record.Schema, out *record.Schema, fill bool) *copyPlan {
	p := &copyPlan{out: out}
	for i, f := range s.Fields {
		p.add(f.Name, f.Schema, i, fill)
	}
	return p
}

// fieldValue is Struct.get: the field's value, or its default for null when fill is set.
func fieldValue(b *record.Batch, c record.Cell, i int, s *record.Schema, fill bool) record.Cell {
	v := b.Child(c, i)
	if fill && v.IsNull() && s.Default != nil {
		v = b.Put(s.Default)
	}
	return v
}

// mapIndex finds the entry of a schemaless map; -1 none.
func mapIndex(b *record.Batch, c record.Cell, key string) int {
	for i := 0; i < c.Len(); i += 2 {
		if k := b.Child(c, i); k.Kind() == record.String && b.Str(k) == key {
			return i
		}
	}
	return -1
}

// mapGet returns the value of an entry, or null.
func mapGet(b *record.Batch, c record.Cell, key string) record.Cell {
	if i := mapIndex(b, c, key); i >= 0 {
		return b.Child(c, i+1)
	}
	return record.Cell{}
}

// mapPut returns the map with the entry set; c itself is not changed.
func mapPut(b *record.Batch, c record.Cell, key string, v record.Cell) record.Cell {
	i := mapIndex(b, c, key)
	if i >= 0 {
		out := b.CloneChildren(c, 0)
		b.SetChild(out, i+1, v)
		return out
	}
	k := b.StringCell(key)
	out := b.CloneChildren(c, 2)
	b.SetChild(out, c.Len(), k)
	b.SetChild(out, c.Len()+1, v)
	return out
}

// mapDrop returns the map without the entries for which drop answers true.
func mapDrop(b *record.Batch, c record.Cell, drop func(key string) bool) record.Cell {
	n := 0
	for i := 0; i < c.Len(); i += 2 {
		if !drop(b.Str(b.Child(c, i))) {
			n += 2
		}
	}
	if n == c.Len() {
		return c
	}
	out := b.Alloc(record.Map, n)
	for i, j := 0, 0; i < c.Len(); i += 2 {
		if k := b.Child(c, i); !drop(b.Str(k)) {
			b.SetChild(out, j, k)
			b.SetChild(out, j+1, b.Child(c, i+1))
			j += 2
		}
	}
	return out
}
