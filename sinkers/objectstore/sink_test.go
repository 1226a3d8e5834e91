package objectstore

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"
	"github.com/parquet-go/parquet-go"

	"millrace/internal/errs"
	"millrace/internal/record"
)

var orders = &record.Schema{Type: record.Struct, Name: "orders", Version: 1, Fields: []record.Field{
	{Name: "id", Schema: record.PlainInt64}, {Name: "region", Schema: record.OptionalString}}}

// batch makes records of a topic's partition 0, from offset first.
func batch(t testing.TB, first, n int64, schema *record.Schema, value func(i int64) map[string]any) *record.Batch {
	t.Helper()
	b := &record.Batch{}
	topic := &record.Topic{Name: "orders"}
	for i := first; i < first+n; i++ {
		r := b.Append()
		v := value(i)
		if v != nil {
			c, err := record.FromGo(b, schema, v)
			if err != nil {
				t.Fatal(err)
			}
			r.Value, r.ValueSchema = c, schema
		}
		r.Topic, r.Timestamp = topic, 1767225600000+i*1000
		r.Origin = record.Origin{Topic: topic, Offset: i}
	}
	return b
}

func order(i int64) map[string]any {
	return map[string]any{"id": i, "region": []string{"eu", "us"}[i%2]}
}

func confluentSink(t testing.TB, dir string, more map[string]string) *Sink {
	t.Helper()
	props := map[string]string{"s3.bucket.name": "b", "store.url": "file://" + dir, "storage.class": storageClass, "format.class": formats + "json.JsonFormat", "flush.size": "10"}
	for k, v := range more {
		props[k] = v
	}
	s, err := NewConfluent(props, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// files are the files below a directory, by path, without what is being written.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDurableIsWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := confluentSink(t, dir, nil)
	ctx := t.Context()
	must(t, s.Put(ctx, batch(t, 0, 25, orders, order)))
	must(t, s.Flush(ctx))
	if next, ok := s.Durable("orders", 0); !ok || next != 20 {
		t.Errorf("Durable = %d, %v; want 20: the last 5 records are in an open file", next, ok)
	}
	want := []string{"b/topics/orders/partition=0/orders+0+0000000000.json", "b/topics/orders/partition=0/orders+0+0000000010.json"}
	got := files(t, dir)
	if len(got) != 2 || strings.Count(got[want[0]], "\n") != 10 || strings.Count(got[want[1]], "\n") != 10 {
		t.Errorf("files: %v", got)
	}
	must(t, s.Put(ctx, batch(t, 25, 5, orders, order)))
	must(t, s.Flush(ctx))
	if next, ok := s.Durable("orders", 0); ok {
		t.Errorf("Durable = %d, want nothing held back", next)
	}
}

// flakyTarget fails a share of its puts, some of them after the file is there.
type flakyTarget struct {
	target
	rng   *rand.Rand
	fails atomic.Int64
	dead  atomic.Bool
	lock  chan struct{}
}

func (f *flakyTarget) put(ctx context.Context, key string, file object) error {
	f.lock <- struct{}{}
	n := f.rng.IntN(4)
	<-f.lock
	if f.dead.Load() || n == 0 {
		f.fails.Add(1)
		return errors.New("503 slow down")
	}
	err := f.target.put(ctx, key, file)
	if n == 1 && err == nil {
		f.fails.Add(1)
		return errors.New("the connection broke after the write")
	}
	return err
}

// TestFailedUploadsAndCrashes puts records through a store that fails, as the
// runner does it (again after a retriable error, from the durable offset after a
// crash): every record is in the files once, in order.
func TestFailedUploadsAndCrashes(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir, rng := t.TempDir(), rand.New(rand.NewPCG(seed, 1))
			more := map[string]string{"partitioner.class": partitioners + "FieldPartitioner", "partition.field.name": "region", "flush.size": "7"}
			start := func() *Sink {
				s := confluentSink(t, dir, more)
				s.target = &flakyTarget{target: s.target, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), lock: make(chan struct{}, 1)}
				return s
			}
			const total = 500
			s, committed, at := start(), int64(0), int64(0)
			for committed < total {
				if at < total {
					n := min(1+rng.Int64N(30), total-at)
					b := batch(t, at, n, orders, order)
					for {
						if err := s.Put(t.Context(), b); err == nil {
							break
						} else if !errs.Retriable(err) {
							t.Fatal(err)
						}
					}
					at += n
				}
				if rng.IntN(3) == 0 || at == total {
					if at == total { // the time of the last files has come
						s.layout.(*confluent).flushSize = 1
						for _, p := range s.parts {
							p.cutting = p.count > 0
						}
					}
					for err := s.Flush(t.Context()); err != nil; err = s.Flush(t.Context()) {
						if !errs.Retriable(err) {
							t.Fatal(err)
						}
					}
					if next, ok := s.Durable("orders", 0); ok {
						committed = next
					} else {
						committed = at
					}
				}
				if rng.IntN(10) == 0 && committed < total {
					must(t, s.Stop())
					s, at = start(), committed
				}
			}
			seen := map[string]int{}
			for name, text := range files(t, dir) {
				last := -1
				for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
					seen[line]++
					var id int
					if _, err := fmt.Sscanf(line, `{"id":%d,`, &id); err != nil || id <= last {
						t.Errorf("%s: %q after id %d", name, line, last)
					}
					last = id
				}
			}
			if len(seen) != total {
				t.Errorf("%d different records in files, want %d", len(seen), total)
			}
			for line, n := range seen {
				if n != 1 {
					t.Errorf("%s is there %d times", line, n)
				}
			}
		})
	}
}

