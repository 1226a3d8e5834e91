package convert

import (
	"net/http"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
	confluent "millrace/internal/testkit/registry"
)

// TestIncompatible: a refused schema names the field, what happened to it, the rule
// and what to do, in the envelope as well as without it.
func TestIncompatible(t *testing.T) {
	server, url := confluent.Start(t)
	put := func(level string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/config", strings.NewReader(`{"compatibility":"`+level+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
	}
	of := func(fields ...record.Field) *record.Schema {
		return &record.Schema{Type: record.Struct, Name: "s.t.Value", Optional: true, Fields: fields}
	}
	f := func(name string, s *record.Schema) record.Field { return record.Field{Name: name, Schema: s} }
	id := f("id", record.PlainInt32)
	withDefault := &record.Schema{Type: record.Int32, Default: record.MustDatum(record.PlainInt32, 7)}
	for i, c := range []struct {
		level    string
		old, new *record.Schema
		want     string // within the hint; "" is accepted
	}{
		{"BACKWARD", of(id, f("b", record.OptionalInt32)), of(id, f("b", record.PlainInt32)), "against version 1, field Value.b was nullable int and is int"},
		{"BACKWARD", of(id), of(id, f("b", record.PlainInt32)), "field Value.b is new and has no default"},
		{"BACKWARD", of(id), of(id, f("b", withDefault)), ""},
		{"BACKWARD", of(id, f("b", record.PlainInt32)), of(id, f("b", record.PlainString)), "field Value.b was int and is string"},
		{"BACKWARD", of(id, f("b", record.PlainInt32)), of(id, f("b", record.PlainInt64)), ""},
		{"BACKWARD", of(id, f("b", record.PlainInt64)), of(id, f("b", record.PlainInt32), f("c", record.PlainBytes)), "field Value.b was long and is int; field Value.c is new and has no default"},
		{"FORWARD", of(id, f("b", record.PlainInt32)), of(id), "field Value.b was removed and had no default"},
		{"FORWARD", of(id, f("b", record.PlainInt32)), of(id, f("b", record.PlainInt64)), "field Value.b was int and is long"},
		{"FORWARD_TRANSITIVE", of(id, f("b", record.OptionalInt32)), of(id), ""},
		{"FULL", of(id), of(id, f("b", record.PlainInt32)), "field Value.b is new and has no default"},
		{"FULL_TRANSITIVE", of(id, f("b", record.PlainInt32)), of(id), "field Value.b was removed and had no default"},
		{"NONE", of(id, f("b", record.PlainInt32)), of(f("id", record.PlainString)), ""},
	} {
		put(c.level)
		for _, wrapped := range []bool{false, true} {
			topic := &record.Topic{Name: "t" + string(rune('a'+i)) + map[bool]string{true: "-envelope"}[wrapped]}
			conv, err := NewAvro(map[string]string{"schema.registry.url": url}, false)
			if err != nil {
				t.Fatal(err)
			}
			write := func(s *record.Schema) error {
				s = s.Copy()
				s.Optional = wrapped
				var b record.Batch
				v := map[string]any{}
				for _, f := range s.Fields {
					v[f.Name] = map[record.Type]any{record.Int32: 1, record.Int64: 1, record.String: "x", record.Bytes: []byte{1}}[f.Schema.Type]
				}
				if wrapped {
					s = &record.Schema{Type: record.Struct, Name: "s.t.Envelope", Version: 2, Fields: []record.Field{f("before", s), f("after", s), f("op", record.PlainString)}}
					v = map[string]any{"after": v, "op": "c"}
				}
				enc, err := conv.Encoder(t.Context(), topic, s)
				if err != nil {
					return err
				}
				cell, err := record.FromGo(&b, s, v)
				if err == nil {
					_, _, err = enc.Append(nil, &b, cell)
				}
				return err
			}
			if err := write(c.old); err != nil {
				t.Fatalf("%d: %s", i, errs.Trace(err))
			}
			err = write(c.new)
			if (err == nil) != (c.want == "") {
				t.Errorf("%d %s: %v, want %q", i, c.level, err, c.want)
				continue
			}
			if err == nil {
				continue
			}
			trace := errs.Trace(err)
			for _, want := range []string{"has compatibility " + c.level + ":", c.want, "Schema being registered is incompatible", "error code: 40901", `PUT /config/` + topic.Name + `-value {"compatibility":"NONE"}`} {
				if !strings.Contains(trace, want) {
					t.Errorf("%d %s: %q is not in\n%s", i, c.level, want, trace)
				}
			}
			asked := server.Requests(http.MethodGet, "/config/"+topic.Name+"-value")
			if _ = write(c.new); server.Requests(http.MethodGet, "/config/"+topic.Name+"-value") != asked {
				t.Errorf("%d: asked for the level again", i)
			}
		}
	}
}
