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

// rowGroupBytes ends a row group.
const rowGroupBytes = 16 << 20

// parquetFormat writes Parquet files with the columns of the record's schema.
type parquetFormat struct {
	ext    string
	codec  compress.Codec
	fields []field // nil: the value's own fields
}

func (f *parquetFormat) extension() string { return f.ext }
func (f *parquetFormat) strict() bool      { return true }

func (f *parquetFormat) open(w io.Writer, b *record.Batch, r *record.Record, crowd int) (encoder, error) {
	e := &parquetEncoder{}
	root := &ordered{}
	add := func(name string, source field, s *record.Schema) error {
		n, node, err := e.build(s, 0, 0)
		if err != nil {
			return err
		}
		e.parts = append(e.parts, parquetPart{source, n})
		root.add(name, node)
		return nil
	}
	if f.fields == nil {
		s := r.ValueSchema
		if s == nil || s.Type != record.Struct {
			return nil, dataError("A Parquet file needs values that are structs with a schema, this one is a %s (topic %s). Use a converter that gives values a schema, or another format", r.Value.Kind(), r.Topic.Name)
		}
		e.whole = true
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
	e.cols, e.marks = make([][]parquet.Value, e.leaves), make([]int, e.leaves)
	page, chunk := 64<<10, 256<<10
	if crowd > manyFiles {
		page, chunk = 4<<10, 2<<10
	}
	cfg, err := parquet.NewWriterConfig(parquet.NewSchema("ConnectDefault", root), parquet.Compression(f.codec), parquet.PageBufferSize(page), parquet.WriteBufferSize(256), parquet.ColumnPageBuffers(parquet.NewChunkBufferPool(chunk)),
		parquet.CreatedBy("millrace", "", ""), parquet.DataPageStatistics(true))
	if err != nil {
		return nil, fmt.Errorf("begin a Parquet file: %w", err)
	}
	e.w = parquet.NewGenericWriter[any](w, cfg)
	return e, nil
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

type parquetEncoder struct {
	w      *parquet.GenericWriter[any]
	whole  bool // the parts are the fields of the value
	parts  []parquetPart
	leaves int
	cols   [][]parquet.Value
	marks  []int // of cols, where the record began
	bytes  int   // written since the last row group ended
}

// build compiles a schema at the given repetition and definition level.
func (e *parquetEncoder) build(s *record.Schema, rep, def int) (*column, parquet.Node, error) {
	n := &column{schema: s, leaf: e.leaves, optional: s.Optional, nullDef: def}
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
			c, child, err := e.build(f.Schema, rep, def)
			if err != nil {
				return nil, nil, err
			}
			n.children = append(n.children, c)
			g.add(f.Name, child)
		}
		node = g
	case record.Array:
		n.isList, n.emptyDef, n.elementsRep = true, def, rep+1
		c, child, err := e.build(s.Elem, rep+1, def+1)
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
		k, keyNode, err := e.build(key, rep+1, def+1)
		if err != nil {
			return nil, nil, err
		}
		v, valueNode, err := e.build(s.Elem, rep+1, def+1)
		if err != nil {
			return nil, nil, err
		}
		n.children, node = []*column{k, v}, parquet.Map(keyNode, valueNode)
	default:
		node = leafNode(s)
		e.leaves++
	}
	n.leaves = e.leaves - n.leaf
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

// write adds a record to the columns; settle hands them to the file.
func (e *parquetEncoder) write(b *record.Batch, r *record.Record) error {
	for i := range e.cols {
		e.marks[i] = len(e.cols[i])
	}
	err := e.row(b, r)
	if err != nil {
		for i := range e.cols {
			e.cols[i] = e.cols[i][:e.marks[i]]
		}
	}
	return err
}

func (e *parquetEncoder) row(b *record.Batch, r *record.Record) error {
	if e.whole {
		if r.Value.IsNull() || r.Value.Len() != len(e.parts) {
			return dataError("A Parquet file has no place for a null value (topic %s). Leave tombstones out with the filter transform and the predicate RecordIsTombstone", r.Topic.Name)
		}
		for i := range e.parts {
			if err := e.append(e.parts[i].col, b, b.Child(r.Value, i), 0); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range e.parts {
		c := record.Cell{}
		switch p.source {
		case fieldKey:
			c = r.Key
		case fieldValue:
			c = r.Value
		case fieldOffset:
			c = record.Int64Cell(r.Origin.Offset)
		case fieldTimestamp:
			c = record.Int64Cell(r.Timestamp)
		case fieldHeaders:
			c = headerMap(b, r)
		}
		if err := e.append(p.col, b, c, 0); err != nil {
			return err
		}
	}
	return nil
}

// headerMap makes a map of texts of a record's headers.
func headerMap(b *record.Batch, r *record.Record) record.Cell {
	hs := b.Headers(r)
	m := b.Alloc(record.Map, 2*len(hs))
	for i, h := range hs {
		b.SetChild(m, 2*i, b.StringCell(h.Key))
		if text, ok := appendScalar(nil, b, h.Value); ok {
			b.SetChild(m, 2*i+1, b.BytesCell(record.String, text))
		}
	}
	return m
}

// append adds a value, at repetition level rep, to the leaves of n.
func (e *parquetEncoder) append(n *column, b *record.Batch, c record.Cell, rep int) error {
	if c.IsNull() {
		if n.fill != nil && !n.fill.Root.IsNull() {
			return e.append(n, n.fill.Batch(), n.fill.Root, rep)
		}
		if !n.optional {
			return dataError("A required field is null (type %s)", n.schema.Type)
		}
		e.nulls(n, rep, n.nullDef)
		return nil
	}
	switch {
	case n.isList, n.isMap:
		per := len(n.children)
		if c.Len() == 0 {
			e.nulls(n, rep, n.emptyDef)
			return nil
		}
		for i := 0; i < c.Len(); i++ {
			at := n.elementsRep
			if i < per {
				at = rep
			}
			if err := e.append(n.children[i%per], b, b.Child(c, i), at); err != nil {
				return err
			}
		}
		return nil
	case n.children != nil:
		if c.Kind() != record.Struct || c.Len() != len(n.children) {
			return dataError("The value does not fit its schema: a %s where %s is expected", c.Kind(), n.schema.Type)
		}
		for i, child := range n.children {
			if err := e.append(child, b, b.Child(c, i), rep); err != nil {
				return err
			}
		}
		return nil
	}
	e.cols[n.leaf] = append(e.cols[n.leaf], scalarValue(n.schema, b, c).Level(rep, n.def, n.leaf))
	return nil
}

func (e *parquetEncoder) nulls(n *column, rep, def int) {
	for i := n.leaf; i < n.leaf+n.leaves; i++ {
		e.cols[i] = append(e.cols[i], parquet.NullValue().Level(rep, def, i))
	}
}

func scalarValue(s *record.Schema, b *record.Batch, c record.Cell) parquet.Value {
	switch s.Type {
	case record.Int8, record.Int16, record.Int32:
		return parquet.Int32Value(int32(c.Int()))
	case record.Int64:
		return parquet.Int64Value(c.Int())
	case record.Float32:
		return parquet.FloatValue(float32(c.Float()))
	case record.Float64:
		return parquet.DoubleValue(c.Float())
	case record.Boolean:
		return parquet.BooleanValue(c.Bool())
	}
	return parquet.ByteArrayValue(b.Raw(c))
}

// settle hands what was added to the file's columns: afterwards nothing points
// into the batch.
func (e *parquetEncoder) settle() error {
	writers := e.w.ColumnWriters()
	for i, values := range e.cols {
		if len(values) == 0 {
			continue
		}
		if _, err := writers[i].WriteRowValues(values); err != nil {
			return fmt.Errorf("write a column of a Parquet file: %w", err)
		}
		for j := range values {
			if e.bytes += 8; values[j].Kind() == parquet.ByteArray {
				e.bytes += len(values[j].ByteArray())
			}
		}
		clear(values)
		e.cols[i] = values[:0]
	}
	if e.bytes > rowGroupBytes {
		return e.flush()
	}
	return nil
}

func (e *parquetEncoder) held() int { return e.bytes }

func (e *parquetEncoder) flush() error {
	e.bytes = 0
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("end a row group of a Parquet file: %w", err)
	}
	return nil
}

func (e *parquetEncoder) close() error {
	if err := e.settle(); err != nil {
		return err
	}
	if err := e.w.Close(); err != nil {
		return fmt.Errorf("end a Parquet file: %w", err)
	}
	return nil
}
