package convert

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"millrace/internal/record"
)

// envelope is an update of a table of ten columns as the Postgres connector
// emits it: before, after, source, transaction, op and three clocks.
type envelope struct {
	schema *record.Schema
	batch  *record.Batch
	cell   record.Cell
}

func newEnvelope(t testing.TB) envelope {
	t.Helper()
	row := func(name string) *record.Schema {
		return &record.Schema{Type: record.Struct, Optional: true, Name: name, Fields: []record.Field{
			{Name: "id", Schema: record.PlainInt64}, {Name: "customer_id", Schema: record.PlainInt32},
			{Name: "name", Schema: record.PlainString}, {Name: "email", Schema: record.OptionalString},
			{Name: "amount", Schema: &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: "2"}, {Key: "connect.decimal.precision", Value: "10"}}}},
			{Name: "active", Schema: record.PlainBoolean}, {Name: "score", Schema: record.OptionalFloat64},
			{Name: "created_at", Schema: &record.Schema{Type: record.Int64, Name: "io.debezium.time.MicroTimestamp", Version: 1}},
			{Name: "note", Schema: record.OptionalString}, {Name: "qty", Schema: &record.Schema{Type: record.Int16, Optional: true, Default: record.MustDatum(record.OptionalInt16, int16(1))}},
		}}
	}
	snapshot := &record.Schema{Type: record.String, Optional: true, Name: "io.debezium.data.Enum", Version: 1, Params: []record.Param{{Key: "allowed", Value: "true,first,last,false"}}, Default: record.MustDatum(record.OptionalString, "false")}
	source := &record.Schema{Type: record.Struct, Name: "io.debezium.connector.postgresql.Source", Version: 1, Fields: []record.Field{
		{Name: "version", Schema: record.PlainString}, {Name: "connector", Schema: record.PlainString}, {Name: "name", Schema: record.PlainString},
		{Name: "ts_ms", Schema: record.PlainInt64}, {Name: "snapshot", Schema: snapshot}, {Name: "db", Schema: record.PlainString},
		{Name: "sequence", Schema: record.OptionalString}, {Name: "ts_us", Schema: record.OptionalInt64}, {Name: "ts_ns", Schema: record.OptionalInt64},
		{Name: "schema", Schema: record.PlainString}, {Name: "table", Schema: record.PlainString}, {Name: "txId", Schema: record.OptionalInt64},
		{Name: "lsn", Schema: record.OptionalInt64}, {Name: "xmin", Schema: record.OptionalInt64}, {Name: "origin", Schema: record.OptionalString}, {Name: "origin_lsn", Schema: record.OptionalInt64}}}
	tx := &record.Schema{Type: record.Struct, Optional: true, Name: "event.block", Version: 1, Fields: []record.Field{
		{Name: "id", Schema: record.PlainString}, {Name: "total_order", Schema: record.PlainInt64}, {Name: "data_collection_order", Schema: record.PlainInt64}}}
	s := new(record.Interner).Intern(&record.Schema{Type: record.Struct, Name: "server1.public.orders.Envelope", Version: 2, Fields: []record.Field{
		{Name: "before", Schema: row("server1.public.orders.Value")}, {Name: "after", Schema: row("server1.public.orders.Value")}, {Name: "source", Schema: source},
		{Name: "transaction", Schema: tx}, {Name: "op", Schema: record.PlainString}, {Name: "ts_ms", Schema: record.OptionalInt64},
		{Name: "ts_us", Schema: record.OptionalInt64}, {Name: "ts_ns", Schema: record.OptionalInt64}}})
	values := map[string]any{"id": 1234567, "customer_id": 4711, "name": "Sally Thomas", "email": "sally.thomas@acme.com", "amount": []byte{0x01, 0xE2, 0x40},
		"active": true, "score": 98.25, "created_at": int64(1735689600123456), "note": "a note of ordinary length, \"quoted\" once", "qty": nil}
	e := envelope{schema: s, batch: &record.Batch{}}
	var err error
	e.cell, err = record.FromGo(e.batch, s, map[string]any{"before": values, "after": values, "source": map[string]any{
		"version": "3.6.1.Final", "connector": "postgresql", "name": "server1", "ts_ms": int64(1735689600123), "snapshot": "false", "db": "inventory",
		"sequence": `["24023128","24023128"]`, "ts_us": int64(1735689600123456), "ts_ns": int64(1735689600123456000), "schema": "public", "table": "orders",
		"txId": 555, "lsn": 24023128}, "op": "u", "ts_ms": int64(1735689600200), "ts_us": int64(1735689600200123), "ts_ns": int64(1735689600200123456)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// staticRegistry answers every registration with the same id.
func staticRegistry(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"id": 7})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func encoderFor(t testing.TB, c Converter, e envelope) Encoder {
	t.Helper()
	enc, err := c.Encoder(context.Background(), &record.Topic{Name: "server1.public.orders"}, e.schema)
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

// converters are those whose rows must cost no allocation.
func converters(t testing.TB) map[string]Converter {
	t.Helper()
	out := map[string]Converter{}
	for name, props := range map[string]map[string]string{"JSON": {"schemas.enable": "false"}, "JSONSchemas": {"schemas.enable": "true"},
		"JSONNumeric": {"schemas.enable": "false", "decimal.format": "NUMERIC"}} {
		c, err := NewJSON(props, false)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = c
	}
	a, err := NewAvro(map[string]string{"schema.registry.url": staticRegistry(t)}, false)
	if err != nil {
		t.Fatal(err)
	}
	out["Avro"] = a
	for name, make := range map[string]func(map[string]string, bool) (Converter, error){"JSONSchema": NewJSONSchema, "Protobuf": NewProtobuf} {
		if out[name], err = make(map[string]string{"schema.registry.url": staticRegistry(t)}, false); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewString(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	out["String"] = s
	return out
}

// TestNoAllocations is the gate: writing a row allocates nothing.
func TestNoAllocations(t *testing.T) {
	e := newEnvelope(t)
	for name, c := range converters(t) {
		enc := encoderFor(t, c, e)
		buf := make([]byte, 0, 64<<10)
		n := testing.AllocsPerRun(100, func() {
			if _, null, err := enc.Append(buf, e.batch, e.cell); err != nil || null {
				t.Fatal(err, null)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per row", name, n)
		}
	}
}

func benchmarkEncode(b *testing.B, name string) {
	e := newEnvelope(b)
	enc := encoderFor(b, converters(b)[name], e)
	buf, _, err := enc.Append(nil, e.batch, e.cell)
	if err != nil {
		b.Fatal(err)
	}
	source := e.batch.Child(e.cell, 2) // each change has a place of its own
	places := [2]record.Cell{e.batch.StringCell(`["24023128","24023128"]`), e.batch.StringCell(`["24023128","24023184"]`)}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	lsn := 24023128
	for b.Loop() {
		lsn++
		e.batch.SetChild(source, 6, places[lsn&1])
		e.batch.SetChild(source, 12, record.Int64Cell(int64(lsn)))
		buf, _, _ = enc.Append(buf[:0], e.batch, e.cell)
	}
}

// BenchmarkJSONEncode writes an update of ten columns, before and after.
func BenchmarkJSONEncode(b *testing.B) {
	b.Run("schemas=off", func(b *testing.B) { benchmarkEncode(b, "JSON") })
	b.Run("schemas=on", func(b *testing.B) { benchmarkEncode(b, "JSONSchemas") })
	b.Run("decimal=numeric", func(b *testing.B) { benchmarkEncode(b, "JSONNumeric") })
}

// BenchmarkAvroEncode writes an update of ten columns, before and after.
func BenchmarkAvroEncode(b *testing.B) { benchmarkEncode(b, "Avro") }

// BenchmarkProtobufEncode writes an update of ten columns, before and after.
func BenchmarkProtobufEncode(b *testing.B) { benchmarkEncode(b, "Protobuf") }

// BenchmarkCloudEventsEncode writes an update of ten columns, before and after.
func BenchmarkCloudEventsEncode(b *testing.B) {
	e := newEnvelope(b)
	c, err := NewCloudEvents(map[string]string{"json.schemas.enable": "false"}, false)
	if err != nil {
		b.Fatal(err)
	}
	enc := encoderFor(b, c, e)
	var buf []byte
	before := *e.batch // the event's data is put on the tape; forget it after each row
	b.ReportAllocs()
	for b.Loop() {
		*e.batch = before
		buf, _, _ = enc.Append(buf[:0], e.batch, e.cell)
	}
}

// BenchmarkDecode reads what the encoders wrote, for sinks.
func BenchmarkDecode(b *testing.B) {
	e := newEnvelope(b)
	for _, name := range []string{"JSON", "JSONSchemas"} {
		b.Run(name, func(b *testing.B) {
			c := converters(b)[name]
			data, _, err := encoderFor(b, c, e).Append(nil, e.batch, e.cell)
			if err != nil {
				b.Fatal(err)
			}
			benchmarkDecode(b, c, data)
		})
	}
	b.Run("Avro", func(b *testing.B) {
		c, data := avroDecoder(b)
		benchmarkDecode(b, c, data)
	})
}

// avroDecoder returns an AvroConverter that knows the schema of data.
func avroDecoder(t testing.TB) (*Avro, []byte) {
	t.Helper()
	e := newEnvelope(t)
	a := converters(t)["Avro"].(*Avro)
	data, _, err := encoderFor(t, a, e).Append(nil, e.batch, e.cell)
	if err != nil {
		t.Fatal(err)
	}
	own, err := defaultAvro.fromConnect(e.schema)
	if err != nil {
		t.Fatal(err)
	}
	tc := avroToConnect{avroOptions: defaultAvro}
	s, n, err := tc.compile(own, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.readers.plans = map[int]*avroReadPlan{7: {schema: s, node: n}}
	return a, data
}

func benchmarkDecode(b *testing.B, c Converter, data []byte) {
	var batch record.Batch
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	topic := &record.Topic{Name: "t"}
	for b.Loop() {
		batch.Reset()
		if _, _, err := c.Decode(b.Context(), topic, data, &batch); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDecodeNoAllocations is the gate of the sink side: reading a row allocates
// nothing on a warm batch.
func TestDecodeNoAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	e := newEnvelope(t)
	all := converters(t)
	var batch record.Batch
	check := func(name string, c Converter, data []byte) {
		topic := &record.Topic{Name: "t"}
		ctx := t.Context()
		n := testing.AllocsPerRun(100, func() {
			batch.Reset()
			if _, _, err := c.Decode(ctx, topic, data, &batch); err != nil {
				t.Fatal(err)
			}
		})
		if n >= 1 { // a collection in between may empty the pool of scanners
			t.Errorf("%s: %v allocations per row", name, n)
		}
	}
	for _, name := range []string{"JSON", "JSONSchemas"} {
		data, _, err := encoderFor(t, all[name], e).Append(nil, e.batch, e.cell)
		if err != nil {
			t.Fatal(err)
		}
		check(name, all[name], data)
	}
	a, data := avroDecoder(t)
	check("Avro", a, data)
}
