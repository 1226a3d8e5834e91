package postgres

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// patience bounds every wait for something that must come.
const patience = time.Minute

// got is a record as the tests look at it.
type got struct {
	Topic, Key, Op, Before, After, Snapshot, Headers string
	LSN, TxID                                        int64
	Sequence, Tx, Raw                                string
}

func (g got) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", g.Topic[strings.LastIndex(g.Topic, ".")+1:], g.Op, g.Key, g.After))
}

// sink is an output that keeps what it gets and stores positions at once, or
// never, as the test likes. It is what the resume tests restart from.
type sink struct {
	mu      sync.Mutex
	changed chan struct{}
	recs    []got
	ends    []*Position
	batches []int // records per batch
	stored  record.Position
	hold    bool // store nothing
	count   bool // only count records
	stopAt  int  // takes nothing more once it has so many records
	each    func(n int)
	n       int
	drained bool
	dead    chan struct{}
	on      func(record.Position)
}

func newSink() *sink { return &sink{changed: make(chan struct{}, 1), dead: make(chan struct{})} }

func (s *sink) Send(ctx context.Context, b *record.Batch, _ func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.stopAt > 0 && s.n >= s.stopAt {
		s.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	s.n += len(b.Records)
	for i := range b.Records {
		if s.count {
			break
		}
		s.recs = append(s.recs, render(b, &b.Records[i]))
	}
	end, _ := b.End.(*Position)
	s.ends, s.batches = append(s.ends, end), append(s.batches, len(b.Records))
	if s.count {
		s.ends = s.ends[len(s.ends)-1:]
	}
	if !s.hold && end != nil {
		s.stored = end
	}
	stored, on, n := s.stored, s.on, s.n
	s.mu.Unlock()
	b.Release()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	if s.each != nil {
		s.each(n)
	}
	if on != nil && stored != nil {
		on(stored)
	}
	return nil
}

func (s *sink) Stored() record.Position { s.mu.Lock(); defer s.mu.Unlock(); return s.stored }
func (s *sink) Drain(context.Context) error {
	s.mu.Lock()
	s.drained = true
	s.mu.Unlock()
	return nil
}
func (s *sink) Err() <-chan struct{} { return s.dead }
func (s *sink) Cause() error         { return nil }

func (s *sink) records() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recs[:len(s.recs):len(s.recs)] // only ever appended to
}

// wait returns the records once ok says so.
func (s *sink) wait(t *testing.T, what string, ok func([]got) bool) []got {
	t.Helper()
	limit := time.After(patience)
	for {
		rs := s.records()
		if ok(rs) {
			return rs
		}
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("waiting for %s: got %d records, the last: %v", what, len(rs), rs[max(0, len(rs)-5):])
		}
	}
}

func (s *sink) waitN(t *testing.T, n int) []got {
	t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		have := s.n
		s.mu.Unlock()
		if have >= n {
			return s.records()
		}
		select {
		case <-s.changed:
		case <-limit:
			rs := s.records()
			t.Fatalf("waiting for %d records: got %d, the last: %v", n, have, rs[max(0, len(rs)-5):])
		}
	}
}

func render(b *record.Batch, r *record.Record) got {
	g := got{Topic: r.Topic.Name, Key: text(b, r.KeySchema, r.Key), Raw: text(b, r.ValueSchema, r.Value)}
	for _, h := range b.Headers(r) {
		g.Headers += h.Key + "=" + text(b, h.Schema, h.Value) + " "
	}
	child := func(name string) (record.Cell, *record.Schema) {
		i, s := r.ValueSchema.Field(name)
		if i < 0 || r.Value.IsNull() {
			return record.Cell{}, nil
		}
		return b.Child(r.Value, i), s
	}
	get := func(name string) string { c, s := child(name); return text(b, s, c) }
	g.Op, g.Before, g.After, g.Tx = get("op"), get("before"), get("after"), get("transaction")
	if r.Value.IsNull() {
		g.Op = "tombstone"
	}
	if src, s := child("source"); !src.IsNull() {
		m := record.ToGo(b, s, src).(map[string]any)
		g.LSN, _ = m["lsn"].(int64)
		g.TxID, _ = m["txId"].(int64)
		g.Sequence, _ = m["sequence"].(string)
		g.Snapshot, _ = m["snapshot"].(string)
	}
	return g
}

// text prints a value; structs as {field:value}.
func text(b *record.Batch, s *record.Schema, c record.Cell) string {
	if c.IsNull() {
		return "null"
	}
	v := record.ToGo(b, s, c)
	if m, ok := v.(map[string]any); ok {
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		var sb strings.Builder
		sb.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				sb.WriteByte(' ')
			}
			fmt.Fprintf(&sb, "%s:%v", k, m[k])
		}
		return sb.String() + "}"
	}
	return fmt.Sprint(v)
}

// rig is a database and the properties of a connector on it.
type rig struct {
	*testkit.Database
	t     *testing.T
	props map[string]string
}

func newRig(t *testing.T, setup string, more ...string) *rig {
	t.Helper()
	db := testkit.NewDatabase(t, "cap_")
	if setup != "" {
		db.Exec(t, setup)
	}
	p := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "srv", "plugin.name": "pgoutput",
		"database.hostname": db.Host, "database.port": db.Port, "database.user": db.User, "database.password": "x", "database.dbname": db.Name,
		"slot.name": db.Name, "publication.name": db.Name, "snapshot.mode": "no_data", "retriable.restart.connector.wait.ms": "200",
		"status.update.interval.ms": "500",
	}
	for i := 0; i+1 < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return &rig{Database: db, t: t, props: p}
}

// run is a running source.
type run struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
	src  *Source
	sink *sink
}

// start runs a source from an offset until stop, or the end of the test.
func (r *rig) start(offset []byte, out *sink) *run {
	r.t.Helper()
	src, err := NewSource("cap", 0, r.props, testkit.Log(r.t), metrics.New().Task("cap", "0"))
	if err != nil {
		r.t.Fatal(err)
	}
	out.mu.Lock()
	out.on = src.OnStored
	out.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	x := &run{t: r.t, stop: cancel, done: make(chan error, 1), src: src, sink: out}
	up := make(chan struct{})
	go func() { x.done <- src.run(ctx, offset, out, func() { close(up) }) }()
	r.t.Cleanup(func() {
		cancel()
		select {
		case <-x.done:
		case <-time.After(patience):
			r.t.Error("the source did not stop")
		}
	})
	select {
	case <-up:
	case err := <-x.done:
		x.done <- err
	case <-time.After(patience):
		r.t.Fatal("the source did not start")
	}
	return x
}

// end stops the source in order and returns its error.
func (x *run) end() error {
	x.t.Helper()
	x.stop()
	return x.err()
}

// err waits for the source to end by itself.
func (x *run) err() error {
	x.t.Helper()
	select {
	case err := <-x.done:
		x.done <- err
		return err
	case <-time.After(patience):
		x.t.Fatal("the source did not end")
		return nil
	}
}

// one asks the database for one text.
func (r *rig) one(sql string, args ...any) string {
	r.t.Helper()
	var v *string
	if err := r.Connect(r.t).QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func (r *rig) confirmed() LSN {
	l, err := parseLSN([]byte(r.one("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", r.Name)))
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// until waits until ok, for states of the server that announce nothing.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waiting: %s", what)
		}
	}
}

// rows are the data records' keys and values, for comparing runs.
func rows(rs []got) []string {
	var out []string
	for _, r := range rs {
		if r.Op != "tombstone" && strings.HasPrefix(r.Topic, "srv.") {
			out = append(out, r.String())
		}
	}
	return out
}
