package suite

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/record"
)

// Record is a record as scenarios look at it: values as text, structs as
// {field:value field:value}, names of tables without what is before the last dot.
type Record struct {
	Topic, Op, Key, Before, After string
	Headers                       string // without __debezium.context, "key=value key=value"
	Tx                            string // the transaction block without its id: "total/collection"
}

// String is what most scenarios compare: table, operation, key, row.
func (r Record) String() string {
	return strings.TrimSpace(r.Topic + " " + r.Op + " " + r.Key + " " + r.After)
}

// End is a position that a source has given, and how many records were before it.
type End struct {
	Offset  []byte
	Records int
}

// Sink is the output of a source: it keeps every record and every position. It has
// the methods that sources ask of emit.Pipeline.
type Sink struct {
	// OnStored is told of each position once it counts as stored. May be nil; to be
	// set before the source runs.
	OnStored func(record.Position)

	show    func(Record) string
	mu      sync.Mutex
	changed chan struct{}
	lines   []string
	ends    []End
	beats   int
	stored  record.Position
	hold    bool
	never   chan struct{}
	foreign bool   // see Scenario.Foreign
	begun   string // line of a BEGIN that is kept back until it is known whose it is
}

// NewSink makes a sink; more adds to the line of a record that is compared. May be nil.
func NewSink(more func(Record) string) *Sink {
	show := Record.String
	if more != nil {
		show = func(r Record) string { return strings.TrimSpace(r.String() + " " + more(r)) }
	}
	return &Sink{show: show, changed: make(chan struct{}, 1), never: make(chan struct{})}
}

// Hold makes the sink store nothing from now on, so that the source confirms nothing.
func (s *Sink) Hold() { s.mu.Lock(); defer s.mu.Unlock(); s.hold = true }

// Send takes a batch.
func (s *Sink) Send(ctx context.Context, b *record.Batch, _ func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	for i := range b.Records {
		r := render(b, &b.Records[i])
		switch {
		case strings.HasPrefix(b.Records[i].Topic.Name, "__debezium-heartbeat"):
			s.beats++
		case r.Op != "":
			s.take(r)
		}
	}
	var stored record.Position
	if b.End != nil {
		s.ends = append(s.ends, End{slices.Clone(b.End.Offset()), len(s.lines)})
		if !s.hold {
			s.stored = b.End
			stored = b.End
		}
	}
	s.mu.Unlock()
	b.Release()
	s.wake()
	if s.OnStored != nil && stored != nil {
		s.OnStored(stored)
	}
	return nil
}

// take keeps the line of a record. A transaction of another test is a BEGIN and an
// END without records of this one; neither is kept.
func (s *Sink) take(r Record) {
	line := s.show(r)
	switch {
	case !s.foreign || r.Topic != "transaction":
	case r.Op == "BEGIN":
		s.begun = line
		return
	case r.Key == "0":
		s.begun = ""
		return
	}
	if s.begun != "" {
		s.lines, s.begun = append(s.lines, s.begun), ""
	}
	s.lines = append(s.lines, line)
}

func (s *Sink) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Stored is the last position that counts as stored.
func (s *Sink) Stored() record.Position { s.mu.Lock(); defer s.mu.Unlock(); return s.stored }

// Drain has nothing to do: what was sent is stored.
func (s *Sink) Drain(context.Context) error { return nil }

// Err is never closed: the sink does not fail.
func (s *Sink) Err() <-chan struct{} { return s.never }

// Cause is nil: the sink does not fail.
func (s *Sink) Cause() error { return nil }

// Lines are the records so far, as shown.
func (s *Sink) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// Ends are the positions so far.
func (s *Sink) Ends() []End {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ends)
}

// await waits until ok, looking after each batch.
func (s *Sink) await(t *testing.T, x *running, ok func() bool) bool {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-s.changed:
		case err := <-x.done:
			x.done <- err
			if ok() {
				return true
			}
			t.Fatalf("the source ended: %v", err)
		case <-limit.C:
			return false
		}
	}
}

