package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/capture"
)

const signalTable = "create table sig(id varchar(42) primary key, type varchar(32) not null, data varchar(2048));"

func (r *rig) signal(id, kind, data string) {
	r.t.Helper()
	r.Exec(r.t, fmt.Sprintf("insert into sig values ('%s', '%s', '%s')", id, kind, data))
}

// state applies data records as a consumer would: the last one of a key wins.
func state(rs []got, table string) map[string]string {
	m := map[string]string{}
	for _, g := range rs {
		if g.Topic != "srv.public."+table || g.Op == "tombstone" {
			continue
		}
		if g.Op == "d" {
			delete(m, g.Key)
		} else {
			m[g.Key] = g.After
		}
	}
	return m
}

// TestIncrementalUnderWrites takes an incremental snapshot of a table that a
// connector has never seen, under writers that insert, update, delete and change
// keys, while the connection is killed now and then. In the end the consumer's
// view equals the table.
func TestIncrementalUnderWrites(t *testing.T) {
	for _, mode := range []string{"insert_insert", "insert_delete", "read.only"} {
		t.Run(mode, func(t *testing.T) {
			more := []string{"incremental.snapshot.chunk.size", "50", "signal.poll.interval.ms", "100"}
			file := filepath.Join(t.TempDir(), "signals.json")
			if mode == "read.only" {
				more = append(more, "read.only", "true", "signal.enabled.channels", "file", "signal.file", file)
			} else {
				more = append(more, "signal.data.collection", "public.sig", "incremental.snapshot.watermarking.strategy", mode)
			}
			r := newRig(t, signalTable+"create table a(id int primary key, v text); insert into a select g*10, 'old' from generate_series(1, 1000) g", more...)
			out := newSink()
			x := r.start(nil, out)
			request := `{"data-collections": ["public.a"], "type": "incremental"}`
			if mode == "read.only" {
				if err := os.WriteFile(file, []byte(`{"id":"s1","type":"execute-snapshot","data":`+request+"}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				r.signal("s1", "execute-snapshot", request)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for w := range 2 {
				c := r.Connect(t)
				rnd := rand.New(rand.NewPCG(uint64(w), 7))
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						time.Sleep(time.Duration(rnd.IntN(6)) * time.Millisecond) // a slow machine's connector must be able to follow
						k := 1 + rnd.IntN(10000)
						sql := fmt.Sprintf("insert into a values (%d, 'w%d-%d') on conflict (id) do update set v = excluded.v", k, w, i)
						switch rnd.IntN(4) {
						case 0:
							sql = fmt.Sprintf("delete from a where id = %d", k/10*10)
						case 1:
							sql = fmt.Sprintf("update a set id = %d where id = %d and not exists (select from a where id = %[1]d)", k, k/10*10)
						}
						if _, err := c.Exec(t.Context(), sql); err != nil && !strings.Contains(err.Error(), "duplicate key") {
							t.Error(err)
							return
						}
					}
				})
			}
			c := r.Connect(t)
			for range 3 {
				select {
				case <-time.After(300 * time.Millisecond):
				case <-t.Context().Done():
				}
				if _, err := c.Exec(t.Context(), "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1", r.Name); err != nil {
					t.Fatal(err)
				}
			}
			done := func() bool { return !strings.Contains(string(out.last().Offset()), capture.OffsetIncrementalList) }
			until(t, "the snapshot to end", func() bool { return out.snapshotRows() > 0 && done() })
			cancel()
			wg.Wait()
			r.Exec(t, "insert into a values (0, 'end')")
			rs := out.wait(t, "the end", func(rs []got) bool { return strings.Contains(rs[len(rs)-1].After, "v:end") })
			if err := x.end(); err != nil {
				t.Fatal(err)
			}
			have := state(rs, "a")
			rows, err := c.Query(t.Context(), "select id, v from a")
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for rows.Next() {
				var id int
				var v string
				if err := rows.Scan(&id, &v); err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprintf("{id:%d}", id)] = fmt.Sprintf("{id:%d v:%s}", id, v)
			}
			bad := 0
			for k, v := range want {
				if have[k] != v {
					if bad++; bad < 5 {
						t.Errorf("%s: the consumer has %q, the table %q", k, have[k], v)
					}
				}
			}
			for k, v := range have {
				if _, ok := want[k]; !ok {
					if bad++; bad < 5 {
						t.Errorf("%s: the consumer has %q, the table nothing", k, v)
						for i, g := range rs {
							if g.Key == k {
								t.Logf("record %d: %s tx %d lsn %d snapshot %q sequence %s", i, g, g.TxID, g.LSN, g.Snapshot, g.Sequence)
							}
						}
					}
				}
			}
			t.Logf("%d rows, %d records, %d of the snapshot", len(want), len(rs), out.snapshotRows())
		})
	}
}

func (s *sink) last() *Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ends) == 0 {
		return &Position{}
	}
	return s.ends[len(s.ends)-1]
}

func (s *sink) snapshotRows() int {
	n := 0
	for _, g := range s.records() {
		if g.Snapshot == "incremental" {
			n++
		}
	}
	return n
}

