package transform

import (
	"context"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// TableName is a table with its schema.
type TableName struct{ Schema, Table string }

// Hypertables is TimescaleDB's catalog as the TimescaleDb transform needs it: the
// hypertable of each chunk, and the view of each hypertable that holds a continuous
// aggregate.
type Hypertables struct {
	Chunks     map[TableName]TableName
	Aggregates map[TableName]TableName
}

// ReadHypertables reads the catalog.
type ReadHypertables func(ctx context.Context) (Hypertables, error)

// timescaleTimeout bounds a reading of the catalog; a record waits for it.
const timescaleTimeout = 30 * time.Second

// timescale gives changes of chunks the names of their hypertables. The catalog is
// read again whenever a chunk is not in it.
type timescale struct {
	schemas map[string]bool
	prefix  string
	read    ReadHypertables
	routes  map[TableName]*timescaleRoute
	topics  topicCache
	plans   planCache[*timescalePlan]
	at      int // where the last record lay
}

// timescaleRoute is where the changes of a chunk go.
type timescaleRoute struct {
	chunk, hyper, to TableName
	aggregate        bool // to is the view of a continuous aggregate, hyper what it is kept in
	topic            *record.Topic
}

// maxChunks bounds the routes that are kept; beyond it they are made anew.
const maxChunks = 1 << 16

type timescalePlan struct{ source, schema, table int }

// Timescale is the plugin of the TimescaleDb transform. connect makes the reader of
// the catalog from the transform's own database options.
func Timescale(connect func(props map[string]string) (ReadHypertables, error)) Plugin {
	def := &configdef.Def{Options: []configdef.Option{
		dopt("schema.list", configdef.List, "_timescaledb_internal", configdef.High, configdef.WidthMedium, "The list of TimescaleDB data schemas", "Schemas that hold the chunks."),
		dopt("target.topic.prefix", configdef.String, "timescaledb", configdef.Medium, configdef.WidthMedium, "The prefix of TimescaleDB topic names", "Prefix of the topics that changes of hypertables go to."),
	}}
	p := Plugin{Class: "io.debezium.connector.postgresql.transforms.timescaledb.TimescaleDb", Def: def, Debezium: true}
	p.NewStep = func(props map[string]string) (Step, error) {
		v, err := def.Parse(props)
		if err != nil {
			return nil, err
		}
		read, err := connect(props)
		if err != nil {
			return nil, err
		}
		schemas := v.List("schema.list")
		if len(schemas) == 0 {
			schemas = []string{"_timescaledb_internal"}
		}
		return &timescale{schemas: set(schemas), prefix: v.String("target.topic.prefix"), read: read}, nil
	}
	return p
}

func (t *timescale) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() || !isEnvelope(r.ValueSchema) {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		p = &timescalePlan{schema: -1, table: -1}
		var src *record.Schema
		if p.source, src = r.ValueSchema.Field("source"); src != nil {
			p.schema, _ = src.Field("schema")
			p.table, _ = src.Field("table")
		}
		t.plans.store(r.ValueSchema, p)
	}
	if p.schema < 0 || p.table < 0 {
		return true, nil
	}
	source := b.Child(r.Value, p.source)
	if source.IsNull() {
		return true, nil
	}
	schema, table := b.Child(source, p.schema), b.Child(source, p.table)
	if schema.Kind() != record.String || table.Kind() != record.String || !t.schemas[b.Str(schema)] {
		return true, nil
	}
	to, err := t.route(TableName{b.Str(schema), b.Str(table)})
	if err != nil || to == nil {
		return true, err
	}
	next := sharedTombstone(b, r, &t.at)
	source = b.CloneChildren(source, 0)
	b.SetChild(source, p.schema, b.StringCell(to.to.Schema))
	b.SetChild(source, p.table, b.StringCell(to.to.Table))
	out := b.CloneChildren(r.Value, 0)
	b.SetChild(out, p.source, source)
	r.Value, r.Topic = out, to.topic
	addText(b, r, "__debezium_timescaledb_chunk_table", to.chunk.Table)
	addText(b, r, "__debezium_timescaledb_chunk_schema", to.chunk.Schema)
	if to.aggregate {
		addText(b, r, "__debezium_timescaledb_hypertable_table", to.hyper.Table)
		addText(b, r, "__debezium_timescaledb_hypertable_schema", to.hyper.Schema)
	}
	if next != nil { // it shares its headers with the delete, as in Connect
		b.ShareHeaders(next, r)
	}
	return true, nil
}

func addText(b *record.Batch, r *record.Record, key, value string) {
	b.AddHeader(r, record.Header{Key: key, Schema: record.PlainString, Value: b.StringCell(value)})
}

// route returns where changes of a chunk go, nil when the catalog has no such
// chunk. The names may lie in an arena that moves.
func (t *timescale) route(chunk TableName) (*timescaleRoute, error) {
	if to := t.routes[chunk]; to != nil {
		return to, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timescaleTimeout)
	defer cancel()
	known, err := t.read(ctx)
	if err != nil {
		return nil, &errs.Error{Java: errs.DebeziumException, Msg: "Failed to read TimescaleDB metadata", Cause: err,
			Hint: "The transform's database.* options must name the database that the connector reads, and its user needs SELECT on the tables of _timescaledb_catalog"}
	}
	hyper, ok := known.Chunks[chunk]
	if !ok {
		return nil, nil
	}
	chunk = TableName{strings.Clone(chunk.Schema), strings.Clone(chunk.Table)}
	to := &timescaleRoute{chunk: chunk, hyper: hyper, to: hyper}
	if view, ok := known.Aggregates[hyper]; ok {
		to.to, to.aggregate = view, true
	}
	to.topic = t.topics.get(t.prefix + "." + to.to.Schema + "." + to.to.Table)
	if t.routes == nil || len(t.routes) >= maxChunks {
		t.routes = map[TableName]*timescaleRoute{}
	}
	t.routes[chunk] = to
	return to, nil
}
