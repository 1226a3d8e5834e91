package objectstore

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/record"
)

// rec is a record of a variation.
type rec struct {
	off    int64
	ts     int64 // seconds behind 2026-03-29T00:30:00Z, the night of the change to summer time
	key    string
	null   bool
	schema *record.Schema // of value; nil: ordersV1
	value  map[string]any
	header string // name=value
}

var (
	nested = &record.Schema{Type: record.Struct, Name: "order", Version: 1, Fields: []record.Field{
		{Name: "id", Schema: record.PlainInt64}, {Name: "paid", Schema: record.OptionalBoolean},
		{Name: "who", Schema: &record.Schema{Type: record.Struct, Optional: true, Fields: []record.Field{{Name: "city", Schema: record.OptionalString}}}},
		{Name: "at", Schema: record.OptionalString}}}
	v1 = &record.Schema{Type: record.Struct, Name: "v", Version: 1, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}}}
	v2 = &record.Schema{Type: record.Struct, Name: "v", Version: 2, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "x", Schema: record.OptionalString}}}
	v3 = &record.Schema{Type: record.Struct, Name: "v", Version: 3, Fields: []record.Field{{Name: "id", Schema: record.PlainInt64}, {Name: "y", Schema: record.OptionalString}}}
)

var (
	micros = &record.Schema{Type: record.Struct, Name: "m", Fields: []record.Field{{Name: "id", Schema: record.PlainInt64}, {Name: "at", Schema: &record.Schema{Type: record.Int64, Name: "io.debezium.time.MicroTimestamp", Version: 1}}}}
	days   = &record.Schema{Type: record.Struct, Name: "d", Fields: []record.Field{{Name: "id", Schema: record.PlainInt64}, {Name: "at", Schema: &record.Schema{Type: record.Int32, Name: "io.debezium.time.Date", Version: 1}}}}
)

const t0 = 1774744200000 // 2026-03-29T00:30:00Z

func variation(t *testing.T, recs []rec) *record.Batch {
	t.Helper()
	b, tp := &record.Batch{}, &record.Topic{Name: "t"}
	for _, x := range recs {
		r := b.Append()
		r.Topic, r.Offset, r.Timestamp = tp, x.off, t0+1000*x.ts
		r.Origin = record.Origin{Topic: tp, Offset: x.off}
		if x.key != "" {
			r.Key, r.KeySchema = b.StringCell(x.key), record.PlainString
		}
		if !x.null {
			if r.ValueSchema = x.schema; r.ValueSchema == nil {
				r.ValueSchema = nested
			}
			value := map[string]any{}
			for _, f := range r.ValueSchema.Fields {
				value[f.Name] = x.value[f.Name]
			}
			if value["id"] == nil {
				value["id"] = x.off
			}
			c, err := record.FromGo(b, r.ValueSchema, value)
			must(t, err)
			r.Value = c
		}
		if name, value, ok := strings.Cut(x.header, "="); ok {
			b.AddHeader(r, record.Header{Key: name, Schema: record.PlainString, Value: b.StringCell(value)})
		}
	}
	return b
}

const (
	timed = "partitioner.class=" + partitioners + "TimeBasedPartitioner timezone=Europe/Berlin locale=en-US "
	js    = "keys.format.class=" + formats + "json.JsonFormat headers.format.class=" + formats + "json.JsonFormat "
)

