package transform

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// find returns a plugin by the end of its class name.
func find(t testing.TB, class string) Plugin {
	t.Helper()
	for _, p := range Plugins() {
		if p.Class == class || strings.HasSuffix(p.Class, "."+class) {
			return p
		}
	}
	t.Fatalf("no plugin %s", class)
	return Plugin{}
}

func newStep(t testing.TB, class string, kv ...string) Step {
	t.Helper()
	s, err := find(t, class).NewStep(pairs(kv))
	if err != nil {
		t.Fatalf("%s: %v", class, err)
	}
	return s
}

func pairs(kv []string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func structOf(name string, optional bool, fields ...record.Field) *record.Schema {
	return &record.Schema{Type: record.Struct, Name: name, Optional: optional, Fields: fields}
}

func f(name string, s *record.Schema) record.Field { return record.Field{Name: name, Schema: s} }

var (
	withDefault = &record.Schema{Type: record.Int32, Optional: true, Default: record.MustDatum(record.PlainInt32, 7)}
	decimal2    = &record.Schema{Type: record.Bytes, Optional: true, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: "2"}}}
	stamp       = &record.Schema{Type: record.Int64, Optional: true, Name: nameTimestamp, Version: 1}
	rowSchema   = structOf("s.items.Value", true, f("id", record.PlainInt32), f("name", record.OptionalString), f("qty", withDefault), f("price", decimal2), f("at", stamp))
	keySchema   = structOf("s.items.Key", false, f("id", record.PlainInt32))
	source      = structOf("Source", false, f("table", record.PlainString), f("lsn", record.OptionalInt64), f("ts_ms", record.PlainInt64))
	envelope    = &record.Schema{Type: record.Struct, Name: "s.items.Envelope", Version: 2, Fields: []record.Field{
		f("before", rowSchema), f("after", rowSchema), f("source", source), f("transaction", structOf("event.block", true, f("id", record.PlainString))),
		f("op", record.PlainString), f("ts_ms", record.OptionalInt64)}}
	itemsTopic = &record.Topic{Name: "s.items"}
)

func row(id int, name any, qty any) map[string]any {
	return map[string]any{"id": id, "name": name, "qty": qty, "price": []byte{0, 150}, "at": int64(1614834367089)}
}

// event appends a change record.
func event(t testing.TB, b *record.Batch, op string, before, after map[string]any) *record.Record {
	t.Helper()
	v := map[string]any{"source": map[string]any{"table": "items", "lsn": int64(5), "ts_ms": int64(9)}, "op": op, "ts_ms": int64(10)}
	if before != nil {
		v["before"] = before
	}
	if after != nil {
		v["after"] = after
	}
	c, err := record.FromGo(b, envelope, v)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := record.FromGo(b, keySchema, map[string]any{"id": 1})
	r := b.Append()
	r.Topic, r.ValueSchema, r.Value, r.KeySchema, r.Key = itemsTopic, envelope, c, keySchema, k
	return r
}

// flat appends a record whose value is a row.
func flat(t testing.TB, b *record.Batch, v map[string]any) *record.Record {
	t.Helper()
	c, err := record.FromGo(b, rowSchema, v)
	if err != nil {
		t.Fatal(err)
	}
	r := b.Append()
	r.Topic, r.ValueSchema, r.Value = itemsTopic, rowSchema, c
	return r
}

// show prints a record compactly, fields in schema order.
func show(b *record.Batch, r *record.Record) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s key=%s value=%s", r.Topic.Name, showCell(b, r.KeySchema, r.Key), showCell(b, r.ValueSchema, r.Value))
	for _, h := range b.Headers(r) {
		fmt.Fprintf(&sb, " %s=%s", h.Key, showCell(b, h.Schema, h.Value))
	}
	return sb.String()
}

