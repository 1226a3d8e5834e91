package convert

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// javaBytes are what the Java converters made of the envelope of newEnvelope.
func javaBytes(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../testdata/convert/envelope.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		name, text, _ := strings.Cut(line, "\t")
		out[name] = text
	}
	return out
}

// TestEnvelopeBytes compares with the bytes that Kafka Connect 4.3.1 and Debezium
// 3.6.1 wrote for the same value.
func TestEnvelopeBytes(t *testing.T) {
	want := javaBytes(t)
	e := newEnvelope(t)
	for name, c := range map[string]struct {
		make  func(map[string]string, bool) (Converter, error)
		props map[string]string
	}{
		"ce-default":   {NewCloudEvents, nil},
		"ce-off":       {NewCloudEvents, map[string]string{"json.schemas.enable": "false"}},
		"ce-noext":     {NewCloudEvents, map[string]string{"json.schemas.enable": "false", "extension.attributes.enable": "false", "json.decimal.format": "NUMERIC"}},
		"ce-nodefault": {NewCloudEvents, map[string]string{"json.schemas.enable": "false", "json.replace.null.with.default": "false"}},
		"string":       {NewString, nil},
		"json":         {NewJSON, nil},
		"json-numeric": {NewJSON, map[string]string{"schemas.enable": "false", "decimal.format": "numeric"}},
	} {
		conv, err := c.make(c.props, false)
		if err != nil {
			t.Fatal(err)
		}
		got, null, err := encoderFor(t, conv, e).Append(nil, e.batch, e.cell)
		if err != nil || null {
			t.Errorf("%s: %v", name, err)
		} else if string(got) != want[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want[name])
		}
		delete(want, name)
	}
	h, err := NewSimpleHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := h.AppendHeader(nil, nil, e.batch, record.Header{Key: "h", Schema: e.schema, Value: e.cell})
	if err != nil || string(got) != want["header"] {
		t.Errorf("header: %v\n got %s\nwant %s", err, got, want["header"])
	}
	delete(want, "header")
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
}

func TestCloudEventsFromHeaders(t *testing.T) {
	e := newEnvelope(t)
	conv, err := NewCloudEvents(map[string]string{"json.schemas.enable": "false", "metadata.source": "header,id:header,type:generate,traceparent:header,dataSchemaName:generate",
		"opentelemetry.tracing.attributes.enable": "true"}, false)
	if err != nil {
		t.Fatal(err)
	}
	flat := e.schema.Fields[1].Schema
	enc, err := conv.Encoder(t.Context(), &record.Topic{Name: "t"}, flat)
	if err != nil {
		t.Fatal(err)
	}
	r := e.batch.Append()
	r.Value = e.batch.Child(e.cell, 1)
	if _, null, err := enc.(RecordEncoder).AppendRecord(nil, e.batch, r); !null || err != nil {
		t.Errorf("without headers: %t, %v", null, err)
	}
	text := func(k, v string) {
		e.batch.AddHeader(r, record.Header{Key: k, Schema: record.PlainString, Value: e.batch.StringCell(v)})
	}
	text("op", "u")
	e.batch.AddHeader(r, record.Header{Key: "source", Schema: e.schema.Fields[2].Schema, Value: e.batch.Child(e.cell, 2)})
	if _, _, err := enc.(RecordEncoder).AppendRecord(nil, e.batch, r); err == nil || err.Error() != "Header `id` was not provided" {
		t.Errorf("without id: %v", err)
	}
	text("id", "my id")
	text("traceparent", "00-1-2-3")
	got, _, err := enc.(RecordEncoder).AppendRecord(nil, e.batch, r)
	want := `{"id":"my id","source":"/debezium/postgresql/server1","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2025-01-01T00:00:00.123Z","datacontenttype":"application/json","traceparent":"00-1-2-3","iodebeziumop":"u"`
	if err != nil || !strings.HasPrefix(string(got), want) || !strings.HasSuffix(string(got), `"iodebeziumtxid":null,"iodebeziumtxtotalorder":null,"iodebeziumtxdatacollectionorder":null,"data":{"id":1234567,"customer_id":4711,"name":"Sally Thomas","email":"sally.thomas@acme.com","amount":"AeJA","active":true,"score":98.25,"created_at":1735689600123456,"note":"a note of ordinary length, \"quoted\" once","qty":1}}`) {
		t.Errorf("%v\n%s", err, got)
	}
	var b record.Batch
	_, c, err := conv.Decode(t.Context(), &record.Topic{Name: "t"}, got, &b)
	if err != nil || record.ToGo(&b, nil, c).(map[string]any)["id"] != "my id" {
		t.Errorf("read back: %v", err)
	}
}

