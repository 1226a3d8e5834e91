package transform

import (
	"context"
	"testing"

	"millrace/internal/record"
)

// columnEvent is an insert whose columns carry what column.propagate.source.type
// leaves in their schemas, of a table that the source block names as a chunk.
func columnEvent(t testing.TB, b *record.Batch) *record.Record {
	t.Helper()
	column := func(name string, s *record.Schema) record.Field {
		s = s.Copy()
		s.Params = []record.Param{{Key: "__debezium.source.column.type", Value: "TEXT"}, {Key: "__debezium.source.column.name", Value: name}, {Key: "__debezium.source.column.length", Value: "10"}}
		return f(name, s)
	}
	rows := structOf("s.items.Value", true, column("id", record.PlainInt32), column("name", record.OptionalString))
	src := structOf("Source", false, f("schema", record.PlainString), f("table", record.PlainString))
	env := structOf("s.items.Envelope", false, f("before", rows), f("after", rows), f("source", src), f("op", record.PlainString), f("ts_ms", record.OptionalInt64))
	c, err := record.FromGo(b, env, map[string]any{"after": map[string]any{"id": 1, "name": "bolt"}, "op": "c", "ts_ms": int64(5),
		"source": map[string]any{"schema": "_timescaledb_internal", "table": "_hyper_1_1_chunk"}})
	if err != nil {
		t.Fatal(err)
	}
	r := b.Append()
	r.Topic, r.ValueSchema, r.Value = itemsTopic, env, c
	return r
}

// benchTimescale is the TimescaleDb transform over a catalog of one chunk.
func benchTimescale(t testing.TB) Step {
	t.Helper()
	p := Timescale(func(map[string]string) (ReadHypertables, error) {
		return func(context.Context) (Hypertables, error) {
			hyper, chunk := TableName{"_timescaledb_internal", "_materialized_hypertable_2"}, TableName{"_timescaledb_internal", "_hyper_1_1_chunk"}
			return Hypertables{Chunks: map[TableName]TableName{chunk: hyper}, Aggregates: map[TableName]TableName{hyper: {"public", "summary"}}}, nil
		}, nil
	})
	s, err := p.NewStep(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// benchStages are steps that need a record of their own, and predicates.
func benchStages(t testing.TB) map[string]Stage {
	t.Helper()
	out := map[string]Stage{"ExtractSchemaToNewRecord": {Step: newStep(t, "ExtractSchemaToNewRecord")}, "TimescaleDb": {Step: benchTimescale(t)}}
	for name, kv := range map[string][]string{"TopicNameMatches": {"pattern", ".*items"}, "HasHeaderKey": {"name", "none"}, "RecordIsTombstone": nil} {
		p, err := find(t, name).NewPredicate(pairs(kv))
		if err != nil {
			t.Fatal(err)
		}
		out["predicate/"+name] = Stage{Predicate: p, Negate: name == "TopicNameMatches", Step: newStep(t, "Filter")}
	}
	out["EventRouter"] = Stage{Step: newStep(t, "outbox.EventRouter", "table.field.event.id", "name", "table.field.event.key", "name", "table.field.event.payload", "name", "route.by.field", "name")}
	out["HeaderToValue"] = Stage{Step: newStep(t, "HeaderToValue", "headers", "h", "fields", "source.h", "operation", "copy")}
	return out
}

// onCopy runs the stage on a copy of the record.
func onCopy(t testing.TB, s *Stage, b, src *record.Batch, r record.Record) {
	x := b.Append()
	*x = r
	x.Key, x.Value = b.Import(src, r.Key), b.Import(src, r.Value)
	b.AddHeader(x, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(1)})
	if keep, err := s.Apply(b, x); err != nil || !keep {
		t.Fatal(keep, err)
	}
}

// TestStageAllocations: nor do these allocate per record on a warm batch.
func TestStageAllocations(t *testing.T) {
	for name, s := range benchStages(t) {
		var src, b record.Batch
		r := *columnEvent(t, &src)
		work := func() {
			b.Reset()
			onCopy(t, &s, &b, &src, r)
		}
		work()
		if n := testing.AllocsPerRun(200, work); n > 0 {
			t.Errorf("%s: %v allocations per record", name, n)
		}
	}
}

// BenchmarkStage is the time of one stage on one record, as BenchmarkStep.
func BenchmarkStage(bench *testing.B) {
	for name, s := range benchStages(bench) {
		bench.Run(name, func(bench *testing.B) {
			var src, b record.Batch
			r := *columnEvent(bench, &src)
			bench.ReportAllocs()
			for i := 0; bench.Loop(); i++ {
				if i&1023 == 0 {
					b.Reset()
				}
				onCopy(bench, &s, &b, &src, r)
			}
		})
	}
}

// TestChangedBehindOthers: a field that a step in front has put into after alone
// counts as changed.
func TestChangedBehindOthers(t *testing.T) {
	var b record.Batch
	r := event(t, &b, "u", row(1, "bolt", 5), row(1, "nut", 5))
	b.AddHeader(r, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(1)})
	for _, s := range []Step{newStep(t, "HeaderToValue", "headers", "h", "fields", "after.hh", "operation", "move"), newStep(t, "ExtractChangedRecordState", "header.changed.name", "c", "header.unchanged.name", "u")} {
		if keep, err := s.Apply(&b, r); err != nil || !keep {
			t.Fatal(keep, err)
		}
	}
	h := b.Headers(r)
	if got := showCell(&b, h[0].Schema, h[0].Value) + showCell(&b, h[1].Schema, h[1].Value); got != `array("name" "hh")array("id" "qty" "price" "at")` {
		t.Error(got)
	}
}

// TestOutboxVersions: events of one version whose payloads differ in shape have a
// schema each.
func TestOutboxVersions(t *testing.T) {
	s := newStep(t, "outbox.EventRouter", "table.field.event.id", "name", "table.field.event.key", "name", "table.field.event.payload", "name", "route.by.field", "name",
		"table.expand.json.payload", "true", "table.field.event.schema.version", "qty", "table.fields.additional.placement", "id:envelope")
	for text, want := range map[string]string{`{"a":1}`: `{payload:{a:1} id:1}`, `[1,2]`: `{payload:array(1 2) id:1}`, `text`: `{payload:"text" id:1}`} {
		var b record.Batch
		r := event(t, &b, "c", nil, row(1, text, 5))
		if keep, err := s.Apply(&b, r); err != nil || !keep {
			t.Fatal(keep, err)
		}
		if got := showCell(&b, r.ValueSchema, r.Value); got != want || r.ValueSchema.Version != 5 {
			t.Errorf("%s: %s", text, got)
		}
	}
}