// TestIncrementalResumes stops behind each batch and goes on from its offset: the
// rows that were emitted are not read again, the others are.
func TestIncrementalResumes(t *testing.T) {
	r := newRig(t, signalTable+"create table a(id bigint primary key); insert into a select generate_series(1, 25); create table b(k1 text, k2 int, primary key (k1, k2)); insert into b select chr(65 + g % 5), g from generate_series(1, 12) g",
		"signal.data.collection", "public.sig", "incremental.snapshot.chunk.size", "4")
	out := newSink()
	x := r.start(nil, out)
	r.signal("s1", "execute-snapshot", `{"data-collections": ["public.a", "public.b"]}`)
	until(t, "the snapshot", func() bool { return out.snapshotRows() == 37 })
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	total := 0
	var mid *Position
	at := 0
	for i, n := range out.batches {
		total += n
		if p := out.ends[i]; len(p.Extra) > 0 && total > 20 && mid == nil {
			mid, at = p, total
		}
	}
	before := 0
	for _, g := range out.recs[:at] {
		if g.Snapshot == "incremental" {
			before++
		}
	}
	t.Logf("resuming behind %d rows with %s", before, mid.Offset())
	// The slot has moved on; what the offset needs of it is the snapshot's state only.
	end := *out.last()
	end.Extra = mid.Extra
	again := newSink()
	y := r.start(end.Offset(), again)
	until(t, "the rest", func() bool { return again.snapshotRows() >= 37-before })
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, g := range append(out.recs[:at:at], again.recs...) {
		if g.Snapshot == "incremental" {
			keys = append(keys, g.Topic+g.Key)
		}
	}
	if n := len(keys); n != 37 {
		t.Errorf("%d rows came: %v", n, keys)
	}
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); n != 37 {
		t.Errorf("%d of 37 rows came", n)
	}
}

func TestIncrementalKeys(t *testing.T) {
	r := newRig(t, signalTable+`create type col as enum ('red', 'green', 'blue');
		create table n(u int unique, v text); insert into n values (3,'a'),(null,'b'),(1,'c'),(null,'d'),(2,'e');
		create table k(c col, x char(3), t timestamptz, primary key (c, x, t)); insert into k select (array['blue','red','green'])[1 + g % 3]::col, 'k' || g % 2, '2026-01-01'::timestamptz + g * interval '1 hour 1.5 s' from generate_series(1, 9) g;
		create table nokey(a int, b text); insert into nokey select g, 'x' from generate_series(1, 7) g;
		create table gen(id int primary key, g int generated always as (id * 2) stored); insert into gen(id) values (1),(2),(3)`,
		"signal.data.collection", "public.sig", "incremental.snapshot.chunk.size", "2")
	out := newSink()
	r.start(nil, out)
	for table, n := range map[string]int{"n": 5, "k": 9, "nokey": 7, "gen": 3} {
		before := out.snapshotRows()
		surrogate := ""
		if table == "nokey" {
			surrogate = `, "surrogate-key": "a"`
		}
		r.signal("s-"+table, "execute-snapshot", `{"data-collections": ["public.`+table+`"]`+surrogate+`}`)
		until(t, "the rows of "+table, func() bool { return out.snapshotRows() >= before+n })
	}
}

func TestBlockingSnapshot(t *testing.T) {
	r := newRig(t, signalTable+"create table a(id int primary key); create table b(id int primary key)", "signal.data.collection", "public.sig", "notification.enabled.channels", "log")
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into a select generate_series(1,3); insert into b values (1)")
	r.signal("s1", "execute-snapshot", `{"data-collections": ["public.a"], "type": "blocking", "additional-conditions": [{"data-collection": "public.a", "filter": "id > 1"}]}`)
	r.Exec(t, "insert into a values (4)")
	rs := out.wait(t, "the row behind", func(rs []got) bool { return len(rs) > 0 && rs[len(rs)-1].After == "{id:4}" && rs[len(rs)-1].Op == "c" })
	var snap []string
	var signal got
	for _, g := range rs {
		switch {
		case strings.HasSuffix(g.Topic, ".sig"):
			signal = g
		case g.Op == "r":
			snap = append(snap, g.After+g.Snapshot)
			if g.TxID != signal.TxID || g.LSN < signal.LSN {
				t.Errorf("%s: transaction %d at %d, the stream was at %d of %d", g, g.TxID, g.LSN, signal.TxID, signal.LSN)
			}
		}
	}
	if len(snap) < 2 || snap[0] != "{id:2}first" || !strings.HasSuffix(snap[len(snap)-1], "last") {
		t.Error(snap)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if o := string(out.last().Offset()); strings.Contains(o, "BLOCKING") {
		t.Error(o)
	}
}

// TestBlockingSnapshotBegunAnew ends a task in the midst of a blocking snapshot: the
// next one takes it from the start, and only once.
func TestBlockingSnapshotBegunAnew(t *testing.T) {
	r := newRig(t, signalTable+"create table a(id int primary key)", "signal.data.collection", "public.sig", "max.batch.size", "50")
	r.Exec(t, "insert into a select generate_series(1, 500)")
	out := newSink()
	out.stopAt = 120
	x := r.start(nil, out)
	r.signal("s1", "execute-snapshot", `{"data-collections": ["public.a"], "type": "blocking"}`)
	out.waitN(t, 120)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	offset := out.last().Offset()
	if o := string(offset); !strings.Contains(o, keySignals) {
		t.Fatalf("offset in a blocking snapshot: %s", o)
	}
	again := newSink()
	y := r.start(offset, again)
	again.wait(t, "the last row", func(rs []got) bool { return len(rs) > 0 && rs[len(rs)-1].Snapshot == "last" })
	r.Exec(t, "insert into a values (501)")
	rs := again.wait(t, "the row behind", func(rs []got) bool { return rs[len(rs)-1].After == "{id:501}" })
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, g := range rs {
		seen[g.Key]++
	}
	if len(seen) != 501 || len(rs) != 501 {
		t.Errorf("%d records of %d rows", len(rs), len(seen))
	}
	if o := string(again.last().Offset()); strings.Contains(o, keySignals) || strings.Contains(o, "BLOCKING") {
		t.Errorf("offset behind it: %s", o)
	}
}