func TestCloudEventsAvro(t *testing.T) {
	p := newTap(t)
	e := newEnvelope(t)
	for _, c := range []map[string]string{
		{"serializer.type": "avro", "data.serializer.type": "avro", "avro.schema.registry.url": p.url},
		{"serializer.type": "json", "data.serializer.type": "avro", "avro.schema.registry.url": p.url},
	} {
		conv, err := NewCloudEvents(c, false)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := encoderFor(t, conv, e).Append(nil, e.batch, e.cell)
		if err != nil {
			t.Fatal(errs.Trace(err))
		}
		var b record.Batch
		s, cell, err := conv.Decode(t.Context(), &record.Topic{Name: "t"}, got, &b)
		if err != nil {
			t.Fatal(errs.Trace(err))
		}
		m := record.ToGo(&b, s, cell).(map[string]any)
		if m["source"] != "/debezium/postgresql/server1" || m["iodebeziumlsn"] != "24023128" || !strings.HasPrefix(fmt.Sprint(m["dataschema"]), p.url+"/schemas/ids/") || m["data"] == nil {
			t.Errorf("%v", m)
		}
	}
	if v, ok := p.GetSchema("server1.public.orders-data-value", 1); !ok || !strings.Contains(v.Schema.Schema, `"namespace":"io.debezium.connector.postgresql"`) {
		t.Errorf("data schema: %v %v", ok, v)
	}
	if v, ok := p.GetSchema("server1.public.orders-value", 1); !ok || !strings.HasPrefix(v.Schema.Schema, `{"type":"record","name":"Envelope","namespace":"server1.inventory.CloudEvents","fields":[{"name":"id","type":"string"}`) {
		t.Errorf("event schema: %v %v", ok, v)
	}
	for _, bad := range []map[string]string{{"serializer.type": "avro"}, {"serializer.type": "xml"}, {"metadata.source": "id:generate"}, {"data.serializer.type": "avro"}, {"avro.apicurio.registry.url": "http://x"}} {
		if _, err := NewCloudEvents(bad, false); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestDelegating(t *testing.T) {
	json := map[string]string{"delegate.converter.type": "org.apache.kafka.connect.json.JsonConverter", "delegate.converter.type.schemas.enable": "false"}
	for _, c := range []struct {
		make  func(map[string]string, bool) (Converter, error)
		props map[string]string
		s     *record.Schema
		v     any
		want  string
	}{
		{NewBinaryData, nil, record.PlainBytes, []byte{0, 0xff}, "00ff"},
		{NewBinaryData, nil, nil, []byte{1}, "01"},
		{NewBinaryData, nil, nil, nil, "null"},
		{NewBinaryData, nil, record.PlainString, "x", "error: A schema of type 'string' requires a delegate.converter.type to be configured"},
		{NewBinaryData, json, record.PlainString, "x", "227822"},
		{NewBinaryData, json, nil, "x", "227822"},
		{NewBinaryData, json, record.OptionalBytes, []byte{1}, "01"},
		{NewDebeziumBytes, json, record.OptionalBytes, []byte{1}, "2241513d3d22"},
		{NewDebeziumBytes, json, record.OptionalBytes, nil, "null"},
		{NewDebeziumBytes, nil, record.OptionalBytes, []byte{1}, "01"},
	} {
		conv, err := c.make(c.props, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := write(t, conv, c.s, c.v)
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%v under %v: %s, want %s", c.v, c.s, got, c.want)
		}
	}
	if _, err := NewBinaryData(map[string]string{"delegate.converter.type": "com.acme.X"}, false); err == nil {
		t.Error("an unknown delegate was accepted")
	}
}