var confluentVariations = map[string]struct {
	options string
	recs    []rec
	want    string // "name: lines" each, without topics/t/ and t+0+
}{
	"names":                {"topics.dir= directory.delim=_ file.delim=- filename.offset.zero.pad.width=3 flush.size=1", []rec{{off: 7}}, `../b/t_partition=0_t-0-007.json: 7`},
	"count":                {"flush.size=2", []rec{{off: 0}, {off: 1}, {off: 5}}, "partition=0/0.json: 0 1"},
	"fields":               {"flush.size=3 partitioner.class=" + partitioners + "FieldPartitioner partition.field.name=paid,who.city", []rec{{off: 0, value: map[string]any{"paid": true, "who": map[string]any{"city": "x/y"}}}, {off: 1}, {off: 2, value: map[string]any{"paid": true, "who": map[string]any{"city": "x/y"}}}}, "paid=null/who.city=null/1.json: 1; paid=true/who.city=x/y/0.json: 0 2"},
	"summer time":          {timed + "timestamp.extractor=Record path.format='h'=HH'.'Z partition.duration.ms=3600000 flush.size=3", []rec{{off: 0}, {off: 1, ts: 1800}, {off: 2, ts: 5400}}, "h=01.+0100/0.json: 0; h=03.+0200/1.json: 1; h=04.+0200/2.json: 2"},
	"quarter hours":        {timed + "timestamp.extractor=Record path.format=HHmm partition.duration.ms=900000 flush.size=2", []rec{{off: 0, ts: 899}, {off: 1, ts: 900}}, "0130/0.json: 0; 0145/1.json: 1"},
	"field with offset":    {timed + "timestamp.extractor=RecordField timestamp.field=at path.format=dd'-'HH partition.duration.ms=3600000 flush.size=2", []rec{{off: 0, value: map[string]any{"at": "2026-01-01T12:00:00+05:00"}}, {off: 1, value: map[string]any{"at": "2026-07-01T12:00:00Z"}}}, "01-08/0.json: 0; 01-14/1.json: 1"},
	"microseconds":         {timed + "timestamp.extractor=RecordField timestamp.field=at path.format=YYYY-MM-dd'-'HH partition.duration.ms=3600000 flush.size=1", []rec{{off: 0, schema: micros, value: map[string]any{"at": int64(1774744200123456)}}}, "2026-03-29-01/0.json: 0"},
	"days":                 {timed + "timestamp.extractor=RecordField timestamp.field=at path.format=YYYY-MM-dd partition.duration.ms=3600000 flush.size=1", []rec{{off: 0, schema: days, value: map[string]any{"at": int64(18262)}}}, "2020-01-01/0.json: 0"},
	"short text":           {timed + "timestamp.extractor=RecordField timestamp.field=at path.format=dd'-'HH partition.duration.ms=3600000 flush.size=1", []rec{{off: 0, value: map[string]any{"at": "2026-01-01T12:00:00.5+0500"}}}, "01-08/0.json: 0"},
	"daily":                {"partitioner.class=" + partitioners + "DailyPartitioner timezone=UTC locale=en timestamp.extractor=Record flush.size=1", []rec{{off: 0}}, "year=2026/month=03/day=29/0.json: 0"},
	"interval":             {timed + "timestamp.extractor=Record path.format='d' partition.duration.ms=1 rotate.interval.ms=10000", []rec{{off: 0}, {off: 1, ts: 9}, {off: 2, ts: 10}, {off: 3, ts: 21}}, "d/0.json: 0 1; d/2.json: 2"},
	"change of partition":  {timed + "timestamp.extractor=Record path.format=HH partition.duration.ms=1 rotate.interval.ms=36000000", []rec{{off: 0}, {off: 1, ts: 3600}, {off: 2}}, "01/0.json: 0; 03/1.json: 1"},
	"change left alone":    {timed + "timestamp.extractor=Record path.format=HH partition.duration.ms=1 rotate.interval.ms=36000000 rotate.file.on.partition.change=false flush.size=3", []rec{{off: 0}, {off: 1, ts: 3600}, {off: 2}}, "01/0.json: 0 2; 03/1.json: 1"},
	"schemas NONE":         {"flush.size=3", []rec{{off: 0, schema: v1}, {off: 1, schema: v2}, {off: 2, schema: v1}}, "partition=0/0.json: 0; partition=0/1.json: 1"},
	"schemas BACKWARD":     {"flush.size=3 schema.compatibility=BACKWARD", []rec{{off: 0, schema: v1}, {off: 1, schema: v2}, {off: 2, schema: v1}, {off: 3, schema: v2}}, "partition=0/0.json: 0; partition=0/1.json: 1 2 3"},
	"widened":              {"flush.size=2 schema.compatibility=BACKWARD", []rec{{off: 0, schema: v3}, {off: 1, schema: v1}}, "partition=0/0.json: 0 1"},
	"schemas FORWARD":      {"flush.size=2 schema.compatibility=FORWARD", []rec{{off: 0, schema: v2}, {off: 1, schema: v1}, {off: 2, schema: v2}}, "partition=0/0.json: 0; partition=0/1.json: 1 2"},
	"schemas FULL":         {"flush.size=2 schema.compatibility=FULL", []rec{{off: 0, schema: v1}, {off: 1, schema: v2}, {off: 2, schema: v2}}, "partition=0/0.json: 0; partition=0/1.json: 1 2"},
	"nulls left out":       {"flush.size=2 behavior.on.null.values=ignore", []rec{{off: 0}, {off: 1, null: true}, {off: 2}}, "partition=0/0.json: 0 2"},
	"keys":                 {js + "flush.size=2 store.kafka.keys=true", []rec{{off: 0, key: "a"}, {off: 1, key: "b"}}, `partition=0/0.json: 0 1; partition=0/0.keys.json: "a" "b"`},
	"headers":              {js + "flush.size=1 store.kafka.headers=true", []rec{{off: 0, header: "h=1"}}, `partition=0/0.headers.json: {"headers":[{"key":"h","value":"1"}]}; partition=0/0.json: 0`},
	"tombstones":           {js + "flush.size=2 store.kafka.keys=true behavior.on.null.values=write", []rec{{off: 0, key: "a"}, {off: 1, key: "a", null: true}, {off: 2, key: "b", null: true}, {off: 3, key: "c"}}, `partition=0/0.json: 0; partition=0/0.keys.json: "a"; tombstone/1.keys.json: "a" "b"`},
	"tombstones elsewhere": {js + "flush.size=1 store.kafka.keys=true behavior.on.null.values=write tombstone.encoded.partition=gone", []rec{{off: 1, key: "a", null: true}}, `gone/1.keys.json: "a"`},
	"schema before":        {"flush.size=1 s3.schema.partition.affix.type=PREFIX", []rec{{off: 0}}, "schema_name=order/partition=0/0.json: 0"},
	"schema below":         {"flush.size=1 s3.schema.partition.affix.type=SUFFIX", []rec{{off: 0}}, "partition=0/schema_name=order/0.json: 0"},
	"most open files":      {"partitioner.max.open.files=2 partitioner.class=" + partitioners + "FieldPartitioner partition.field.name=id", []rec{{off: 0}, {off: 1}, {off: 2}}, "id=0/0.json: 0; id=1/1.json: 1"},
}

