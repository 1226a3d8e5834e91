package pgoutput

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// oracleDir is where the recordings of the real Debezium lie: in the tree, or at
// MILLRACE_ORACLE.
func oracleDir(t *testing.T) string {
	dir := filepath.Join("..", "..", "testdata", "oracle", "postgres")
	if v := os.Getenv("MILLRACE_ORACLE"); v != "" {
		dir = v
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("no recordings: %v; set MILLRACE_ORACLE to the folder that holds them", err)
	}
	return dir
}

// expected is a recording: schemas by name, records that refer to them.
type expected struct {
	Schemas map[string]json.RawMessage
	Records []struct {
		Topic      string
		Key, Value *struct {
			Schema  json.RawMessage
			Payload json.RawMessage
		}
	}
}

// better is a place where Debezium loses a value and we do not: what it prints and
// what we print. DIFFERENCES.md explains each.
type better struct{ theirs, ours string }

var onPurpose = map[string][]better{
	"array-date-bad": {
		{`{"id":2,"d":null`, `{"id":2,"d":[-720930]`}, {`{"id":102,"d":null`, `{"id":102,"d":[-720930]`},
		{`{"id":3,"d":null,"z":null`, `{"id":3,"d":null,"z":["-0004-02-29T00:00:00.000000Z"]`},
		{`{"id":103,"d":null,"z":null`, `{"id":103,"d":null,"z":["-0004-02-29T00:00:00.000000Z"]`},
	},
	"date-bad":       {{`{"id":1,"d":null`, `{"id":1,"d":-720930`}, {`{"id":2,"d":null,"d2":10957`, `{"id":2,"d":null,"d2":-720930`}},
	"arrays-unknown": {{`"k":[],"l":[]`, `"k":[1,2,3],"l":[1,2]`}},
	"vectors":        {{`"k":[],"l":[]`, `"k":[1,2,3],"l":[1,2]`}},
	"numeric-double": {{`"n":"~2.0","o":null,"p":null`, `"n":"~2.0","o":null,"p":["NaN"]`}},
	"numeric-string": {{`"n":"2.00","o":null,"p":null`, `"n":"2.00","o":null,"p":["NAN"]`}},
}

// apply rewrites the recording.
func (p better) apply(t *testing.T, es []event) {
	found := false
	for i := range es {
		for _, f := range []*string{&es[i].key, &es[i].before, &es[i].after} {
			if strings.Contains(*f, p.theirs) {
				*f, found = strings.ReplaceAll(*f, p.theirs, p.ours), true
			}
		}
	}
	if !found {
		t.Errorf("the recording holds no %s", p.theirs)
	}
}

// event is a row change as the recording and we see it.
type event struct {
	topic, op          string
	key, before, after string
	keySchema, schema  string
}

// TestAgainstRecordings decodes what a real server sent and compares every row
// change and every schema with what Debezium made of it.
func TestAgainstRecordings(t *testing.T) {
	compareFolder(t, filepath.Join("testdata", "wire"), oracleDir(t))
}

// TestAgainstMoreRecordings does the same for recordings that lie beside this
// package: types, modes and defaults that the other cases leave open.
func TestAgainstMoreRecordings(t *testing.T) {
	compareFolder(t, filepath.Join("testdata", "more", "wire"), filepath.Join("testdata", "more"))
}

func compareFolder(t *testing.T, wire, dir string) {
	files, err := filepath.Glob(filepath.Join(wire, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured cases: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var w wireCase
			if err := json.Unmarshal(raw, &w); err != nil {
				t.Fatal(err)
			}
			want := readExpected(t, filepath.Join(dir, name+".expected.json"))
			for _, p := range onPurpose[name] {
				p.apply(t, want)
			}
			compareEvents(t, w.play(t), want)
		})
	}
}

