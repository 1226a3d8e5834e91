package transform

import (
	"strings"
	"testing"

	"millrace/internal/record"
)

// benchCases are steps and the records they work on.
var benchCases = []struct {
	name, class string
	kv          []string
	flat        bool
}{
	{"ExtractNewRecordState", "ExtractNewRecordState", nil, false},
	{"ExtractNewRecordState/fields", "ExtractNewRecordState", []string{"add.fields", "op,table,lsn,source.ts_ms", "delete.tombstone.handling.mode", "rewrite"}, false},
	{"ByLogicalTableRouter", "ByLogicalTableRouter", []string{"topic.regex", "(.*)items", "topic.replacement", "$1all"}, false},
	{"ExtractChangedRecordState", "ExtractChangedRecordState", []string{"header.changed.name", "c"}, false},
	{"PartitionRouting", "partitions.PartitionRouting", []string{"partition.payload.fields", "change.name", "partition.topic.num", "5"}, false},
	{"TimezoneConverter", "TimezoneConverter", []string{"converted.timezone", "Europe/Berlin"}, false},
	{"ReadToInsertEvent", "ReadToInsertEvent", nil, false},
	{"Filter", "io.debezium.transforms.Filter", []string{"language", "jsr223.groovy", "condition", "value.op == 'u' && value.after.name != value.before.name && value.after.id > 0"}, false},
	{"Filter/cel", "io.debezium.transforms.Filter", []string{"language", "cel", "condition", "value.op == 'u' && value.after.name != value.before.name && value.after.id > 0"}, false},
	{"ContentBasedRouter/cel", "ContentBasedRouter", []string{"language", "cel", "topic.expression", "value.after.id == 1 ? 'ones' : topic"}, false},
	{"ContentBasedRouter", "ContentBasedRouter", []string{"language", "jsr223.groovy", "topic.expression", "value.after.id == 1 ? 'ones' : null"}, false},
	{"Flatten", "Flatten$Value", nil, false},
	{"InsertField", "InsertField$Value", []string{"static.field", "dc", "static.value", "ams"}, true},
	{"ReplaceField", "ReplaceField$Value", []string{"exclude", "price", "renames", "id:key"}, true},
	{"MaskField", "MaskField$Value", []string{"fields", "name,price"}, true},
	{"ExtractField", "ExtractField$Value", []string{"field", "name"}, true},
	{"HoistField", "HoistField$Value", []string{"field", "line"}, true},
	{"ValueToKey", "ValueToKey", []string{"fields", "id"}, true},
	{"Cast", "Cast$Value", []string{"spec", "id:string,qty:int64"}, true},
	{"TimestampConverter", "TimestampConverter$Value", []string{"field", "at", "target.type", "string", "format", "yyyy-MM-dd HH:mm:ss"}, true},
	{"HeaderFrom", "HeaderFrom$Value", []string{"fields", "name", "headers", "n", "operation", "move"}, true},
	{"SetSchemaMetadata", "SetSchemaMetadata$Value", []string{"schema.name", "a.B"}, true},
	{"RegexRouter", "RegexRouter", []string{"regex", "(.*)", "replacement", "x-$1"}, true},
	{"InsertHeader", "InsertHeader", []string{"header", "h", "value.literal", "text"}, true},
	{"EnforceRecordSize", "EnforceRecordSize", []string{"max.bytes", "100000"}, false},
	{"SwapGeometryCoordinates", "SwapGeometryCoordinates", nil, false},
	{"GeometryFormatTransformer", "GeometryFormatTransformer", []string{"format", "ewkb"}, false},
	{"VectorToJsonConverter", "VectorToJsonConverter", nil, false},
	{"SchemaChangeEventFilter", "SchemaChangeEventFilter", []string{"schema.change.event.exclude.list", "DROP"}, false},
	{"DecodeLogicalDecodingMessageContent", "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent", nil, false},
	{"CollectionNameTransformation", "io.debezium.connector.jdbc.transforms.CollectionNameTransformation", []string{"collection.naming.prefix", "p_"}, true},
	{"FieldNameTransformation", "io.debezium.connector.jdbc.transforms.FieldNameTransformation", []string{"column.naming.style", "camel_case"}, true},
	{"TimestampRouter", "TimestampRouter", []string{"timestamp.format", "yyyyMM"}, true},
	{"ToLogicalTopicRouter", "ToLogicalTopicRouter", []string{"topic.regex", "(.*)items", "topic.replacement", "$1all"}, false},
	{"ActivateTracingSpan", "tracing.ActivateTracingSpan", []string{"tracing.with.context.field.only", "true"}, false},
	{"DropHeaders", "DropHeaders", []string{"headers", "h"}, true},
}