func showCell(b *record.Batch, s *record.Schema, c record.Cell) string {
	var sb strings.Builder
	if c.Kind() == record.Struct && s != nil {
		sb.WriteByte('{')
		for i, f := range s.Fields {
			if i > 0 {
				sb.WriteByte(' ')
			}
			sb.WriteString(f.Name + ":" + showCell(b, f.Schema, b.Child(c, i)))
		}
		sb.WriteByte('}')
		return sb.String()
	}
	record.Dump(&sb, b, c)
	return strings.NewReplacer("int32:", "", "int64:", "").Replace(sb.String())
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		class string
		kv    []string
		want  string // of a flat row; a text that begins with ! is an error
	}{
		{"InsertField$Value", []string{"static.field", "dc!", "static.value", "ams", "topic.field", "t"}, `s.items key=null value={id:1 name:"x" qty:7 price:x'0096' at:1614834367089 t:"s.items" dc:"ams"}`},
		{"ReplaceField$Value", []string{"exclude", "price,at", "renames", "id:key", "replace.null.with.default", "false"}, `s.items key=null value={key:1 name:"x" qty:null}`},
		{"ReplaceField$Value", []string{"include", "qty"}, `s.items key=null value={qty:7}`},
		{"MaskField$Value", []string{"fields", "name,id,price,qty", "replace.null.with.default", "false"}, `s.items key=null value={id:0 name:"" qty:null price:x'00' at:1614834367089}`},
		{"MaskField$Value", []string{"fields", "price,name", "replacement", "-1.5"}, `s.items key=null value={id:1 name:"-1.5" qty:7 price:x'ff6a' at:1614834367089}`},
		{"MaskField$Value", []string{"fields", "id", "replacement", "***"}, `!Unable to convert *** (class java.lang.String) to a number`},
		{"MaskField$Value", []string{"fields", "at", "replacement", "1"}, `!Cannot mask value of type class java.util.Date with custom replacement.`},
		{"ExtractField$Value", []string{"field", "qty"}, `s.items key=null value=7`},
		{"ExtractField$Value", []string{"field", "nope"}, `!Unknown field: nope`},
		{"HoistField$Value", []string{"field", "line"}, `s.items key=null value={line:{id:1 name:"x" qty:null price:x'0096' at:1614834367089}}`},
		{"ValueToKey", []string{"fields", "name,id"}, `s.items key={name:"x" id:1} value={id:1 name:"x" qty:null price:x'0096' at:1614834367089}`},
		{"ValueToKey", []string{"fields", "nope"}, `!Field does not exist: nope`},
		{"Cast$Value", []string{"spec", "id:string,price:float64,at:string,qty:boolean"}, `s.items key=null value={id:"1" name:"x" qty:true price:float64:3ff8000000000000 at:"2021-03-04T05:06:07.089Z"}`},
		{"Cast$Value", []string{"spec", "name:int8"}, `!Value (x) was out of range for requested data type`},
		{"TimestampConverter$Value", []string{"field", "at", "target.type", "string", "format", "yyyy.MM.dd EEE HH:mm"}, `s.items key=null value={id:1 name:"x" qty:7 price:x'0096' at:"2021.03.04 Thu 05:06"}`},
		{"TimestampConverter$Value", []string{"field", "at", "target.type", "Date"}, `s.items key=null value={id:1 name:"x" qty:7 price:x'0096' at:18690}`},
		{"TimestampConverter$Value", []string{"field", "name", "target.type", "unix", "format", "yyyy"}, `!Could not parse timestamp: value (x) does not match pattern (yyyy)`},
		{"HeaderFrom$Value", []string{"fields", "name,qty", "headers", "n,q", "operation", "move"}, `s.items key=null value={id:1 price:x'0096' at:1614834367089} n="x" q=7`},
		{"SetSchemaMetadata$Value", []string{"schema.name", "a.B", "schema.version", "3"}, `s.items key=null value={id:1 name:"x" qty:7 price:x'0096' at:1614834367089}`},
		{"RegexRouter", []string{"regex", `(.*)\.items`, "replacement", "$1-all"}, `s-all key=null value={id:1 name:"x" qty:null price:x'0096' at:1614834367089}`},
		{"InsertHeader", []string{"header", "h", "value.literal", " 300 "}, `s.items key=null value={id:1 name:"x" qty:null price:x'0096' at:1614834367089} h=int16:300`},
		{"TimestampRouter", nil, `!Timestamp missing on record: topic s.items`},
		{"ExtractNewRecordState", nil, `s.items key=null value={id:1 name:"x" qty:null price:x'0096' at:1614834367089}`},
		{"outbox.EventRouter", nil, `s.items key=null value={id:1 name:"x" qty:null price:x'0096' at:1614834367089}`},
	} {
		s := newStep(t, c.class, c.kv...)
		for pass := 0; pass < 2; pass++ { // the second from the cached plan
			var b record.Batch
			r := flat(t, &b, row(1, "x", nil))
			keep, err := s.Apply(&b, r)
			got := show(&b, r)
			if err != nil {
				got = "!" + strings.SplitN(err.Error(), ": For", 2)[0]
			}
			if got != c.want || !keep && err == nil {
				t.Errorf("%s %v:\n got %s\nwant %s", c.class, c.kv, got, c.want)
			}
		}
	}
}

