package convert

import (
	"encoding/json"
	"testing"

	"millrace/internal/record"
)

// TestJSONSchemaOracle reads the recorded JSON Schemas into Connect schemas and
// back, and writes the recorded values again.
func TestJSONSchemaOracle(t *testing.T) {
	opts := jsonSchemaOptions{jc: jsonCompiler{replaceNull: true, pairs: true}}
	n := 0
	for _, r := range recordings(t, "avro/jsonschema-*") {
		plans := map[string]*record.Schema{}
		for id, raw := range r.Schemas {
			want := avroText(t, raw)
			rd := jsonSchemaReader{jsonSchemaOptions: opts}
			s, err := rd.parse([]byte(want))
			if err != nil {
				t.Fatalf("%s %s: %v", r.Name, id, err)
			}
			got, err := opts.fromConnect(s)
			if err != nil || string(got) != want {
				t.Fatalf("%s %s: %v\n got %s\nwant %s", r.Name, id, err, got, want)
			}
			plans[id] = s
		}
		for _, rec := range r.Records {
			for _, raw := range []json.RawMessage{rec.Key, rec.Value} {
				var v struct {
					JSONSchema *struct {
						Schema string
						Value  json.RawMessage
					}
				}
				if json.Unmarshal(raw, &v) != nil || v.JSONSchema == nil {
					continue
				}
				s := plans[v.JSONSchema.Schema]
				want := placeholders(s, compactJSON(t, v.JSONSchema.Value))
				read, err := compileJSONRead(s, true)
				if err != nil {
					t.Fatal(err)
				}
				var b record.Batch
				c, err := read.read(&jsonScanner{data: want}, &b)
				if err != nil {
					t.Fatal(err)
				}
				node, err := opts.jc.compile(s)
				if err != nil {
					t.Fatal(err)
				}
				got, err := node.append(nil, &b, c)
				if err != nil || string(got) != string(want) {
					t.Fatalf("%s: %v\n got %s\nwant %s", r.Name, err, got, want)
				}
				n++
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d values", n)
	}
}

// TestJSONSchemaRoundTrip writes and reads through a registry.
func TestJSONSchemaRoundTrip(t *testing.T) {
	p := newTap(t)
	e := newEnvelope(t)
	conv, err := NewJSONSchema(map[string]string{"schema.registry.url": p.url}, false)
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := encoderFor(t, conv, e).Append(nil, e.batch, e.cell)
	if err != nil {
		t.Fatal(err)
	}
	var b record.Batch
	topic := &record.Topic{Name: "server1.public.orders"}
	s, c, err := conv.Decode(t.Context(), topic, data, &b)
	if err != nil {
		t.Fatal(err)
	}
	if !record.Equal(s, e.schema) {
		t.Error("the schema read back differs")
	}
	enc, err := conv.Encoder(t.Context(), topic, s)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := enc.Append(nil, &b, c)
	if err != nil || string(again) != string(data) {
		t.Errorf("%v\n got %s\nwant %s", err, again, data)
	}
	maps := &record.Schema{Type: record.Struct, Name: "m", Fields: []record.Field{
		{Name: "a", Schema: &record.Schema{Type: record.Map, Key: record.PlainString, Elem: record.OptionalInt32}},
		{Name: "b", Schema: &record.Schema{Type: record.Map, Key: record.PlainInt16, Elem: record.PlainString, Optional: true}}}}
	c, err = record.FromGo(&b, maps, map[string]any{"a": map[string]any{"k": 1, "l": nil}})
	if err != nil {
		t.Fatal(err)
	}
	pairs := b.Alloc(record.Map, 2)
	b.SetChild(pairs, 0, record.IntCell(record.Int16, 5))
	b.SetChild(pairs, 1, b.StringCell("five"))
	b.SetChild(c, 1, pairs)
	if enc, err = conv.Encoder(t.Context(), topic, maps); err != nil {
		t.Fatal(err)
	}
	data, _, err = enc.Append(nil, &b, c)
	if err != nil || string(data[5:]) != `{"a":{"k":1,"l":null},"b":[{"key":5,"value":"five"}]}` {
		t.Fatalf("%v %s", err, data)
	}
	var back record.Batch
	s, c, err = conv.Decode(t.Context(), topic, data, &back)
	if err != nil || !record.Equal(s, maps) {
		t.Fatalf("%v", err)
	}
	if got := dump(&back, c); got != `struct(map("k" int32:1 "l" null) map(int16:5 "five"))` {
		t.Error(got)
	}
}

// FuzzJSONSchema reads arbitrary schemas; one that is read can be written.
func FuzzJSONSchema(f *testing.F) {
	f.Add(`{"type":"object","title":"t","properties":{"a":{"connect.index":0,"oneOf":[{"type":"null"},{"type":"integer","default":7,"connect.type":"int32"}]}}}`)
	f.Add(`{"$ref":"#/definitions/A","definitions":{"A":{"type":["null","string"],"enum":["x"]}}}`)
	f.Add(`{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"integer"},"value":{"type":"number"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		rd := jsonSchemaReader{}
		s, err := rd.parse([]byte(text))
		if err != nil {
			return
		}
		opts := jsonSchemaOptions{jc: jsonCompiler{pairs: true}}
		out, err := opts.fromConnect(s)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
	})
}
