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
	known   Hypertables
	topics  topicCache
	plans   planCache[*timescalePlan]
	at      int // where the last record lay
}

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
	chunk := TableName{b.Str(schema), b.Str(table)}
	hyper, err := t.hypertable(chunk)
	if err != nil || hyper == (TableName{}) {
		return true, err
	}
	to, aggregate := t.known.Aggregates[hyper]
	if !aggregate {
		to = hyper
	}
	next := sharedTombstone(b, r, &t.at)
	chunk = TableName{strings.Clone(chunk.Schema), strings.Clone(chunk.Table)} // the arena moves
	source = b.CloneChildren(source, 0)
	b.SetChild(source, p.schema, b.StringCell(to.Schema))
	b.SetChild(source, p.table, b.StringCell(to.Table))
	out := b.CloneChildren(r.Value, 0)
	b.SetChild(out, p.source, source)
	r.Value, r.Topic = out, t.topics.get(t.prefix+"."+to.Schema+"."+to.Table)
	add := func(key, value string) {
		b.AddHeader(r, record.Header{Key: "__debezium_timescaledb_" + key, Schema: record.PlainString, Value: b.StringCell(value)})
	}
	add("chunk_table", chunk.Table)
	add("chunk_schema", chunk.Schema)
	if aggregate {
		add("hypertable_table", hyper.Table)
		add("hypertable_schema", hyper.Schema)
	}
	if next != nil { // it shares its headers with the delete, as in Connect
		b.ShareHeaders(next, r)
	}
	return true, nil
}

// hypertable returns the hypertable of a chunk; none when the catalog has none.
func (t *timescale) hypertable(chunk TableName) (TableName, error) {
	if h, ok := t.known.Chunks[chunk]; ok {
		return h, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timescaleTimeout)
	defer cancel()
	known, err := t.read(ctx)
	if err != nil {
		return TableName{}, &errs.Error{Java: errs.DebeziumException, Msg: "Failed to read TimescaleDB metadata", Cause: err,
			Hint: "The transform's database.* options must name the database that the connector reads, and its user needs SELECT on the tables of _timescaledb_catalog"}
	}
	t.known = known
	return known.Chunks[chunk], nil
}