func TestUnwrap(t *testing.T) {
	full := []string{"add.fields", "op,table,source.lsn:pos,transaction.id", "add.headers", "op"}
	for _, c := range []struct {
		kv     []string
		op     string
		before map[string]any
		after  map[string]any
		want   string // "" dropped
	}{
		{full, "u", row(1, "a", 1), row(1, "b", nil), `s.items key={id:1} value={id:1 name:"b" qty:null price:x'0096' at:1614834367089 __op:"u" __table:"items" __pos:5 __transaction_id:null} __op="u"`},
		{full, "d", row(1, "a", 1), nil, `s.items key={id:1} value=null __op="d"`},
		{nil, "t", nil, nil, ""},
		{[]string{"delete.tombstone.handling.mode", "drop"}, "d", row(1, "a", 1), nil, ""},
		{[]string{"delete.tombstone.handling.mode", "rewrite"}, "d", row(1, "a", nil), nil, `s.items key={id:1} value={id:1 name:"a" qty:7 price:x'0096' at:1614834367089 __deleted:"true"}`},
		{[]string{"delete.tombstone.handling.mode", "REWRITE", "replace.null.with.default", "false"}, "c", nil, row(1, "a", nil), `s.items key={id:1} value={id:1 name:"a" qty:null price:x'0096' at:1614834367089 __deleted:"false"}`},
		{[]string{"route.by.field", "name"}, "c", nil, row(1, "elsewhere", 1), `elsewhere key={id:1} value={id:1 name:"elsewhere" qty:1 price:x'0096' at:1614834367089}`},
		{[]string{"route.by.field", "name"}, "c", nil, row(1, " ", 1), `s.items key={id:1} value={id:1 name:" " qty:1 price:x'0096' at:1614834367089}`},
	} {
		s := newStep(t, "ExtractNewRecordState", c.kv...)
		for pass := 0; pass < 2; pass++ {
			var b record.Batch
			r := event(t, &b, c.op, c.before, c.after)
			keep, err := s.Apply(&b, r)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if keep {
				got = show(&b, r)
			}
			if got != c.want {
				t.Errorf("%v %s:\n got %s\nwant %s", c.kv, c.op, got, c.want)
			}
		}
	}
	// A delete in the default mode keeps its schema; converted to a tombstone it has none.
	var b record.Batch
	r := event(t, &b, "d", row(1, "a", 1), nil)
	if _, err := newStep(t, "ExtractNewRecordState").Apply(&b, r); err != nil || r.ValueSchema != rowSchema {
		t.Errorf("%v %v", r.ValueSchema, err)
	}
	r = event(t, &b, "d", row(1, "a", 1), nil)
	if _, err := newStep(t, "ExtractNewRecordState", "delete.tombstone.handling.mode", "delete-to-tombstone").Apply(&b, r); err != nil || r.ValueSchema != nil {
		t.Errorf("%v %v", r.ValueSchema, err)
	}
}

