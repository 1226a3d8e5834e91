package objectstore

import (
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"
	pqformat "github.com/parquet-go/parquet-go/format"

	"millrace/internal/record"
)

// rowGroupBytes ends a row group: that much of rows as they wait.
const rowGroupBytes = 16 << 20

// parquetFormat writes Parquet files with the columns of the record's schema. It
// serves one sink, so one goroutine.
type parquetFormat struct {
	ext    string
	codec  compress.Codec
	fields []field // nil: the value's own fields
	plans  map[parquetKey]*parquetPlan
	pages  parquet.BufferPool
}

// parquetKey is what the columns of a file follow from.
type parquetKey struct{ key, value *record.Schema }

// parquetPlan is how records of one pair of schemas become columns. Files share it,
// and the one writer that is not in use.
type parquetPlan struct {
	schema *parquet.Schema
	parts  []parquetPart
	whole  bool // the parts are the fields of the value
	leaves []*column
	spare  *parquet.GenericWriter[any]
	cols   [][]parquet.Value // of rows being handed to a writer
}

// maxPlans bounds the plans that are kept: schemas come and go.
const maxPlans = 64

func (f *parquetFormat) extension() string { return f.ext }
func (f *parquetFormat) strict() bool      { return true }

func (f *parquetFormat) open(w io.Writer, b *record.Batch, r *record.Record, _ int) (encoder, error) {
	p, err := f.plan(r)
	if err != nil {
		return nil, err
	}
	e := &parquetEncoder{f: f, plan: p, out: w, rows: &spool{all: &budget{}}}
	if s, ok := w.(*spool); ok {
		e.rows.all, e.rows.dir = s.all, s.dir
	}
	return e, nil
}