func TestConfluentVariations(t *testing.T) {
	for name, c := range confluentVariations {
		dir, more := t.TempDir(), map[string]string{}
		for _, o := range strings.Fields(c.options) {
			k, v, _ := strings.Cut(o, "=")
			more[k] = v
		}
		s := confluentSink(t, dir, more)
		must(t, s.Put(t.Context(), variation(t, c.recs)))
		must(t, s.Flush(t.Context()))
		if got := shown(files(t, dir), "b/topics/t/", "t+0+"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// shown prints files, with values of the schemas above as their id.
func shown(all map[string]string, dir, stem string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var lines []string
		for _, l := range strings.Split(strings.TrimRight(all[name], "\n"), "\n") {
			if id, ok := strings.CutPrefix(l, `{"id":`); ok {
				l = id[:strings.IndexAny(id, ",}")]
			}
			lines = append(lines, l)
		}
		short := strings.Replace(strings.TrimPrefix(name, dir), stem, "", 1)
		if short == name && dir != "" {
			short = "../" + name
		}
		if i := strings.LastIndexByte(short, '/'); i >= 0 && stem != "" && strings.HasPrefix(short[i+1:], "000") {
			short = short[:i+1] + strings.TrimLeft(short[i+1:i+10], "0") + short[i+10:]
		}
		out = append(out, short+": "+strings.Join(lines, " "))
	}
	return strings.Join(out, "; ")
}

var aivenVariations = map[string]struct {
	options string
	recs    []rec
	want    string
}{
	"default":          {"", []rec{{off: 3}, {off: 4}}, "t-0-3: 3 4"},
	"padding":          {"file.name.template={{topic}}/{{partition:padding=true}}-{{start_offset:padding=true}}", []rec{{off: 3}}, "t/0000000000-00000000000000000003: 3"},
	"time":             {"file.name.template={{timestamp:unit=YYYY}}/{{timestamp:unit=MM}}/{{timestamp:unit=dd}}T{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset}} file.name.timestamp.source=EVENT file.name.timestamp.timezone=Europe/Berlin", []rec{{off: 0}, {off: 1, ts: 1800}}, "2026/03/29T01/t-0-0: 0; 2026/03/29T03/t-0-0: 1"},
	"most records":     {"file.max.records=2", []rec{{off: 0}, {off: 1}, {off: 2}}, "t-0-0: 0 1; t-0-2: 2"},
	"keys":             {"file.name.template=k-{{key}}", []rec{{off: 0, key: "a"}, {off: 1, key: "b"}, {off: 2, key: "a"}, {off: 3}}, "k-a: 2; k-b: 1; k-null: 3"},
	"keys of topics":   {"file.name.template={{topic}}/{{partition}}/{{key}}", []rec{{off: 0, key: "a"}, {off: 1, key: "a"}}, "t/0/a: 1"},
	"keys and offsets": {"file.name.template={{topic}}-{{partition}}-{{key}}-{{start_offset}}", []rec{{off: 0, key: "a"}, {off: 1, key: "b"}, {off: 2, key: "a"}}, "t-0-a-0: 0 2; t-0-b-1: 1"},
	"keys, offsets, most": {"file.max.records=2 file.name.template={{topic}}-{{partition}}-{{key}}-{{start_offset}}",
		[]rec{{off: 0, key: "a"}, {off: 1, key: "b"}, {off: 2, key: "a"}, {off: 3, key: "a"}, {off: 4, key: "b"}}, "t-0-a-0: 0 2; t-0-a-3: 3; t-0-b-1: 1 4"},
	"old prefix":      {"aws.s3.prefix={{timestamp:unit=yyyy}}/{{topic}}/ file.name.timestamp.source=EVENT", []rec{{off: 12}}, "2026/t/t-0-00000000000000000012: 12"},
	"array":           {"format.output.type=json", []rec{{off: 0}, {off: 1}}, "t-0-0: [ 0 1 ]"},
	"fields of jsonl": {"format.output.envelope=true format.output.fields=key,offset,timestamp", []rec{{off: 0, key: "a"}}, `t-0-0: {"offset":0,"key":"a","timestamp":"2026-03-29T00:30:00Z"}`},
	"one field, bare": {"format.output.fields=offset", []rec{{off: 5}}, "t-0-5: 5"},
	"csv":             {"format.output.type=csv format.output.envelope=true format.output.fields=key,offset,timestamp", []rec{{off: 0, key: "a"}, {off: 1}}, "t-0-0: YQ==,0,1774744200000 ,1,1774744200000"},
}

func TestAivenVariations(t *testing.T) {
	for name, c := range aivenVariations {
		dir := t.TempDir()
		props := map[string]string{"aws.s3.bucket.name": "b", "aws.s3.endpoint": "file://" + dir, "format.output.type": "jsonl", "file.compression.type": "none", "format.output.envelope": "false", "format.output.fields": "value"}
		for _, o := range strings.Fields(c.options) {
			k, v, _ := strings.Cut(o, "=")
			props[k] = v
		}
		s, err := NewAiven(props, slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, s.Start(t.Context()))
		must(t, s.Put(t.Context(), variation(t, c.recs)))
		must(t, s.Flush(t.Context()))
		must(t, s.Stop())
		if got := shown(files(t, dir), "b/", ""); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// TestReported: tombstones that are ignored go to the dead letter queue where there
// is one, unless that is switched off.
func TestReported(t *testing.T) {
	queue := map[string]string{"behavior.on.null.values": "ignore", "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "q"}
	s := confluentSink(t, t.TempDir(), queue)
	if err := s.Put(t.Context(), variation(t, []rec{{off: 0, null: true}})); err == nil || !strings.Contains(err.Error(), "Skipping null value record") {
		t.Errorf("with a queue: %v", err)
	}
	queue["report.null.values.to.dlq"] = "false"
	must(t, confluentSink(t, t.TempDir(), queue).Put(t.Context(), variation(t, []rec{{off: 0, null: true}})))
}

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// remembered is a directory that knows, as S3 does, what its objects hold.
type remembered struct {
	target
	objects map[string]object
}

func (m *remembered) put(ctx context.Context, key string, o object) error {
	m.objects[key] = o
	return m.target.put(ctx, key, o)
}

func (m *remembered) written(_ context.Context, key string) (next, first int64, ok bool, err error) {
	o, ok := m.objects[key]
	return o.next, o.first, ok, nil
}

// TestScheduledFilesAfterACrash: a file was written and its offsets were not
// committed; it ends elsewhere when it is made again, and yet each record is in the
// store once. A topic that is made anew writes over the files of the one before.
func TestScheduledFilesAfterACrash(t *testing.T) {
	dir, at := t.TempDir(), &clock{time.UnixMilli(t0)}
	var store *remembered
	start := func() *Sink {
		s := confluentSink(t, dir, map[string]string{"rotate.schedule.interval.ms": "60000", "timezone": "UTC", "flush.size": "1000"})
		s.now = at.now
		if store == nil {
			store = &remembered{s.target, map[string]object{}}
		}
		s.target = store
		return s
	}
	recs := func(from, to int64, ts int64) (out []rec) {
		for i := from; i < to; i++ {
			out = append(out, rec{off: i, ts: ts + i})
		}
		return out
	}
	one := start()
	must(t, one.Put(t.Context(), variation(t, recs(0, 3, 0))))
	at.at = at.at.Add(time.Minute)
	must(t, one.Flush(t.Context())) // written, and then a crash
	two := start()
	must(t, two.Put(t.Context(), variation(t, recs(0, 5, 0))))
	if next, ok := two.Durable("t", 0); !ok || next != 3 {
		t.Errorf("durable %d, %v; the first three records are there", next, ok)
	}
	at.at = at.at.Add(time.Minute)
	must(t, two.Flush(t.Context()))
	if got, want := shown(files(t, dir), "b/topics/t/", "t+0+"), "partition=0/0.json: 0 1 2; partition=0/3.json: 3 4"; got != want {
		t.Errorf("after the crash: %s, want %s", got, want)
	}
	three := start()
	must(t, three.Put(t.Context(), variation(t, recs(0, 2, 9999))))
	at.at = at.at.Add(time.Minute)
	must(t, three.Flush(t.Context()))
	if got, want := shown(files(t, dir), "b/topics/t/", "t+0+"), "partition=0/0.json: 0 1; partition=0/3.json: 3 4"; got != want {
		t.Errorf("made anew: %s, want %s", got, want)
	}
}
