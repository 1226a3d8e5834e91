package sqlsink_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"millrace/internal/convert"
	"millrace/internal/record"
)

const casesDir = "../../testdata/oracle/sinks/debezium-jdbc"

// sinkCase is a case file of the recordings; sinkreplay.py documents its form.
type sinkCase struct {
	Target  string           `yaml:"target"`
	Setup   string           `yaml:"setup"`
	Config  map[string]any   `yaml:"config"`
	Schemas map[string]any   `yaml:"schemas"`
	Records []map[string]any `yaml:"records"`
	Then    []map[string]any `yaml:"then"`
	Source  map[string]any   `yaml:"source"`
	raw     []byte           `yaml:"-"`
}

func loadCase(t *testing.T, name string) *sinkCase {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(casesDir, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &sinkCase{raw: raw}
	if err := yaml.Unmarshal(raw, c); err != nil {
		t.Fatal(err)
	}
	return c
}

var notation = regexp.MustCompile(`^(\w+)(?::([\w.]+))?(?:\?([^!=]*(?:=[^!&=]*)(?:&[^!&=]*=[^!&=]*)*))?(!)?(?:=(.*))?$`)

// schemaJSON reads the cases' schema notation into Connect's JSON form. Fields keep
// the order of the file, hence yaml nodes.
func schemaJSON(t *testing.T, n *yaml.Node) map[string]any {
	t.Helper()
	if n.Kind == yaml.ScalarNode {
		return scalarSchema(t, n.Value)
	}
	m := map[string]*yaml.Node{}
	for i := 0; i < len(n.Content); i += 2 {
		m[n.Content[i].Value] = n.Content[i+1]
	}
	out := map[string]any{"optional": m["optional"] != nil && m["optional"].Value == "true"}
	for _, k := range []string{"name", "version"} {
		if m[k] != nil {
			out[k] = m[k].Value
			if v, err := strconv.Atoi(m[k].Value); err == nil {
				out[k] = v
			}
		}
	}
	switch {
	case m["raw"] != nil:
		var raw map[string]any
		if err := m["raw"].Decode(&raw); err != nil {
			t.Fatal(err)
		}
		return raw
	case m["items"] != nil:
		out["type"], out["items"] = "array", schemaJSON(t, m["items"])
	case m["values"] != nil:
		out["type"], out["values"], out["keys"] = "map", schemaJSON(t, m["values"]), map[string]any{"type": "string", "optional": false}
		if m["keys"] != nil {
			out["keys"] = schemaJSON(t, m["keys"])
		}
	default:
		fields := []any{}
		for i := 0; i < len(m["fields"].Content); i += 2 {
			f := schemaJSON(t, m["fields"].Content[i+1])
			f["field"] = m["fields"].Content[i].Value
			fields = append(fields, f)
		}
		out["type"], out["fields"] = "struct", fields
	}
	return out
}

func scalarSchema(t *testing.T, s string) map[string]any {
	t.Helper()
	m := notation.FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("schema notation %q", s)
	}
	typ := m[1]
	if alias := map[string]string{"bool": "boolean", "float32": "float", "float64": "double"}[typ]; alias != "" {
		typ = alias
	}
	out := map[string]any{"type": typ, "optional": m[4] == ""}
	if m[2] != "" {
		name := m[2]
		if rest, ok := strings.CutPrefix(name, "dbz."); ok {
			name = "io.debezium." + rest
		}
		if rest, ok := strings.CutPrefix(name, "kc."); ok {
			name = "org.apache.kafka.connect.data." + rest
		}
		out["name"], out["version"] = name, 1
	}
	if m[3] != "" {
		params := map[string]any{}
		for _, kv := range strings.Split(m[3], "&") {
			k, v, _ := strings.Cut(kv, "=")
			params[k] = v
		}
		out["parameters"] = params
	}
	if i := strings.Index(s, "="); m[5] != "" && i >= 0 {
		if typ == "string" || typ == "bytes" {
			out["default"] = m[5]
		} else if err := json.Unmarshal([]byte(m[5]), new(any)); err == nil {
			out["default"] = json.RawMessage(m[5])
		}
	}
	return out
}

