package transform

import (
	"context"
	"errors"
	"strings"
	"testing"

	"millrace/internal/record"
)

// TestTimescale: a chunk that is not known is looked up once for each record until
// it is, an error of the catalog names what to check, other schemas are left alone.
func TestTimescale(t *testing.T) {
	reads, broken := 0, true
	p := Timescale(func(props map[string]string) (ReadHypertables, error) {
		if props["database.hostname"] != "h" {
			t.Errorf("props %v", props)
		}
		return func(context.Context) (Hypertables, error) {
			if reads++; broken {
				return Hypertables{}, errors.New("permission denied")
			}
			chunk := TableName{"_timescaledb_internal", "_hyper_1_1_chunk"}
			return Hypertables{Chunks: map[TableName]TableName{chunk: {"public", "conditions"}}}, nil
		}, nil
	})
	step, err := p.NewStep(map[string]string{"database.hostname": "h"})
	if err != nil {
		t.Fatal(err)
	}
	src := structOf("Source", false, f("schema", record.PlainString), f("table", record.PlainString))
	env := structOf("s.x.Envelope", false, f("before", rowSchema), f("after", rowSchema), f("source", src), f("op", record.PlainString))
	apply := func(schema, table string) (string, error) {
		var b record.Batch
		r := b.Append()
		r.Topic, r.ValueSchema = itemsTopic, env
		if r.Value, err = record.FromGo(&b, env, map[string]any{"after": row(1, "x", 1), "op": "c", "source": map[string]any{"schema": schema, "table": table}}); err != nil {
			t.Fatal(err)
		}
		_, err := step.Apply(&b, r)
		source := b.Child(r.Value, 2)
		return r.Topic.Name + " " + b.Str(b.Child(source, 0)) + "." + b.Str(b.Child(source, 1)), err
	}
	if got, err := apply("public", "items"); got != "s.items public.items" || err != nil || reads != 0 {
		t.Error(got, err, reads)
	}
	if _, err := apply("_timescaledb_internal", "_hyper_1_1_chunk"); err == nil || !strings.Contains(err.Error(), "needs SELECT on the tables of _timescaledb_catalog") {
		t.Error(err)
	}
	broken = false
	for range 3 {
		if got, err := apply("_timescaledb_internal", "_hyper_1_1_chunk"); got != "timescaledb.public.conditions public.conditions" || err != nil {
			t.Error(got, err)
		}
	}
	if got, err := apply("_timescaledb_internal", "_hyper_9_9_chunk"); got != "s.items _timescaledb_internal._hyper_9_9_chunk" || err != nil || reads != 3 {
		t.Error(got, err, reads)
	}
}

// TestInstead: classes that people have and millrace has not come with advice.
func TestInstead(t *testing.T) {
	for class, want := range map[string]string{
		"io.debezium.transforms.UnwrapFromEnvelope":                     "ExtractNewRecordState",
		"io.debezium.connector.mongodb.transforms.MongoEventRouter":     "MongoDB",
		"io.confluent.connect.transforms.Filter$Value":                  "io.debezium.transforms.Filter",
		"io.confluent.connect.transforms.ReplaceField$Key":              "Apache Kafka",
		"com.github.jcustenborder.kafka.connect.transform.common.X$Key": "GET /connector-plugins",
		"com.example.Own": "",
	} {
		if got := Instead(class); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", class, got)
		}
	}
}
