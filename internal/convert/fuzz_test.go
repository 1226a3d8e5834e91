package convert

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"millrace/internal/record"
)

func dump(b *record.Batch, c record.Cell) string {
	var sb strings.Builder
	record.Dump(&sb, b, c)
	return sb.String()
}

// FuzzJSONDecode: whatever is read can be written, and then reads as the same
// value; what is no JSON is an error, never a panic.
func FuzzJSONDecode(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `[1,null,true,"x\u00e9\ud83d\ude00\ud800"]`, `-0.5e3`, `007`, `"`, `{"a":{"b":[[]]}}`, `12345678901234567890`, ` null `, "\xEF\xBB\xBF{}",
		`{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"default":"AJY=","field":"d"}],"optional":false,"name":"k"},"payload":{"id":1,"d":1.5}}`,
		`{"payload":[[1,"x"]],"schema":{"type":"map","keys":{"type":"int32","optional":false},"values":{"type":"string","optional":false},"optional":true}}`,
		`{"schema":{"type":"array","items":{"type":"double","optional":true},"optional":false},"payload":["NaN",1e400,null]}`} {
		f.Add([]byte(s))
	}
	topic := &record.Topic{Name: "t"}
	on, err := NewJSON(map[string]string{"replace.null.with.default": "false"}, false)
	if err != nil {
		f.Fatal(err)
	}
	off, err := NewJSON(map[string]string{"schemas.enable": "false"}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, conv := range []Converter{on, off} {
			var b, again record.Batch
			s, c, err := conv.Decode(t.Context(), topic, data, &b)
			if err != nil {
				if conv == off && json.Valid(data) && utf8.Valid(data) && !strings.Contains(err.Error(), "too large") && !strings.Contains(err.Error(), "deeper") {
					t.Fatalf("valid JSON refused: %v", err)
				}
				continue
			}
			e, err := conv.Encoder(t.Context(), topic, s)
			if err != nil {
				t.Fatalf("read, but not written: %v", err)
			}
			out, null, err := e.Append(nil, &b, c)
			if err != nil {
				t.Fatalf("read, but not written: %v", err)
			}
			if null {
				continue
			}
			if !json.Valid(out) {
				t.Fatalf("wrote no JSON: %s", out)
			}
			s2, c2, err := conv.Decode(t.Context(), topic, out, &again)
			if err != nil || !record.Equal(s, s2) || dump(&b, c) != dump(&again, c2) {
				t.Fatalf("%v\n%s\n%s\n%s", err, out, dump(&b, c), dump(&again, c2))
			}
		}
	})
}

// FuzzAvroSchema: a schema that is read prints as a schema that reads the same.
func FuzzAvroSchema(f *testing.F) {
	for _, s := range []string{`"int"`, `["null",{"type":"record","name":"a.B","fields":[{"name":"x","type":["null","B"],"default":null}]}]`,
		`{"type":"enum","name":"E","symbols":["A"]}`, `{"type":"fixed","name":"F","size":3}`, `{"type":"array","items":{"type":"map","values":"bytes"}}`,
		`{"type":"record","name":"R","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","scale":2,"connect.default":"\u0000"},"default":"\u0000"}]}`} {
		f.Add(s, []byte{2, 4, 6})
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		var p avroParser
		a, err := p.parse([]byte(text))
		if err != nil {
			return
		}
		once := a.text()
		var q avroParser
		b, err := q.parse([]byte(once))
		if err != nil {
			return // names may be used before their definition once it moved
		}
		if twice := b.text(); twice != once {
			t.Fatalf("%s\n%s", once, twice)
		}
		readAvro(t, a, data)
	})
}

// readAvro reads data under a schema; what can be read is written and read again.
func readAvro(t *testing.T, a *avroSchema, data []byte) {
	tc := avroToConnect{avroOptions: defaultAvro}
	_, n, err := tc.compile(a, false, nil)
	if err != nil {
		return
	}
	var b record.Batch
	r := avroReader{data: data}
	_, _ = n.read(&r, &b)
}