func TestBadRecordsStayReportedWhenTheBatchIsPutAgain(t *testing.T) {
	s := confluentSink(t, t.TempDir(), map[string]string{"flush.size": "2"})
	flaky := &flakyTarget{target: s.target, rng: rand.New(rand.NewPCG(1, 1)), lock: make(chan struct{}, 1)}
	flaky.dead.Store(true)
	s.target = flaky
	b := batch(t, 0, 40, orders, func(i int64) map[string]any {
		if i == 3 {
			return nil // behavior.on.null.values is fail
		}
		return order(i)
	})
	err := s.Put(t.Context(), b)
	var bad *errs.RecordError
	if !errors.As(err, &bad) || len(bad.Bad) != 1 || bad.Bad[0].Index != 3 {
		t.Fatalf("Put: %v", err)
	}
	if err := s.Flush(t.Context()); !errs.Retriable(err) {
		t.Fatalf("Flush with a dead store: %v", err)
	}
	if next, ok := s.Durable("orders", 0); !ok || next != 0 {
		t.Errorf("Durable = %d, %v; nothing was written", next, ok)
	}
}

func TestSchedule(t *testing.T) {
	dir := t.TempDir()
	s := confluentSink(t, dir, map[string]string{"rotate.schedule.interval.ms": "60000", "timezone": "UTC"})
	now := time.Date(2026, 1, 1, 10, 0, 30, 0, time.UTC)
	s.now = func() time.Time { return now }
	must(t, s.Put(t.Context(), batch(t, 0, 3, orders, order)))
	if due := s.Due(); !due.Equal(time.Date(2026, 1, 1, 10, 1, 0, 0, time.UTC)) {
		t.Errorf("Due = %v", due)
	}
	must(t, s.Flush(t.Context()))
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	now = now.Add(time.Minute)
	must(t, s.Flush(t.Context()))
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
	if _, ok := s.Durable("orders", 0); ok {
		t.Error("something is held back after the scheduled rotation")
	}
}