func benchRecord(t testing.TB, b *record.Batch, isFlat bool) record.Record {
	b.Reset()
	var r *record.Record
	if isFlat {
		r = flat(t, b, row(1, "bolt", 5))
	} else {
		r = event(t, b, "u", row(1, "bolt", 5), row(1, "nut", nil))
	}
	r.Timestamp = 1614834367089
	return *r
}

// TestAllocations: a step allocates nothing per record on a warm batch.
func TestAllocations(t *testing.T) {
	for _, c := range benchCases {
		t.Run(c.name, func(t *testing.T) {
			s := newStep(t, c.class, c.kv...)
			var src, b record.Batch
			r := benchRecord(t, &src, c.flat)
			work := func() {
				b.Reset()
				x := b.Append()
				*x = r
				x.Key, x.Value = b.Import(&src, r.Key), b.Import(&src, r.Value)
				if _, err := s.Apply(&b, x); err != nil {
					t.Fatal(err)
				}
			}
			work()
			most := 0.0
			if strings.HasSuffix(c.name, "/cel") {
				most = 6 // its values are interfaces
			}
			if n := testing.AllocsPerRun(200, work); n > most {
				t.Errorf("%v allocations per record", n)
			}
		})
	}
}

// BenchmarkStep is the time of one step on one record, the copying of the record
// into the batch (see "copy") included.
func BenchmarkStep(bench *testing.B) {
	run := func(bench *testing.B, s Step, isFlat bool) {
		var src, b record.Batch
		r := benchRecord(bench, &src, isFlat)
		bench.ReportAllocs()
		bench.ResetTimer()
		for i := 0; i < bench.N; i++ {
			if i&1023 == 0 {
				b.Reset()
			}
			x := b.Append()
			*x = r
			x.Key, x.Value = b.Import(&src, r.Key), b.Import(&src, r.Value)
			if s != nil {
				if _, err := s.Apply(&b, x); err != nil {
					bench.Fatal(err)
				}
			}
		}
	}
	bench.Run("copy/event", func(bench *testing.B) { run(bench, nil, false) })
	bench.Run("copy/flat", func(bench *testing.B) { run(bench, nil, true) })
	for _, c := range benchCases {
		bench.Run(c.name, func(bench *testing.B) { run(bench, newStep(bench, c.class, c.kv...), c.flat) })
	}
}

// BenchmarkEventRouter is the outbox on an insert of its own table.
func BenchmarkEventRouter(bench *testing.B) {
	s := newStep(bench, "outbox.EventRouter", "table.field.event.id", "id", "table.field.event.key", "name", "table.field.event.payload", "name", "route.by.field", "name")
	var src, b record.Batch
	r := *event(bench, &src, "c", nil, row(1, "bolt", 5))
	bench.ReportAllocs()
	for i := 0; bench.Loop(); i++ {
		if i&1023 == 0 {
			b.Reset()
		}
		x := b.Append()
		*x = r
		x.Key, x.Value = b.Import(&src, r.Key), b.Import(&src, r.Value)
		if keep, err := s.Apply(&b, x); err != nil || !keep {
			bench.Fatal(keep, err)
		}
	}
}

// BenchmarkHeaderToValue puts a header into an event.
func BenchmarkHeaderToValue(bench *testing.B) {
	s := newStep(bench, "HeaderToValue", "headers", "h", "fields", "source.h", "operation", "move")
	var src, b record.Batch
	r := *event(bench, &src, "c", nil, row(1, "bolt", 5))
	bench.ReportAllocs()
	for i := 0; bench.Loop(); i++ {
		if i&1023 == 0 {
			b.Reset()
		}
		x := b.Append()
		*x = r
		x.Key, x.Value = b.Import(&src, r.Key), b.Import(&src, r.Value)
		b.AddHeader(x, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(1)})
		if _, err := s.Apply(&b, x); err != nil {
			bench.Fatal(err)
		}
	}
}