// expect waits for as many lines as wanted, and compares.
func (s *Sink) expect(t *testing.T, x *running, want []string) {
	t.Helper()
	if !s.await(t, x, func() bool { return len(s.Lines()) >= len(want) }) {
		t.Errorf("only %d of %d records came", len(s.Lines()), len(want))
	}
	compare(t, s.Lines(), want)
}

// exactly compares once the source has ended.
func (s *Sink) exactly(t *testing.T, want []string) {
	t.Helper()
	compare(t, s.Lines(), want)
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("record %d is missing: %s", i+1, want[i])
		case i >= len(want):
			t.Fatalf("record %d is one too many: %s", i+1, got[i])
		case got[i] != want[i]:
			t.Fatalf("record %d\n got %s\nwant %s", i+1, got[i], want[i])
		}
	}
}

// position waits until the source has given a position that is behind its snapshot.
func (s *Sink) position(t *testing.T, x *running) {
	t.Helper()
	if !s.await(t, x, func() bool {
		ends := s.Ends()
		return len(ends) > 0 && !strings.Contains(string(ends[len(ends)-1].Offset), `"snapshot"`)
	}) {
		t.Fatal("the source has given no position")
	}
}

// beaten wants heartbeats.
func (s *Sink) beaten(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beats == 0 {
		t.Error("no heartbeat came")
	}
}

// render makes a Record; Op is "" for what is no change of a row and no mark of a
// transaction (schema changes).
func render(b *record.Batch, r *record.Record) Record {
	out := Record{Topic: r.Topic.Name[strings.LastIndexByte(r.Topic.Name, '.')+1:], Key: text(b, r.KeySchema, r.Key)}
	if r.Topic.Name == Prefix {
		return Record{}
	}
	for _, h := range b.Headers(r) {
		if !strings.HasPrefix(h.Key, "__debezium.context") {
			out.Headers += h.Key + "=" + text(b, h.Schema, h.Value) + " "
		}
	}
	out.Headers = strings.TrimSpace(out.Headers)
	if r.Value.IsNull() {
		out.Op = "tombstone"
		return out
	}
	child := func(name string) any {
		i, s := r.ValueSchema.Field(name)
		if i < 0 {
			return nil
		}
		return record.ToGo(b, s, b.Child(r.Value, i))
	}
	if status, ok := child("status").(string); ok && r.Topic.Name == Prefix+".transaction" {
		out.Op, out.Key = status, ""
		if status == "END" {
			out.Key = counts(child("event_count"), child("data_collections"))
		}
		return out
	}
	op, _ := child("op").(string)
	out.Op, out.Before, out.After = op, print(child("before")), print(child("after"))
	if tx, ok := child("transaction").(map[string]any); ok {
		out.Tx = fmt.Sprintf("%v/%v", tx["total_order"], tx["data_collection_order"])
	}
	return out
}

// counts shows the end of a transaction: "3 a:2 b:1".
func counts(total, collections any) string {
	out := []string{}
	list, _ := collections.([]any)
	for _, c := range list {
		m, _ := c.(map[string]any)
		name := fmt.Sprint(m["data_collection"])
		out = append(out, fmt.Sprintf("%s:%v", name[strings.LastIndexByte(name, '.')+1:], m["event_count"]))
	}
	sort.Strings(out)
	return strings.TrimSpace(fmt.Sprint(total) + " " + strings.Join(out, " "))
}

func text(b *record.Batch, s *record.Schema, c record.Cell) string {
	if c.IsNull() {
		return "null"
	}
	return print(record.ToGo(b, s, c))
}

// print shows a value; long texts by their length and ends.
func print(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			keys[i] = k + ":" + print(v[k])
		}
		return "{" + strings.Join(keys, " ") + "}"
	case []byte:
		return fmt.Sprintf("%x", v)
	case string:
		if len(v) > 200 {
			return fmt.Sprintf("%s…%s(%d)", v[:8], v[len(v)-8:], len(v))
		}
		return v
	}
	return fmt.Sprint(v)
}