// feeder turns the records of a case into batches.
type feeder struct {
	t        *testing.T
	c        *sinkCase
	schemas  map[string]map[string]any
	key, val convert.Converter
	hdr      convert.HeaderConverter
	topics   map[string]*record.Topic
	offsets  map[string]int64
}

func newFeeder(t *testing.T, c *sinkCase, schemasEnable string) *feeder {
	t.Helper()
	f := &feeder{t: t, c: c, schemas: map[string]map[string]any{}, topics: map[string]*record.Topic{}, offsets: map[string]int64{}}
	var doc struct {
		Schemas map[string]yaml.Node `yaml:"schemas"`
	}
	if err := yaml.Unmarshal(c.raw, &doc); err != nil {
		t.Fatal(err)
	}
	for name, n := range doc.Schemas {
		f.schemas[name] = schemaJSON(t, &n)
	}
	var err error
	if f.key, err = convert.NewJSON(map[string]string{"schemas.enable": "true"}, true); err != nil {
		t.Fatal(err)
	}
	if f.val, err = convert.NewJSON(map[string]string{"schemas.enable": schemasEnable}, false); err != nil {
		t.Fatal(err)
	}
	if f.hdr, err = convert.NewSimpleHeader(nil); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *feeder) wrap(v any, name string, plain bool) []byte {
	f.t.Helper()
	if v == nil {
		return nil
	}
	if s := f.schemas[name]; s != nil && !plain {
		v = map[string]any{"schema": s, "payload": v}
	}
	out, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// add appends a record of the case to the batch.
func (f *feeder) add(b *record.Batch, r map[string]any) {
	f.t.Helper()
	topic := text(r["topic"])
	full := "server1." + topic
	if strings.Contains(topic, "{") {
		full = strings.ReplaceAll(topic, "{prefix}", "server1")
	}
	plain := r["plain"] == true
	name := topic
	if s := text(r["schema"]); s != "" {
		name = s
	}
	keySchema := topic + ".key"
	if s := text(r["keyschema"]); s != "" {
		keySchema = s
	}
	key := f.wrap(r["key"], keySchema, plain)
	var value []byte
	switch {
	case r["packed"] != nil:
		p := r["packed"].([]any)
		key, value = f.wrap(p[0], "", true), f.wrap(p[1], "", true)
	case r["bytes"] != nil:
		value = []byte(text(r["bytes"]))
	case r["op"] != nil:
		value = f.wrap(f.envelope(name, topic, r), "", true)
	case r["null_with_schema"] == true:
		s := map[string]any{}
		for k, v := range f.schemas[name] {
			s[k] = v
		}
		s["optional"] = true
		value = f.wrap(map[string]any{"schema": s, "payload": nil}, "", true)
	default:
		value = f.wrap(r["value"], name, plain)
	}
	f.decode(b, full, key, value, r["headers"])
}

func (f *feeder) decode(b *record.Batch, topicName string, key, value []byte, headers any) {
	f.t.Helper()
	topic := f.topics[topicName]
	if topic == nil {
		topic = &record.Topic{Name: topicName}
		f.topics[topicName] = topic
	}
	r := b.Append()
	r.Topic, r.Partition, r.Offset = topic, 0, f.offsets[topicName]
	r.Origin = record.Origin{Topic: topic, Partition: 0, Offset: r.Offset}
	f.offsets[topicName]++
	var err error
	if r.KeySchema, r.Key, err = f.key.Decode(f.t.Context(), topic, key, b); err != nil {
		f.t.Fatal(err)
	}
	if r.ValueSchema, r.Value, err = f.val.Decode(f.t.Context(), topic, value, b); err != nil {
		f.t.Fatal(err)
	}
	hs, _ := headers.(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(hs)) { // of the only case with several, that is the order of its file
		h, err := f.hdr.DecodeHeader(topic, k, []byte(text(hs[k])), b)
		if err != nil {
			f.t.Fatal(err)
		}
		b.AddHeader(r, h)
	}
}

func (f *feeder) envelope(name, topic string, r map[string]any) map[string]any {
	row := map[string]any{}
	for k, v := range f.schemas[name] {
		row[k] = v
	}
	full := "server1.public.t.Value"
	if n := text(row["name"]); n != "" {
		full = n
	}
	side := func(field string) map[string]any {
		s := map[string]any{}
		for k, v := range row {
			s[k] = v
		}
		s["optional"], s["field"] = true, field
		return s
	}
	str := func(field string, optional bool) map[string]any {
		return map[string]any{"type": "string", "optional": optional, "field": field}
	}
	source := map[string]any{"type": "struct", "name": "io.debezium.connector.postgresql.Source", "optional": false, "field": "source", "fields": []any{
		str("version", false), str("connector", false), str("name", false), map[string]any{"type": "int64", "optional": false, "field": "ts_ms"},
		str("snapshot", true), str("db", false), str("schema", false), str("table", false)}}
	schema := map[string]any{"type": "struct", "name": strings.ReplaceAll(full, ".Value", "") + ".Envelope", "version": 1, "optional": false, "fields": []any{
		side("before"), side("after"), source, str("op", false), map[string]any{"type": "int64", "optional": true, "field": "ts_ms"}}}
	parts := strings.Split(topic, ".")
	block := map[string]any{"version": "3.6.1.Final", "connector": "postgresql", "name": "server1", "ts_ms": 1767225600000, "snapshot": "false", "db": "inventory", "schema": "public", "table": parts[len(parts)-1]}
	if more, ok := r["source"].(map[string]any); ok {
		maps.Copy(block, more)
	}
	return map[string]any{"schema": schema, "payload": map[string]any{"before": r["before"], "after": r["after"], "op": r["op"], "ts_ms": 1767225600000, "source": block}}
}

var dollar = regexp.MustCompile(`"\$(i|[^"]*)"`)

// batch makes one batch of a list of records.
func (f *feeder) batch(records []map[string]any) *record.Batch {
	f.t.Helper()
	b := &record.Batch{}
	for _, r := range records {
		n, ok := r["repeat"].(int)
		if !ok {
			f.add(b, r)
			continue
		}
		raw, err := json.Marshal(r)
		if err != nil {
			f.t.Fatal(err)
		}
		for i := 0; i < n; i++ {
			out := dollar.ReplaceAllFunc(raw, func(m []byte) []byte {
				v := i
				if mod := regexp.MustCompile(`\$i % (\d+)`).FindSubmatch(m); mod != nil {
					d, _ := strconv.Atoi(string(mod[1]))
					v %= d
				}
				return []byte(strconv.Itoa(v))
			})
			var one map[string]any
			if err := json.Unmarshal(out, &one); err != nil {
				f.t.Fatal(err)
			}
			f.add(b, one)
		}
	}
	return b
}

// captured reads the real envelopes of a case.
func captured(t *testing.T, name string, c *sinkCase) []map[string]any {
	t.Helper()
	file := name
	if in := text(c.Source["input"]); in != "" {
		file = in
	}
	raw, err := os.ReadFile(filepath.Join(casesDir, file+".input.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
		Records []struct {
			Topic      string
			Key, Value *struct {
				Schema  string
				Payload json.RawMessage
			}
		} `json:"records"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for _, r := range d.Records {
		pack := func(x *struct {
			Schema  string
			Payload json.RawMessage
		}) any {
			if x == nil {
				return nil
			}
			return map[string]any{"schema": d.Schemas[x.Schema], "payload": x.Payload}
		}
		out = append(out, map[string]any{"topic": "{prefix}" + strings.TrimPrefix(r.Topic, "server1"), "packed": []any{pack(r.Key), pack(r.Value)}})
	}
	return out
}
