package transform

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// cast changes the types of fields or of the whole value.
type cast struct {
	side  side
	types map[string]record.Type
	whole record.Type // Invalid: fields
	fill  bool
	plans planCache[*castPlan]
}

type castPlan struct {
	copy   *copyPlan
	index  []int // fields to cast
	schema []*record.Schema
	to     []record.Type
	out    *record.Schema
}

var castTypes = map[string]record.Type{
	"int8": record.Int8, "int16": record.Int16, "int32": record.Int32, "int64": record.Int64,
	"float32": record.Float32, "float64": record.Float64, "boolean": record.Boolean, "string": record.String,
}

// otherTypes are Connect types that cannot be cast to.
var otherTypes = map[string]bool{"bytes": true, "array": true, "map": true, "struct": true}

func castDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		orNull(opt("spec", configdef.List, required, configdef.High, "field:type entries, or one type for the whole value: int8, int16, int32, int64, float32, float64, boolean, string.", castSpec),
			"Must specify at least one field to cast."),
		fillOption(),
	}}
}

func castSpec(in configdef.Input) []string {
	if !in.Set {
		return nil
	}
	list := configdef.SplitList(in.Value)
	if len(list) == 0 {
		return []string{"Must specify at least one field to cast."}
	}
	for _, m := range list {
		parts := strings.Split(m, ":")
		if len(parts) > 2 {
			return []string{"Invalid value " + listText(in.Value) + " for configuration renames: Invalid rename mapping: " + m}
		}
		name := strings.TrimSpace(parts[len(parts)-1])
		if _, ok := castTypes[strings.ToLower(name)]; ok {
			if len(parts) == 1 && len(list) > 1 {
				return []string{"Cast transformations that specify a type to cast the entire value to may only specify a single cast in their spec"}
			}
			continue
		}
		if otherTypes[strings.ToLower(name)] {
			return []string{"Cast transformation does not support casting to " + strings.ToUpper(name) + "; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]"}
		}
		return []string{fmt.Sprintf("Invalid value java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.%s for configuration Invalid type found in casting spec: %s", strings.ToUpper(name), name)}
	}
	return nil
}

func newCast(s side, v configdef.Values) (Step, error) {
	t := &cast{side: s, types: map[string]record.Type{}, fill: v.Bool("replace.null.with.default")}
	for _, m := range v.List("spec") {
		field, name, pair := strings.Cut(m, ":")
		if !pair {
			t.whole = castTypes[strings.ToLower(strings.TrimSpace(field))]
			continue
		}
		t.types[strings.TrimSpace(field)] = castTypes[strings.ToLower(strings.TrimSpace(name))]
	}
	return t, nil
}

func (t *cast) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if c.IsNull() {
		return true, nil
	}
	if s == nil {
		return t.schemaless(b, r, c)
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		var err error
		if p, err = t.compile(s); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	if t.whole != record.Invalid {
		v, err := castCell(b, s, c, t.whole)
		t.side.set(r, p.out, v)
		return true, err
	}
	if err := requireStruct(c, s, "cast types"); err != nil {
		return true, err
	}
	out := p.copy.apply(b, c)
	for i, f := range p.index {
		v, err := castCell(b, p.schema[i], b.Child(out, f), p.to[i])
		if err != nil {
			return true, err
		}
		b.SetChild(out, f, v)
	}
	t.side.set(r, p.copy.out, out)
	return true, nil
}

func (t *cast) compile(s *record.Schema) (*castPlan, error) {
	if t.whole != record.Invalid {
		out, err := castSchema(s, t.whole)
		if err == nil {
			out.Name, out.Version, out.Doc, out.Params = s.Name, s.Version, s.Doc, s.Params
			switch s.Name {
			case nameDate, nameTime, nameTimestamp, nameDecimal:
				// The value is none any more, and no converter would write it as one.
				out.Name, out.Version, out.Params = "", 0, nil
			}
		}
		return &castPlan{out: out}, err
	}
	if s.Type != record.Struct {
		return nil, notStruct("list")
	}
	p := &castPlan{copy: &copyPlan{out: basics(s)}}
	p.copy.out.Type, p.copy.out.Optional = record.Struct, s.Optional
	for i, f := range s.Fields {
		p.copy.add(f.Name, f.Schema, i, t.fill)
		to, ok := t.types[f.Name]
		if !ok {
			continue
		}
		fs, err := castSchema(f.Schema, to)
		if err != nil {
			return nil, err
		}
		p.copy.out.Fields[i].Schema = fs
		p.index, p.schema, p.to = append(p.index, i), append(p.schema, f.Schema), append(p.to, to)
	}
	return p, nil
}

// castSchema is the plain schema of the type; optionality and default are kept.
func castSchema(s *record.Schema, to record.Type) (*record.Schema, error) {
	out := &record.Schema{Type: to, Optional: s.Optional}
	if s.Default != nil {
		var b record.Batch
		v, err := castCell(&b, s, b.Put(s.Default), to)
		if err != nil {
			return nil, err
		}
		out.Default = record.NewDatum(&b, v)
	}
	return out, nil
}