// TestSharedHeaders: a tombstone has the headers that the delete before it was
// given, and op once more, as the recordings show.
func TestSharedHeaders(t *testing.T) {
	s := newStep(t, "ExtractNewRecordState", "delete.tombstone.handling.mode", "rewrite-with-tombstone", "add.headers", "op,table")
	var b record.Batch
	event(t, &b, "d", row(1, "a", 1), nil)
	b.AddHeader(&b.Records[0], record.Header{Key: "h", Schema: record.PlainString, Value: b.StringCell("x")})
	tomb := b.Append()
	d := &b.Records[0]
	tomb.Topic = d.Topic
	b.ShareHeaders(tomb, d)
	for i := range b.Records {
		if _, err := s.Apply(&b, &b.Records[i]); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, h := range b.Headers(&b.Records[1]) {
		names = append(names, h.Key)
	}
	if got := strings.Join(names, " "); got != "h __op __table __op" {
		t.Error(got)
	}
}

func TestFlatten(t *testing.T) {
	s := newStep(t, "Flatten$Value", "delimiter", "_")
	var b record.Batch
	r := event(t, &b, "c", nil, row(1, "a", nil))
	if _, err := s.Apply(&b, r); err != nil {
		t.Fatal(err)
	}
	want := `s.items key={id:1} value={before_id:null before_name:null before_qty:null before_price:null before_at:null after_id:1 after_name:"a" after_qty:7 after_price:x'0096' after_at:1614834367089 source_table:"items" source_lsn:5 source_ts_ms:9 transaction_id:null op:"c" ts_ms:10}`
	if got := show(&b, r); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if _, fs := r.ValueSchema.Field("before_id"); !fs.Optional {
		t.Error("a field of an optional struct must be optional")
	}
}

func TestSchemaless(t *testing.T) {
	for _, c := range []struct {
		class string
		kv    []string
		want  string
	}{
		{"InsertField$Value", []string{"static.field", "s", "static.value", "v"}, `map[a:1 m:map[x:y] s:v]`},
		{"ReplaceField$Value", []string{"exclude", "m", "renames", "a:b"}, `map[b:1]`},
		{"MaskField$Value", []string{"fields", "a"}, `map[a:0 m:map[x:y]]`},
		{"ExtractField$Value", []string{"field", "m.x", "field.syntax.version", "V2"}, `y`},
		{"HoistField$Value", []string{"field", "h"}, `map[h:map[a:1 m:map[x:y]]]`},
		{"Flatten$Value", nil, `map[a:1 m.x:y]`},
		{"Cast$Value", []string{"spec", "a:string"}, `map[a:1 m:map[x:y]]`},
		{"TimestampConverter$Value", []string{"field", "a", "target.type", "string", "format", "SSS"}, `map[a:001 m:map[x:y]]`},
		{"HeaderFrom$Value", []string{"fields", "a", "headers", "h", "operation", "move"}, `map[m:map[x:y]]`},
	} {
		var b record.Batch
		r := b.Append()
		r.Topic = itemsTopic
		r.Value, _ = record.FromGo(&b, nil, map[string]any{"a": 1, "m": map[string]any{"x": "y"}})
		if _, err := newStep(t, c.class, c.kv...).Apply(&b, r); err != nil {
			t.Errorf("%s: %v", c.class, err)
			continue
		}
		if got := fmt.Sprint(record.ToGo(&b, nil, r.Value)); got != c.want {
			t.Errorf("%s: %s", c.class, got)
		}
	}
}

func TestPredicates(t *testing.T) {
	var b record.Batch
	r := flat(t, &b, row(1, "x", 1))
	b.AddHeader(r, record.Header{Key: "h", Value: record.Int64Cell(1)})
	for _, c := range []struct {
		class string
		kv    []string
		want  bool
	}{
		{"TopicNameMatches", []string{"pattern", `s\..*`}, true},
		{"TopicNameMatches", []string{"pattern", `s`}, false},
		{"HasHeaderKey", []string{"name", "h"}, true},
		{"HasHeaderKey", []string{"name", "x"}, false},
		{"RecordIsTombstone", nil, false},
	} {
		p, err := find(t, c.class).NewPredicate(pairs(c.kv))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Test(&b, r); got != c.want {
			t.Errorf("%s %v: %v", c.class, c.kv, got)
		}
	}
}

// TestTimezoneRefusals: the class of the exception is that of the real step, which
// stands in the trace of the task.
func TestTimezoneRefusals(t *testing.T) {
	for zone, list := range map[string]string{"+01:00": "source:a:b,source:c:d", "Nowhere/Land": "source:a:b", "": "source:a:b"} {
		_, err := find(t, "TimezoneConverter").NewStep(map[string]string{"converted.timezone": zone, "include.list": list})
		var e *errs.Error
		if (errors.As(err, &e) && e.Java == errs.DebeziumException) != (zone != "") || err == nil {
			t.Errorf("%q %q: %v", zone, list, err)
		}
	}
}

// TestRefusals compares with recorded validation texts.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		class string
		kv    []string
		want  string
	}{
		{"RegexRouter", []string{"regex", "(", "replacement", "x"}, "Invalid value ( for configuration regex: Invalid regex: Unclosed group near index 1\n("},
		{"Cast$Value", []string{"spec", "f:int33"}, "Invalid value java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.INT33 for configuration Invalid type found in casting spec: int33"},
		{"TimestampConverter$Value", []string{"target.type", "epoch"}, "Invalid value epoch for configuration target.type: String must be one of: string, unix, Date, Time, Timestamp"},
		{"ExtractNewRecordState", []string{"delete.tombstone.handling.mode", "sometimes"}, "Invalid value sometimes for configuration delete.tombstone.handling.mode: Value must be one of drop, tombstone, rewrite-with-tombstone, rewrite, delete-to-tombstone"},
		{"ReplaceField$Value", []string{"renames", "nonsense"}, "Invalid value [nonsense] for configuration renames: Invalid rename mapping: nonsense"},
		{"ExtractField$Key", nil, `Missing required configuration "field" which has no default value.`},
		{"ExtractNewRecordState", []string{"drop.tombstones", "false"}, "The 'drop.tombstones' option is not supported by millrace: it was removed from Debezium; use delete.tombstone.handling.mode"},
		{"RegexRouter", []string{"regex", "(a)", "replacement", "$2"}, "Invalid value $2 for configuration replacement: No group 2"},
		{"TimezoneConverter", []string{"converted.timezone", "Nowhere/Land"}, "Invalid timezone format. Please specify either a geographic timezone (e.g. America/Los_Angeles) or a UTC offset in the format of +/-hh:mm, (e.g. +08:00)."},
		{"InsertField$Value", nil, "No field insertion configured"},
	} {
		_, err := find(t, c.class).NewStep(pairs(c.kv))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %v:\n got %v\nwant %s", c.class, c.kv, err, c.want)
		}
	}
}