func TestCompatibleSchemasShareFiles(t *testing.T) {
	dir := t.TempDir()
	s := confluentSink(t, dir, map[string]string{"schema.compatibility": "BACKWARD", "flush.size": "3"})
	v2 := &record.Schema{Type: record.Struct, Name: "orders", Version: 2, Fields: []record.Field{
		{Name: "id", Schema: record.PlainInt64}, {Name: "note", Schema: record.OptionalString}}}
	must(t, s.Put(t.Context(), batch(t, 0, 1, v2, func(i int64) map[string]any { return map[string]any{"id": i, "note": "n"} })))
	must(t, s.Put(t.Context(), batch(t, 1, 2, orders, order)))
	must(t, s.Flush(t.Context()))
	want := "{\"id\":0,\"note\":\"n\"}\n{\"id\":1,\"note\":null}\n{\"id\":2,\"note\":null}\n"
	if got := files(t, dir)["b/topics/orders/partition=0/orders+0+0000000000.json"]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

var deep = &record.Schema{Type: record.Struct, Fields: []record.Field{
	{Name: "id", Schema: record.PlainInt32},
	{Name: "tags", Schema: &record.Schema{Type: record.Array, Elem: record.OptionalString, Optional: true}},
	{Name: "lines", Schema: &record.Schema{Type: record.Array, Elem: &record.Schema{Type: record.Struct, Fields: []record.Field{
		{Name: "sku", Schema: record.PlainString}, {Name: "qty", Schema: record.OptionalInt16}}}}},
	{Name: "attrs", Schema: &record.Schema{Type: record.Map, Key: record.PlainString, Elem: record.OptionalFloat64}},
	{Name: "before", Schema: &record.Schema{Type: record.Struct, Optional: true, Fields: []record.Field{{Name: "x", Schema: record.OptionalBytes}}}},
}}

func TestParquetOfNestedValues(t *testing.T) {
	s := confluentSink(t, t.TempDir(), map[string]string{"format.class": formats + "parquet.ParquetFormat"})
	var out bytes.Buffer
	b := batch(t, 0, 3, deep, func(i int64) map[string]any {
		switch i {
		case 0:
			return map[string]any{"id": int64(1), "tags": []any{"a", nil, "b"}, "lines": []any{map[string]any{"sku": "s1", "qty": int64(2)}, map[string]any{"sku": "s2", "qty": nil}},
				"attrs": map[string]any{"w": 1.5, "z": nil}, "before": map[string]any{"x": []byte{1}}}
		case 1:
			return map[string]any{"id": int64(2), "tags": nil, "lines": []any{}, "attrs": map[string]any{}, "before": nil}
		}
		return map[string]any{"id": int64(3), "tags": []any{}, "lines": []any{map[string]any{"sku": "s3", "qty": int64(1)}}, "attrs": map[string]any{"k": 0.0}, "before": map[string]any{"x": nil}}
	})
	e, err := s.format.open(&out, b, &b.Records[0], 0)
	must(t, err)
	for i := range b.Records {
		must(t, e.write(b, &b.Records[i]))
	}
	must(t, e.close())
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	rows := make([]parquet.Row, 3)
	n, err := f.RowGroups()[0].Rows().ReadRows(rows)
	if n != 3 || err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	want := []string{"1 a <null> b s1 s2 2 <null> w z 1.5 <null> \x01", "2 <null> <null> <null> <null> <null> <null>", "3 <null> s3 1 k 0 <null>"}
	for i, row := range rows {
		var got []string
		for _, v := range row {
			got = append(got, v.String())
		}
		if text := strings.Join(got, " "); text != want[i] {
			t.Errorf("row %d: %q, want %q\n%s", i, text, want[i], f.Schema())
		}
	}
}

// TestAvroCodecs reads files of several blocks back.
func TestAvroCodecs(t *testing.T) {
	for _, codec := range []string{"null", "deflate", "snappy", "zstandard"} {
		dir := t.TempDir()
		s := confluentSink(t, dir, map[string]string{"format.class": formats + "avro.AvroFormat", "avro.codec": codec, "flush.size": "20000"})
		must(t, s.Put(t.Context(), batch(t, 0, 20_000, orders, order)))
		must(t, s.Flush(t.Context()))
		for name, data := range files(t, dir) {
			d, err := ocf.NewDecoder(strings.NewReader(data))
			must(t, err)
			n := int64(0)
			for ; d.HasNext(); n++ {
				var v map[string]any
				must(t, d.Decode(&v))
				if v["id"] != n {
					t.Fatalf("%s: record %d is %v", codec, n, v)
				}
			}
			if err := d.Error(); err != nil || n != 20_000 || string(d.Metadata()["avro.codec"]) != codec {
				t.Errorf("%s: %d records, codec %s: %v", name, n, d.Metadata()["avro.codec"], err)
			}
		}
	}
}

// TestBzip2: the one codec of Java's that the reader of TestAvroCodecs lacks.
func TestBzip2(t *testing.T) {
	f := &avroFormat{codec: "bzip2"}
	for _, n := range []int{1, 70_000, 0, 2_000_000} {
		block := bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
		packed, err := f.pack(block)
		must(t, err)
		got, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(packed)))
		must(t, err)
		if !bytes.Equal(got, block) {
			t.Errorf("%d bytes came back as %d", n, len(got))
		}
	}
}