// FuzzAvroDecode reads arbitrary bytes under a schema that holds every type.
func FuzzAvroDecode(f *testing.F) {
	const schema = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","long"]},{"name":"c","type":{"type":"array","items":"string"}},
		{"name":"d","type":{"type":"map","values":["null","double"]}},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"f","type":{"type":"fixed","name":"F","size":2}},
		{"name":"g","type":["int","string",{"type":"record","name":"S","fields":[]}]},{"name":"h","type":{"type":"array","items":"S"}},{"name":"i","type":"bytes"},{"name":"j","type":"float"},{"name":"k","type":"boolean"},
		{"name":"l","type":{"type":"int","connect.type":"int8"}}]}`
	var p avroParser
	a, err := p.parse([]byte(schema))
	if err != nil {
		f.Fatal(err)
	}
	tc := avroToConnect{avroOptions: defaultAvro}
	s, n, err := tc.compile(a, false, nil)
	if err != nil {
		f.Fatal(err)
	}
	var b record.Batch
	c, err := record.FromGo(&b, s, map[string]any{"a": 1, "b": 2, "c": []any{"x", "y"}, "d": map[string]any{"k": 1.5}, "e": "Y", "f": []byte{1, 2}, "g": map[string]any{"string": "u"},
		"h": []any{}, "i": []byte{9}, "j": 2.5, "k": true, "l": int8(3)})
	if err != nil {
		f.Fatal(err)
	}
	_ = c
	f.Add([]byte{2, 2, 4, 4, 2, 'x', 2, 'y', 0, 2, 2, 'k', 0, 0, 2, 1, 2, 2, 2, 'u', 4, 0, 2, 9, 0, 0, 32, 64, 1, 6})
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b record.Batch
		r := avroReader{data: data}
		c, err := n.read(&r, &b)
		if err == nil {
			_ = dump(&b, c)
		}
	})
}

// FuzzWire reads arbitrary record values with the registry's wire format.
func FuzzWire(f *testing.F) {
	conv, err := NewAvro(map[string]string{"schema.registry.url": "http://127.0.0.1:1", "max.retries": "0"}, false)
	if err != nil {
		f.Fatal(err)
	}
	a := conv.(*Avro)
	a.readers.plans = map[int]*avroReadPlan{7: {schema: record.PlainString, node: &avroReadNode{kind: avroString, target: record.String}}, 8: {schema: record.PlainBytes, raw: true}}
	f.Add([]byte{0, 0, 0, 0, 7, 4, 'h', 'i'})
	f.Add([]byte{0, 0, 0, 0, 8, 4})
	f.Add([]byte{1, 2})
	topic := &record.Topic{Name: "t"}
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, _, err := splitWire(data); err == nil && id != 7 && id != 8 {
			return // would ask the registry
		}
		var b record.Batch
		s, c, err := conv.Decode(t.Context(), topic, data, &b)
		if err == nil && s != nil && c.Kind() != s.Type && len(data) > 0 {
			t.Fatalf("%s under %s", c.Kind(), s.Type)
		}
	})
}

// FuzzHeader reads arbitrary header values; a value that is not a plain text can
// be written, and reads as the same value again.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"null", "1", "-1.5e3", `[1,2.5,"x"]`, `{"a":{"b":[]},"c":null}`, "2020-01-01", "12:34:56.789Z", "2020-01-01T12:34:56.789Z", `["2020-01-01"]`, "\xff", "123456789012345678901234567890", "1e400", "0e700"} {
		f.Add([]byte(s))
	}
	h, err := NewSimpleHeader(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b, again record.Batch
		got, err := h.DecodeHeader(nil, "h", data, &b)
		if err != nil {
			t.Fatal(err)
		}
		out, null, err := h.AppendHeader([]byte{}, nil, &b, got)
		if err != nil || null {
			if null {
				return
			}
			t.Fatalf("%q: %v", data, err)
		}
		if got.Schema != nil && (got.Schema.Type == record.Bytes || got.Schema.Name != "" || strings.ContainsAny(string(data), `"-:.`)) {
			return // bytes are written as base64; dates, quotes and fractions may change their form
		}
		back, err := h.DecodeHeader(nil, "h", out, &again)
		if err != nil || dump(&b, got.Value) != dump(&again, back.Value) {
			t.Fatalf("%q became %q: %s, %s (%v)", data, out, dump(&b, got.Value), dump(&again, back.Value), err)
		}
	})
}
