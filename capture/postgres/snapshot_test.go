package postgres

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSnapshotThenStream(t *testing.T) {
	r := newRig(t, `create schema zzz; create table a(id int primary key, v text); create table b(id int primary key, v text); create table zzz.last(id int primary key, v text);
		insert into a values (1,'a1'),(2,E'a\t2\\N'),(3,null); insert into b values (1,'b1'); insert into zzz.last values (1,'l1'),(2,'l2')`, "snapshot.mode", "initial")
	out := newSink()
	x := r.start(nil, out)
	out.waitN(t, 6)
	r.Exec(t, "insert into a values (4,'a4')")
	rs := out.waitN(t, 7)
	want := []string{
		"a r {id:1} {id:1 v:a1} first", "a r {id:2} {id:2 v:a\t2\\N} true", "a r {id:3} {id:3 v:<nil>} last_in_data_collection",
		"b r {id:1} {id:1 v:b1} last_in_data_collection", "last r {id:1} {id:1 v:l1} first_in_data_collection", "last r {id:2} {id:2 v:l2} last",
		"a c {id:4} {id:4 v:a4}",
	}
	for i, w := range want {
		if got := strings.TrimSpace(rs[i].String() + " " + rs[i].Snapshot); got != w {
			t.Errorf("record %d: got %q, want %q", i, got, w)
		}
	}
	if s := rs[0].Sequence; s != fmt.Sprintf(`[null,"%d"]`, rs[0].LSN) || rs[0].TxID == 0 {
		t.Errorf("sequence of a snapshot row: %s, txId %d", s, rs[0].TxID)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	var done *Position
	for _, p := range out.ends {
		if p.Snapshot != "" {
			done = p
		}
	}
	if o := string(done.Offset()); !strings.Contains(o, `"snapshot":"INITIAL","snapshot_completed":true}`) {
		t.Errorf("offset behind the snapshot: %s", o)
	}
	// A restart takes no second snapshot.
	again := newSink()
	y := r.start(out.Stored().Offset(), again)
	r.Exec(t, "insert into a values (5,'a5')")
	if rs := again.waitN(t, 1); rs[0].After != "{id:5 v:a5}" {
		t.Errorf("after the restart: %v", rs)
	}
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotUnderWrites writes while snapshots are taken, over a slot that is
// made for them and over one that was there before, and wants the last state of
// every row, and every row that was written once, exactly once.
func TestSnapshotUnderWrites(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprintf("slot there before: %t", before), func(t *testing.T) {
			r := newRig(t, "create table a(id serial primary key, v text); insert into a(v) select 'old' from generate_series(1, 20000)", "snapshot.mode", "initial")
			if before {
				r.Exec(t, fmt.Sprintf("create publication %s for all tables", r.Name))
				r.one("select pg_create_logical_replication_slot($1, 'pgoutput')::text", r.Name)
				r.Exec(t, "insert into a(v) select 'between' from generate_series(1, 100)")
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for w := range 2 {
				c := r.Connect(t)
				wg.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := c.Exec(t.Context(), "insert into a(v) values ($1)", fmt.Sprintf("w%d-%d", w, i)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			out := newSink()
			x := r.start(nil, out)
			out.wait(t, "the snapshot and some rows behind it", func(rs []got) bool {
				n := 0
				for _, g := range rs {
					if g.Op == "c" {
						n++
					}
				}
				return n > 200
			})
			close(stop)
			wg.Wait()
			r.Exec(t, "insert into a(v) values ('end')")
			rs := out.wait(t, "the end", func(rs []got) bool { return strings.Contains(rs[len(rs)-1].After, "v:end") })
			if err := x.end(); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, g := range rs {
				seen[g.Key]++
			}
			for k, n := range seen {
				if n != 1 {
					t.Errorf("row %s came %d times", k, n)
				}
			}
			if want := r.one("select count(*)::text from a"); fmt.Sprint(len(seen)) != want {
				t.Errorf("%d rows came, the table has %s", len(seen), want)
			}
		})
	}
}

func TestSnapshotModes(t *testing.T) {
	setup := "create table a(id int primary key); insert into a values (1)"
	t.Run("initial_only", func(t *testing.T) {
		r := newRig(t, setup, "snapshot.mode", "initial_only")
		out := newSink()
		x := r.start(nil, out)
		out.waitN(t, 1)
		if n := r.one("select count(*)::text from pg_replication_slots where slot_name = $1", r.Name); n != "0" {
			t.Error("initial_only made a slot")
		}
		if err := x.end(); err != nil || !out.drained {
			t.Fatal(err, out.drained)
		}
	})
	t.Run("unfinished is taken anew", func(t *testing.T) {
		r := newRig(t, setup, "snapshot.mode", "initial")
		out := newSink()
		r.start([]byte(`{"last_snapshot_record":false,"lsn":1,"snapshot":"INITIAL","snapshot_completed":false}`), out)
		if rs := out.waitN(t, 1); rs[0].Snapshot != "last" {
			t.Error(rs)
		}
	})
	t.Run("always", func(t *testing.T) {
		r := newRig(t, setup, "snapshot.mode", "always")
		out := newSink()
		x := r.start(nil, out)
		out.waitN(t, 1)
		r.Exec(t, "insert into a values (2)")
		out.waitN(t, 2)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		r.Exec(t, "insert into a values (3)")
		again := newSink()
		r.start(out.Stored().Offset(), again)
		again.waitN(t, 3)
		r.Exec(t, "insert into a values (4)")
		if got := rows(again.waitN(t, 4)); !slices.Equal(got, []string{"a r {id:1} {id:1}", "a r {id:2} {id:2}", "a r {id:3} {id:3}", "a c {id:4} {id:4}"}) {
			t.Error(got)
		}
	})
	t.Run("override and column lists", func(t *testing.T) {
		r := newRig(t, "create table t(id int primary key, a text, b text default 'bd', c int not null); insert into t values (1,'a','b',1),(2,'x','y',2)", "snapshot.mode", "initial",
			"snapshot.select.statement.overrides", "public.t", "snapshot.select.statement.overrides.public.t", "select id, a, c from public.t where id = 1;", "column.exclude.list", "public\\.t\\.a")
		out := newSink()
		r.start(nil, out)
		out.waitN(t, 1)
		r.Exec(t, "insert into t values (3,'a','b',3)")
		if got := rows(out.waitN(t, 2)); !slices.Equal(got, []string{"t r {id:1} {b:<nil> c:1 id:1}", "t c {id:3} {b:b c:3 id:3}"}) {
			t.Error(got)
		}
	})
}

// TestSnapshotSpeed reads a table of ten columns: at least 200,000 rows a second
// are wanted, on a machine that does nothing else.
func TestSnapshotSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	const n = 200000
	r := newRig(t, `create table orders(id bigserial primary key, customer_id int not null, status varchar(20) not null, amount numeric(12,2) not null,
		note text, placed_at timestamptz not null default now(), ship_on date, qty smallint not null, weight double precision, gift boolean not null);
		insert into orders(customer_id, status, amount, note, ship_on, qty, weight, gift)
		select i % 1000, 'shipped', i * 1.37, 'some note ' || i, '2026-11-21', i % 100, i * 0.5, i % 2 = 0 from generate_series(1, `+fmt.Sprint(n)+`) i`, "snapshot.mode", "initial")
	out := newSink()
	out.count = true
	began := time.Now()
	r.start(nil, out)
	until(t, "the snapshot", func() bool { out.mu.Lock(); defer out.mu.Unlock(); return out.n >= n })
	t.Logf("%d rows/s", int(n/time.Since(began).Seconds()))
}

// TestParallelSnapshot reads one large table over three connections under writers:
// every row of the moment once, none of later.
func TestParallelSnapshot(t *testing.T) {
	r := newRig(t, "create table a(id int primary key, v text, w int); insert into a select g, repeat('x', 100), 0 from generate_series(1, 20000) g; create table b(id int primary key); insert into b values (1)",
		"snapshot.mode", "initial", "snapshot.max.threads", "3", "snapshot.max.threads.multiplier", "4")
	out := newSink()
	done := make(chan struct{})
	c := r.Connect(t)
	go func() {
		defer close(done)
		for i := range 200 {
			if _, err := c.Exec(t.Context(), "update a set w = w + 1 where id % 200 = $1", i); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	x := r.start(nil, out)
	<-done
	r.Exec(t, "insert into b values (2)")
	rs := out.wait(t, "the end", func(rs []got) bool { return len(rs) > 0 && rs[len(rs)-1].After == "{id:2}" })
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	seen, first, lastInTable := map[string]int{}, 0, 0
	for i, g := range rs {
		if g.Op != "r" {
			continue
		}
		seen[g.Topic+g.Key]++
		if g.Snapshot == "first" && i == 0 {
			first++
		}
		if g.Snapshot == "last_in_data_collection" {
			lastInTable++
		}
	}
	if len(seen) != 20001 || first != 1 || lastInTable != 1 {
		t.Errorf("%d rows, %d first, %d last in a table", len(seen), first, lastInTable)
	}
	for k, n := range seen {
		if n != 1 {
			t.Fatalf("row %s came %d times", k, n)
		}
	}
	for k, v := range state(rs, "a") {
		if !strings.HasSuffix(v, "w:1}") {
			t.Fatalf("row %s ends as %s", k, v[len(v)-10:])
		}
	}
}