func TestSpoolSpills(t *testing.T) {
	var all budget
	s := &spool{all: &all, dir: t.TempDir()}
	var want bytes.Buffer
	rng := rand.New(rand.NewPCG(1, 1))
	for want.Len() < 5<<20 {
		p := make([]byte, rng.IntN(100_000))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		want.Write(p)
		if _, err := s.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.size()))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes read, %d written: %v", len(got), want.Len(), err)
	}
	if s.kept == 0 {
		t.Error("nothing went to the disk")
	}
	s.close()
	if all.used.Load() != 0 {
		t.Errorf("%d bytes are still counted", all.used.Load())
	}
}

func TestGzipIsOfTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	s := confluentSink(t, dir, map[string]string{"s3.compression.type": "gzip"})
	must(t, s.Put(t.Context(), batch(t, 0, 10, orders, order)))
	must(t, s.Flush(t.Context()))
	for name, text := range files(t, dir) {
		r, err := gzip.NewReader(strings.NewReader(text))
		must(t, err)
		plain, err := io.ReadAll(r)
		if err != nil || strings.Count(string(plain), "\n") != 10 || !strings.HasSuffix(name, ".json.gz") {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
}

func TestJoda(t *testing.T) {
	at := time.Date(2026, 3, 4, 17, 8, 9, 45e6, time.FixedZone("+02:00", 7200))
	for pattern, want := range map[string]string{
		"'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH": "year=2026/month=03/day=04/hour=17",
		"yy.M.d h:mm a":        "26.3.4 5:08 PM",
		"EEE, EEEE MMM MMMM":   "Wed, Wednesday Mar March",
		"xxxx-'W'ww-e D":       "2026-W10-3 63",
		"ss.SSSSS''Z ZZ":       "09.04500'+0200 +02:00",
		"'it''s' k K":          "it's 17 5",
		"YYYYMMdd'T'HHmmss":    "20260304T170809",
		"'dt'=YYYY-MM-dd/'''x": "dt=2026-03-04/'x",
	} {
		j, err := parseJoda(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		if got := string(j.format(nil, at)); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	if _, err := parseJoda("YYYY/bb"); err == nil || !strings.Contains(err.Error(), "Illegal pattern component: bb") {
		t.Errorf("bb: %v", err)
	}
}

// TestTemplates: names as Aiven's own sink made them of the same templates.
func TestTemplates(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	v := names{topic: "t", partition: 3, offset: 77, at: at, now: at, key: "k"}
	for text, want := range map[string]string{
		"{{ topic }}-{{ partition:padding=true }}-{{start_offset:padding=true}}": "t-0000000003-00000000000000000077",
		"{{topic}}/{{timestamp:unit=yyyy}}/{{timestamp:unit=HH}}":                "t/2026/05",
		"{{ timestamp:unit=YYYY }}":                                              "2026",
		"{{partition:padding=x}}{y}{{foo}}":                                      "3{y}{{foo}}",
		"{{topic:a=b}}-{{key}}-{{partition : padding=true}}":                     "t-k-{{partition : padding=true}}",
	} {
		tpl, err := parseTemplate(text)
		if err != nil || tpl.render(v) != want {
			t.Errorf("%s: %q, %v", text, tpl.render(v), err)
		}
	}
	v.offset, v.at = -1, time.Time{}
	if tpl, err := parseTemplate("{{key}}/{{start_offset}}"); err != nil || tpl.render(v) != "k/{{start_offset}}" {
		t.Errorf("a file of a key has no offset: %q, %v", tpl.render(v), err)
	}
	for _, text := range []string{"{{}}", "{{timestamp}}", "{{timestamp:unit=mm}}", "{{partition:}}", "{{partition:padding}}"} {
		if _, err := parseTemplate(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	for text, want := range map[string]grouping{"{{key}}": lastOnly, "{{topic}}/{{key}}": lastOnly, "{{topic}}/{{key}}/{{start_offset}}": lastOnly, "{{topic}}{{partition}}{{start_offset}}": byStart,
		"{{topic}}{{partition}}{{start_offset}}{{foo}}{{timestamp:unit=dd}}": byStart, "{{key}}{{topic}}{{partition}}{{start_offset}}": byKey,
		"{{topic}}": -1, "nothing": -1, "{{key}}{{timestamp:unit=dd}}": -1, "{{key}}{{start_offset}}": -1, "{{topic}}{{partition}}{{start_offset}}{{foo}}": -1} {
		tpl, err := parseTemplate(text)
		must(t, err)
		if got, err := tpl.grouping(); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestSettings refuses what cannot work, before anything is touched.
func TestSettings(t *testing.T) {
	base := map[string]string{"s3.bucket.name": "b", "storage.class": storageClass, "format.class": formats + "json.JsonFormat", "flush.size": "10"}
	for name, c := range map[string]struct{ key, value, want string }{
		"flush.size":     {"flush.size", "0", "at least 1"},
		"part size":      {"s3.part.size", "100", "at least 5242880"},
		"format":         {"format.class", "x.Y", "built in are"},
		"pattern":        {"path.format", "bb", "Illegal pattern component"},
		"zone":           {"timezone", "Mars/Base", "not recognised"},
		"nulls":          {"behavior.on.null.values", "write", "store.kafka.keys"},
		"customer key":   {"s3.sse.customer.key", "abc", "32 bytes"},
		"rotation":       {"rotate.interval.ms", "1000", "time-based partitioner"},
		"schedule":       {"rotate.schedule.interval.ms", "1000", "needs timezone"},
		"daily no zone":  {"partitioner.class", partitioners + "DailyPartitioner", "needs locale and timezone"},
		"field no field": {"partitioner.class", partitioners + "FieldPartitioner", "partition.field.name"},
	} {
		props := map[string]string{}
		for k, v := range base {
			props[k] = v
		}
		props[c.key] = c.value
		if _, err := NewConfluent(props, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// BenchmarkPut is the cost of a record of ten columns until it is in a local file.
func BenchmarkPut(b *testing.B) {
	wide := &record.Schema{Type: record.Struct, Name: "wide", Fields: []record.Field{
		{Name: "id", Schema: record.PlainInt64}, {Name: "a", Schema: record.OptionalString}, {Name: "b", Schema: record.OptionalString}, {Name: "c", Schema: record.OptionalInt32},
		{Name: "d", Schema: record.OptionalFloat64}, {Name: "e", Schema: record.OptionalBoolean}, {Name: "f", Schema: record.OptionalInt64}, {Name: "g", Schema: record.OptionalString},
		{Name: "h", Schema: record.OptionalInt16}, {Name: "i", Schema: record.OptionalBytes}}}
	classes := append([]string{}, formatClasses[:3]...)
	sort.Strings(classes)
	for _, class := range classes {
		b.Run(class, func(b *testing.B) {
			s := confluentSink(b, b.TempDir(), map[string]string{"format.class": formats + class, "flush.size": "1000000"})
			in := batch(b, 0, 5000, wide, func(i int64) map[string]any {
				return map[string]any{"id": i, "a": fmt.Sprint("customer ", i%977), "b": "some longer text that repeats", "c": i % 1000, "d": float64(i) / 7, "e": i%2 == 0, "f": i * 3, "g": fmt.Sprint(i), "h": i % 100, "i": []byte{1, 2, 3, byte(i)}}
			})
			b.ResetTimer()
			for at := int64(0); at < int64(b.N); at += 5000 {
				for i := range in.Records {
					in.Records[i].Origin.Offset = at + int64(i)
				}
				must(b, s.Put(b.Context(), in))
			}
		})
	}
}