func readExpected(t *testing.T, file string) []event {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e expected
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	var out []event
	for _, r := range e.Records {
		if r.Value == nil {
			continue
		}
		var p struct {
			Op            string
			Before, After json.RawMessage
		}
		var s struct {
			Name   string
			Fields []json.RawMessage
		}
		if err := json.Unmarshal(r.Value.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(e.schema(r.Value.Schema), &s); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(s.Name, ".Envelope") {
			continue
		}
		ev := event{topic: r.Topic, op: p.Op, before: canon(t, p.Before), after: canon(t, p.After), schema: canon(t, s.Fields[1])}
		if r.Key != nil {
			ev.key, ev.keySchema = canon(t, r.Key.Payload), canon(t, e.schema(r.Key.Schema))
		}
		out = append(out, ev)
	}
	return out
}

func (e *expected) schema(ref json.RawMessage) json.RawMessage {
	var name string
	if json.Unmarshal(ref, &name) == nil {
		return e.Schemas[name]
	}
	return ref
}

// canon compacts JSON and unescapes its strings, keeping the order of fields.
func canon(t *testing.T, raw json.RawMessage) string {
	if len(raw) == 0 {
		return "null"
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var walk func() any
	walk = func() any {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('{'):
			o := ordered{}
			for d.More() {
				k, _ := d.Token()
				o = append(o, member{k.(string), walk()})
			}
			_, _ = d.Token()
			return o
		case json.Delim('['):
			a := []any{}
			for d.More() {
				a = append(a, walk())
			}
			_, _ = d.Token()
			return a
		}
		return tok
	}
	out, err := json.Marshal(walk())
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// play makes the events of a case: a snapshot of every table, then the stream.
func (w *wireCase) play(t *testing.T) []event {
	var out []event
	var in record.Interner
	compile := func(tab *wireTable, path pgvalue.Path) *Table {
		c, err := Compile(w.spec(t, tab, path), w, w.modes(), &in)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var b record.Batch
	for i := range w.Snapshot {
		tab := compile(&w.Snapshot[i], pgvalue.Snapshot)
		for _, texts := range w.Snapshot[i].Rows {
			// Excluded columns are not selected, unless all are.
			fields := make([][]byte, len(texts))
			for j, s := range texts {
				if s != nil && (tab.Spec.InValue[j] || len(tab.ValueSchema.Fields) == 0) {
					fields[j] = []byte(*s)
				}
			}
			row, err := tab.DecodeTexts(&b, fields)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, tab.event(t, &b, "r", nil, &row))
		}
	}
	tables := map[uint32]*Table{}
	for _, m := range w.Stream {
		switch m.Data[0] {
		case TypeRelation:
			rel, err := ParseRelation(m.Data, false)
			if err != nil {
				t.Fatal(err)
			}
			tables[rel.OID] = compile(w.join(&rel, m.Meta), pgvalue.Stream)
		case TypeInsert, TypeUpdate, TypeDelete:
			c, err := ParseChange(m.Data, false)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, tables[c.Relation].change(t, &b, c)...)
		}
	}
	return out
}

// join puts the catalog's view on the columns of a relation.
func (w *wireCase) join(rel *Relation, meta *wireTable) *wireTable {
	tab := &wireTable{Schema: rel.Schema, Name: rel.Name, Key: meta.Key}
	for _, c := range rel.Columns {
		col := wireColumn{Name: c.Name, TypeOID: c.TypeOID, Typmod: c.Typmod}
		for _, m := range meta.Columns {
			if m.Name == c.Name {
				col.NotNull, col.Default = m.NotNull, m.Default
			}
		}
		tab.Columns = append(tab.Columns, col)
	}
	return tab
}

func (tab *Table) change(t *testing.T, b *record.Batch, c Change) []event {
	var old, row *Row
	if c.Old.Kind != 0 {
		r, err := tab.DecodeOld(b, c.Old)
		if err != nil {
			t.Fatal(err)
		}
		old = &r
	}
	if c.New != nil {
		r, rest, err := tab.DecodeTuple(b, c.New, c.Old)
		if err != nil || len(rest) > 0 {
			t.Fatal(err, rest)
		}
		row = &r
	}
	switch {
	case c.Type == TypeInsert:
		return []event{tab.event(t, b, "c", nil, row)}
	case c.Type == TypeDelete:
		return []event{tab.event(t, b, "d", old, nil)}
	case old != nil && tab.KeySchema != nil && !Equal(b, old.Key, row.Key):
		return []event{tab.event(t, b, "d", old, nil), tab.event(t, b, "c", nil, row)}
	}
	return []event{tab.event(t, b, "u", old, row)}
}

func (tab *Table) event(t *testing.T, b *record.Batch, op string, old, row *Row) event {
	text := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return canon(t, raw)
	}
	e := event{topic: "server1." + tab.Spec.Schema + "." + tab.Spec.Name, op: op, before: "null", after: "null"}
	from := row
	if old != nil {
		e.before = text(show(b, tab.ValueSchema, old.Value))
		if row == nil {
			from = old
		}
	}
	if row != nil {
		e.after = text(show(b, tab.ValueSchema, row.Value))
	}
	if tab.KeySchema != nil {
		e.key, e.keySchema = text(show(b, tab.KeySchema, from.Key)), text(showSchema(tab.KeySchema, ""))
	}
	e.schema = text(showSchema(tab.ValueSchema, "after"))
	return e
}

// compareEvents compares topic by topic, in order.
func compareEvents(t *testing.T, got, want []event) {
	byTopic := func(es []event) map[string][]event {
		m := map[string][]event{}
		for _, e := range es {
			m[e.topic] = append(m[e.topic], e)
		}
		return m
	}
	g, w := byTopic(got), byTopic(want)
	for topic, ws := range w {
		gs := g[topic]
		if len(gs) != len(ws) {
			t.Errorf("%s: %d events, want %d", topic, len(gs), len(ws))
		}
		for i := range min(len(gs), len(ws)) {
			diff(t, topic, i, "op", gs[i].op, ws[i].op)
			diff(t, topic, i, "key", gs[i].key, ws[i].key)
			diff(t, topic, i, "key schema", gs[i].keySchema, ws[i].keySchema)
			diff(t, topic, i, "schema", gs[i].schema, ws[i].schema)
			diff(t, topic, i, "before", gs[i].before, ws[i].before)
			diff(t, topic, i, "after", gs[i].after, ws[i].after)
		}
	}
}

func diff(t *testing.T, topic string, i int, what, got, want string) {
	if got == want {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-80)
	t.Errorf("%s[%d] %s differs at %d:\n got …%.240s\nwant …%.240s", topic, i, what, at, got[from:], want[from:])
}