// plan returns the plan of a record's schemas.
func (f *parquetFormat) plan(r *record.Record) (*parquetPlan, error) {
	k := parquetKey{value: r.ValueSchema}
	if f.fields != nil {
		k.key = r.KeySchema
	}
	if p := f.plans[k]; p != nil {
		return p, nil
	}
	p, root := &parquetPlan{}, &ordered{}
	add := func(name string, source field, s *record.Schema) error {
		n, node, err := p.build(s, 0, 0)
		if err != nil {
			return err
		}
		p.parts = append(p.parts, parquetPart{source, n})
		root.add(name, node)
		return nil
	}
	if f.fields == nil {
		s := r.ValueSchema
		if s == nil || s.Type != record.Struct {
			return nil, dataError("A Parquet file needs values that are structs with a schema, this one is a %s (topic %s). Use a converter that gives values a schema, or another format", r.Value.Kind(), r.Topic.Name)
		}
		p.whole = true
		for _, fd := range s.Fields {
			if err := add(fd.Name, fieldValue, fd.Schema); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range f.fields {
		s := map[field]*record.Schema{fieldKey: r.KeySchema, fieldValue: r.ValueSchema, fieldOffset: record.PlainInt64, fieldTimestamp: record.PlainInt64, fieldHeaders: headersSchema}[name]
		if s == nil {
			return nil, dataError("Record %s without schema (topic %s). Use a converter that gives it one, or format.output.type=jsonl", name, r.Topic.Name)
		}
		if err := add(string(name), name, s); err != nil {
			return nil, err
		}
	}
	p.schema, p.cols = parquet.NewSchema("ConnectDefault", root), make([][]parquet.Value, len(p.leaves))
	if f.plans == nil || len(f.plans) >= maxPlans {
		f.plans = map[parquetKey]*parquetPlan{}
	}
	f.plans[k] = p
	return p, nil
}

// writer returns a writer into w: the spare one, or a new one.
func (f *parquetFormat) writer(p *parquetPlan, w io.Writer) (*parquet.GenericWriter[any], error) {
	if out := p.spare; out != nil {
		p.spare = nil
		out.Reset(w)
		return out, nil
	}
	if f.pages == nil {
		f.pages = parquet.NewChunkBufferPool(64 << 10)
	}
	cfg, err := parquet.NewWriterConfig(p.schema, parquet.Compression(f.codec), parquet.PageBufferSize(64<<10), parquet.WriteBufferSize(32<<10), parquet.ColumnPageBuffers(f.pages),
		parquet.CreatedBy("millrace", "", ""), parquet.DataPageStatistics(true))
	if err != nil {
		return nil, fmt.Errorf("begin a Parquet file: %w", err)
	}
	return parquet.NewGenericWriter[any](w, cfg), nil
}

var headersSchema = &record.Schema{Type: record.Map, Key: record.PlainString, Elem: record.OptionalString}

// ordered is a group whose fields keep the order of the Connect schema.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (g *ordered) Fields() []parquet.Field { return g.fields }

func (g *ordered) add(name string, n parquet.Node) {
	if g.Group == nil {
		g.Group = parquet.Group{}
	}
	g.Group[name] = n
	// A group of one gives the field its name; its own type is not exported.
	g.fields = append(g.fields, parquet.Group{name: n}.Fields()[0])
}

// column is the plan of a schema node: how its values become those of the leaves
// below it.
type column struct {
	schema      *record.Schema
	leaf        int // index of the leaf; of an inner node, of its first
	leaves      int
	rep, def    int // levels of a value that is there
	children    []*column
	isList      bool
	isMap       bool
	optional    bool
	emptyDef    int // of an empty list or map
	nullDef     int // of a null
	fill        *record.Datum
	elementsRep int
}

type parquetPart struct {
	source field
	col    *column
}

// build compiles a schema at the given repetition and definition level.
func (p *parquetPlan) build(s *record.Schema, rep, def int) (*column, parquet.Node, error) {
	n := &column{schema: s, leaf: len(p.leaves), optional: s.Optional, nullDef: def}
	if s.Default != nil {
		n.fill = s.Default
	}
	if s.Optional {
		def++
	}
	n.rep, n.def = rep, def
	var node parquet.Node
	switch s.Type {
	case record.Struct:
		if len(s.Fields) == 0 {
			return nil, nil, dataError("Parquet has no place for a struct without fields (%s)", s.Name)
		}
		g := &ordered{}
		for _, f := range s.Fields {
			c, child, err := p.build(f.Schema, rep, def)
			if err != nil {
				return nil, nil, err
			}
			n.children = append(n.children, c)
			g.add(f.Name, child)
		}
		node = g
	case record.Array:
		n.isList, n.emptyDef, n.elementsRep = true, def, rep+1
		c, child, err := p.build(s.Elem, rep+1, def+1)
		if err != nil {
			return nil, nil, err
		}
		n.children, node = []*column{c}, parquet.List(child)
	case record.Map:
		n.isMap, n.emptyDef, n.elementsRep = true, def, rep+1
		key := s.Key
		if key == nil || key.Optional {
			key = record.PlainString
		}
		k, keyNode, err := p.build(key, rep+1, def+1)
		if err != nil {
			return nil, nil, err
		}
		v, valueNode, err := p.build(s.Elem, rep+1, def+1)
		if err != nil {
			return nil, nil, err
		}
		n.children, node = []*column{k, v}, parquet.Map(keyNode, valueNode)
	default:
		node = leafNode(s)
		p.leaves = append(p.leaves, n)
	}
	n.leaves = len(p.leaves) - n.leaf
	if s.Optional {
		node = parquet.Optional(node)
	}
	return n, node, nil
}

// plainType is a physical type without annotation, as the Java writer leaves numbers.
type plainType struct{ parquet.Type }

func (plainType) LogicalType() *pqformat.LogicalType       { return nil }
func (plainType) ConvertedType() *deprecated.ConvertedType { return nil }

func leafNode(s *record.Schema) parquet.Node {
	switch s.Name {
	case record.DecimalName:
		scale, precision := 0, 64
		if v, ok := s.Param("scale"); ok {
			scale, _ = strconv.Atoi(v)
		}
		if v, ok := s.Param("connect.decimal.precision"); ok {
			precision, _ = strconv.Atoi(v)
		}
		return parquet.Decimal(scale, precision, parquet.ByteArrayType)
	case record.DateName:
		return parquet.Date()
	case record.TimeName:
		return parquet.Time(parquet.Millisecond)
	case record.TimestampName:
		return parquet.Timestamp(parquet.Millisecond)
	}
	switch s.Type {
	case record.Int8, record.Int16, record.Int32:
		return parquet.Leaf(plainType{parquet.Int32Type})
	case record.Int64:
		return parquet.Leaf(plainType{parquet.Int64Type})
	case record.Float32:
		return parquet.Leaf(parquet.FloatType)
	case record.Float64:
		return parquet.Leaf(parquet.DoubleType)
	case record.Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case record.String:
		return parquet.String()
	}
	return parquet.Leaf(parquet.ByteArrayType)
}
