package objectstore

import (
	"cmp"
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
	bare   bool    // the single field stands alone
	lists  lists
	plans  map[parquetKey]*parquetPlan
	pages  parquet.BufferPool
}

// parquetKey is what the columns of a file follow from.
type parquetKey struct {
	key, value *record.Schema
	shape      string
}

// lists is how arrays are laid out. Parquet's first way repeats the element itself and
// has no place for null elements; the Java sinks write it still where they can.
type lists int

const (
	listsByType   lists = iota // the first way, unless elements of some array may be null
	listsByValue               // the first way, unless there is a null element
	listsWithNull              // always with a place for nulls
)

// parquetPlan is how records of one pair of schemas become columns. Files share it,
// and the writers that are not in use.
type parquetPlan struct {
	// full has a place for null elements of arrays; plain has none, and is nil when it
	// is not wanted.
	full, plain *parquetLayout
	nullable    bool // elements of some array may be null
	parts       []parquetPart
	whole       bool // the parts are the fields of the value, or of the key
	leaves      []*column
	cols        [][]parquet.Value // of rows being handed to a writer
}

// parquetWriter: its generic successor refuses lists whose element itself repeats.
type parquetWriter = parquet.Writer //nolint:staticcheck // see above

// parquetLayout is one of the two ways.
type parquetLayout struct {
	schema *parquet.Schema
	spare  *parquetWriter
}

// maxPlans bounds the plans that are kept: schemas come and go.
const maxPlans = 64

func (f *parquetFormat) extension() string { return f.ext }
func (f *parquetFormat) strict() bool      { return true }

func (f *parquetFormat) open(w io.Writer, b *record.Batch, r *record.Record, _ int) (encoder, error) {
	p, err := f.plan(b, r)
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
func (f *parquetFormat) plan(b *record.Batch, r *record.Record) (*parquetPlan, error) {
	k := parquetKey{value: r.ValueSchema}
	if f.fields != nil {
		k.key, k.shape = r.KeySchema, shape(f.fields, f.bare, b, r)
	}
	if p := f.plans[k]; p != nil {
		return p, nil
	}
	members, whole, err := f.members(b, r)
	if err != nil {
		return nil, err
	}
	p := &parquetPlan{whole: whole}
	full, plain := &ordered{}, &ordered{}
	for _, m := range members {
		if m.schema == nil {
			continue // Parquet has no type for what is always null
		}
		n := &column{schema: m.schema, defs: []int{0}}
		nodes, err := p.build(n, 0, 0)
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, parquetPart{m, n})
		full.add(m.name, nodes.full)
		plain.add(m.name, nodes.plain)
	}
	if len(p.leaves) == 0 {
		return nil, dataError("A Parquet file needs at least one column (topic %s)", r.Topic.Name)
	}
	p.full = &parquetLayout{schema: parquet.NewSchema("ConnectDefault", full)}
	if f.lists == listsByValue || f.lists == listsByType && !p.nullable {
		p.plain = &parquetLayout{schema: parquet.NewSchema("ConnectDefault", plain)}
	}
	p.cols = make([][]parquet.Value, len(p.leaves))
	if f.plans == nil || len(f.plans) >= maxPlans {
		f.plans = map[parquetKey]*parquetPlan{}
	}
	f.plans[k] = p
	return p, nil
}

// members are the columns of a file, or groups of them; whole: they are the fields of
// the value, or of the key.
func (f *parquetFormat) members(b *record.Batch, r *record.Record) (out []member, whole bool, err error) {
	s, source := r.ValueSchema, fieldValue
	if f.fields != nil {
		if out, err = membersOf(f.fields, f.bare, b, r); out != nil || err != nil {
			return out, false, err
		}
		if source = f.fields[0]; source == fieldKey {
			s = r.KeySchema
		}
	}
	if s == nil || s.Type != record.Struct {
		return nil, false, dataError("A Parquet file needs values that are structs with a schema, this one is a %s (topic %s). Use a converter that gives values a schema, or another format", r.Value.Kind(), r.Topic.Name)
	}
	for _, fd := range s.Fields {
		out = append(out, member{name: fd.Name, source: source, schema: fd.Schema})
	}
	return out, true, nil
}