func (t *cast) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if t.whole != record.Invalid {
		v, err := castCell(b, nil, c, t.whole)
		t.side.set(r, nil, v)
		return true, err
	}
	if err := requireMap(c, "cast types"); err != nil {
		return true, err
	}
	for field, to := range t.types {
		v, err := castCell(b, nil, mapGet(b, c, field), to)
		if err != nil {
			return true, err
		}
		c = mapPut(b, c, field, v)
	}
	t.side.set(r, nil, c)
	return true, nil
}

// castCell casts a value as Java's number conversions do: integers wrap around,
// floating point saturates at int or long first.
func castCell(b *record.Batch, s *record.Schema, c record.Cell, to record.Type) (record.Cell, error) {
	k := c.Kind()
	switch {
	case k == record.Null:
		return c, nil
	case k >= record.Array:
		return c, dataErr("Cast transformation does not support casting from %s; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]", strings.ToUpper(k.String()))
	case to == record.String:
		return castText(b, s, c), nil
	case k == record.Bytes && s != nil && s.Name == nameDecimal:
		return castDecimal(decimalOf(b.Raw(c)), decimalScale(s), to), nil
	}
	switch k {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return castInt(c.Int(), to), nil
	case record.Float32, record.Float64:
		return castFloat(c.Float(), to), nil
	case record.Boolean:
		n := int64(0)
		if c.Bool() {
			n = 1
		}
		return castInt(n, to), nil
	case record.String:
		return castString(b.Str(c), to)
	}
	return c, dataErr("Unexpected type in Cast transformation: class %s", javaClass(c, s))
}

func castInt(n int64, to record.Type) record.Cell {
	switch to {
	case record.Int8:
		return record.IntCell(to, int64(int8(n)))
	case record.Int16:
		return record.IntCell(to, int64(int16(n)))
	case record.Int32:
		return record.IntCell(to, int64(int32(n)))
	case record.Float32:
		return record.Float32Cell(float32(n))
	case record.Float64:
		return record.Float64Cell(float64(n))
	case record.Boolean:
		return record.BoolCell(n != 0)
	}
	return record.Int64Cell(n)
}

func castFloat(f float64, to record.Type) record.Cell {
	switch to {
	case record.Float32:
		return record.Float32Cell(float32(f))
	case record.Float64:
		return record.Float64Cell(f)
	case record.Int64, record.Boolean:
		return castInt(saturate(f, math.MinInt64, math.MaxInt64), to)
	}
	return castInt(saturate(f, math.MinInt32, math.MaxInt32), to)
}

func saturate(f float64, lo, hi int64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f <= float64(lo):
		return lo
	case f >= float64(hi):
		return hi
	}
	return int64(f)
}

func castDecimal(n *big.Int, scale int, to record.Type) record.Cell {
	if to == record.Float32 || to == record.Float64 {
		f, _ := strconv.ParseFloat(string(appendDecimal(nil, n, scale)), 64)
		return castFloat(f, to)
	}
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale >= 0 {
		n = new(big.Int).Quo(n, p)
	} else {
		n = new(big.Int).Mul(n, p)
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)) // the low 64 bits, as longValue
	return castInt(int64(low.Uint64()), to)
}

func castString(s string, to record.Type) (record.Cell, error) {
	switch to {
	case record.Boolean:
		return record.BoolCell(strings.EqualFold(s, "true")), nil
	case record.Float32, record.Float64:
		f, ok := parseJavaFloat(s, to == record.Float32)
		if !ok {
			return record.Cell{}, outOfRange(s)
		}
		return castFloat(f, to), nil
	}
	n, err := strconv.ParseInt(asciiDigits(s), 10, intBits(to))
	if err != nil {
		return record.Cell{}, outOfRange(s)
	}
	return record.IntCell(to, n), nil
}

func outOfRange(s string) error {
	return &errs.Error{Java: errs.DataException, Msg: "Value (" + s + ") was out of range for requested data type",
		Cause: &errs.Error{Java: "java.lang.NumberFormatException", Msg: "For input string: \"" + s + "\""}}
}

// castText is the text of a value; it is written straight into the arena.
func castText(b *record.Batch, s *record.Schema, c record.Cell) record.Cell {
	if c.Kind() == record.String {
		return c
	}
	name := ""
	if s != nil {
		name = s.Name
	}
	if c.Kind() == record.Bytes {
		raw := b.Raw(c)
		if name == nameDecimal {
			return b.BytesCell(record.String, appendDecimal(nil, decimalOf(raw), decimalScale(s)))
		}
		a := b.Arena()
		from := len(a)
		a = base64.StdEncoding.AppendEncode(a, raw)
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a))
	}
	a := b.Arena()
	from := len(a)
	switch c.Kind() {
	case record.Boolean:
		a = strconv.AppendBool(a, c.Bool())
	case record.Float32:
		a = appendJavaFloat(a, c.Float(), 32)
	case record.Float64:
		a = appendJavaFloat(a, c.Float(), 64)
	default:
		switch ms := c.Int(); name {
		case nameDate:
			a = dateFormatFor(ms*dayMs).format(a, ms*dayMs)
		case nameTime, nameTimestamp:
			a = dateFormatFor(ms).format(a, ms)
		default:
			a = strconv.AppendInt(a, ms, 10)
		}
	}
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

func intBits(t record.Type) int {
	switch t {
	case record.Int8:
		return 8
	case record.Int16:
		return 16
	case record.Int32:
		return 32
	}
	return 64
}