// writer returns a writer into w: the spare one, or a new one.
func (f *parquetFormat) writer(p *parquetLayout, w io.Writer) (*parquetWriter, error) {
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
	return parquet.NewWriter(w, cfg), nil
}

// ordered is a group whose fields keep the order of the Connect schema.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (g *ordered) Fields() []parquet.Field { return g.fields }

// plainList is a list whose element is what repeats.
type plainList struct{ ordered }

// Type implements parquet.Node.
func (*plainList) Type() parquet.Type { return parquet.List(parquet.String()).Type() }

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
	element     bool // of an array; null only where lists have a place for that
	emptyDef    int  // of an empty list or map
	nullDef     int  // of a null
	fill        *record.Datum
	elementsRep int
	defs        []int // definition levels without a place for null elements, by those with
}

type parquetPart struct {
	member
	col *column
}

// parquetNodes are the nodes of a column in both layouts.
type parquetNodes struct{ full, plain parquet.Node }

// build compiles the schema of a column, whose defs are those of what is around it,
// at the given repetition and definition level.
func (p *parquetPlan) build(n *column, rep, def int) (parquetNodes, error) {
	s := n.schema
	n.leaf, n.optional, n.nullDef, n.fill = len(p.leaves), s.Optional, def, s.Default
	level := func(counts bool) { // one more definition level
		last := n.defs[len(n.defs)-1]
		if counts {
			last++
		}
		n.defs = append(n.defs[:len(n.defs):len(n.defs)], last)
	}
	if s.Optional {
		def++
		level(!n.element)
	}
	n.rep, n.def = rep, def
	var nodes parquetNodes
	child := func(s *record.Schema, element bool, rep, def int) (parquetNodes, error) {
		c := &column{schema: s, element: element, defs: n.defs}
		n.children = append(n.children, c)
		return p.build(c, rep, def)
	}
	switch s.Type {
	case record.Struct:
		if len(s.Fields) == 0 {
			return nodes, dataError("Parquet has no place for a struct without fields (%s)", s.Name)
		}
		full, plain := &ordered{}, &ordered{}
		for _, f := range s.Fields {
			one, err := child(f.Schema, false, rep, def)
			if err != nil {
				return nodes, err
			}
			full.add(f.Name, one.full)
			plain.add(f.Name, one.plain)
		}
		nodes = parquetNodes{full, plain}
	case record.Array:
		n.isList, n.emptyDef, n.elementsRep = true, def, rep+1
		p.nullable = p.nullable || s.Elem.Optional
		level(true)
		one, err := child(s.Elem, true, rep+1, def+1)
		if err != nil {
			return nodes, err
		}
		nodes = listNodes(one)
	case record.Map:
		n.isMap, n.emptyDef, n.elementsRep = true, def, rep+1
		level(true)
		k, err := child(cmp.Or(s.Key, record.PlainString), false, rep+1, def+1)
		if err != nil {
			return nodes, err
		}
		v, err := child(s.Elem, false, rep+1, def+1)
		if err != nil {
			return nodes, err
		}
		nodes = mapNodes(s, k, v)
	default:
		leaf := leafNode(s)
		nodes = parquetNodes{leaf, leaf}
		p.leaves = append(p.leaves, n)
	}
	n.leaves = len(p.leaves) - n.leaf
	if s.Optional {
		nodes.full = parquet.Optional(nodes.full)
		if !n.element {
			nodes.plain = parquet.Optional(nodes.plain)
		}
	}
	return nodes, nil
}

func listNodes(element parquetNodes) parquetNodes {
	plain := &plainList{}
	plain.add("array", parquet.Repeated(element.plain))
	return parquetNodes{parquet.List(element.full), plain}
}

// mapNodes makes a map, or a list of entries when its keys are not text: so Avro
// holds such maps, and the Java sinks' files come of that.
func mapNodes(s *record.Schema, k, v parquetNodes) parquetNodes {
	if s.Key == nil || s.Key.Type == record.String && !s.Key.Optional {
		return parquetNodes{parquet.Map(k.full, v.full), parquet.Map(k.plain, v.plain)}
	}
	full, plain := &ordered{}, &ordered{}
	full.add("key", k.full)
	full.add("value", v.full)
	plain.add("key", k.plain)
	plain.add("value", v.plain)
	return listNodes(parquetNodes{full, plain})
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
