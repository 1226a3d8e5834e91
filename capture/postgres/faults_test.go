package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/errs"
)

// TestKilledWalsender kills the server's side of the stream again and again under
// a writer: the rows come once each and in order, over one running pipeline.
func TestKilledWalsender(t *testing.T) {
	r := newRig(t, "create table a(id serial primary key, v text)")
	out := newSink()
	x := r.start(nil, out)
	c := r.Connect(t)
	const n = 400
	for i := range n {
		// Some transactions have many rows, so that a kill hits the inside of one.
		if _, err := c.Exec(t.Context(), "insert into a(v) select 'x' from generate_series(1, $1)", 1+(i%40)*(i%40)/4); err != nil {
			t.Fatal(err)
		}
		if i%50 == 25 {
			if _, err := c.Exec(t.Context(), "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1", r.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	total := r.one("select count(*)::text from a")
	count, err := strconv.Atoi(total)
	if err != nil {
		t.Fatal(err)
	}
	rs := out.waitN(t, count)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	for i, g := range rs {
		if want := fmt.Sprintf("{id:%d}", i+1); g.Key != want {
			t.Fatalf("record %d is %s, want %s", i, g.Key, want)
		}
	}
	if fmt.Sprint(len(rs)) != total {
		t.Errorf("%d records of %s rows", len(rs), total)
	}
}

// TestKillInsideCopy restarts a source from every stored offset while the walsender
// is killed in the midst of a COPY whose rows share LSNs.
func TestKillInsideCopy(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)", "max.batch.size", "100")
	out := newSink()
	out.hold = true
	x := r.start(nil, out)
	c := r.Connect(t)
	var sb strings.Builder
	for i := range 5000 {
		fmt.Fprintln(&sb, i)
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(sb.String()), "copy a from stdin"); err != nil {
		t.Fatal(err)
	}
	out.waitN(t, 500)
	if _, err := c.Exec(t.Context(), "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1", r.Name); err != nil {
		t.Fatal(err)
	}
	rs := out.waitN(t, 5000)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	for i, g := range rs {
		if want := fmt.Sprintf("{id:%d}", i); g.Key != want {
			t.Fatalf("record %d is %s", i, g.Key)
		}
	}
	// A new process goes on from an offset in the middle.
	k := len(out.ends) / 2
	at := 0
	for _, n := range out.batches[:k+1] {
		at += n
	}
	rest := newSink()
	y := r.start(out.ends[k].Offset(), rest)
	rs = rest.waitN(t, 5000-at)
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	if rs[0].Key != fmt.Sprintf("{id:%d}", at) || len(rs) != 5000-at {
		t.Errorf("resumed behind %d rows with %s: %d rows from %s", at, out.ends[k].Offset(), len(rs), rs[0].Key)
	}
}

// fails starts a source that must end with an error that names the words.
func (r *rig) fails(offset string, words ...string) *errs.Error {
	r.t.Helper()
	var o []byte
	if offset != "" {
		o = []byte(offset)
	}
	err := r.start(o, newSink()).err()
	var e *errs.Error
	if !errors.As(err, &e) {
		r.t.Fatalf("got %v, want an error with an answer", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.t.Errorf("%q does not say %q", err, w)
		}
	}
	return e
}

func TestGapsAreErrors(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)")
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into a values (1)")
	out.waitN(t, 1)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	offset := string(out.Stored().Offset())
	r.Exec(t, "insert into a values (2)")

	// The slot was moved on by someone else.
	r.one("select pg_replication_slot_advance($1, pg_current_wal_lsn())::text", r.Name)
	r.fails(offset, "would be lost", "trust_slot", r.Name)

	// The user accepts it.
	r.props["offset.mismatch.strategy"] = "trust_slot"
	again := newSink()
	y := r.start([]byte(offset), again)
	r.Exec(t, "insert into a values (3)")
	if got := rows(again.waitN(t, 1)); !slices.Equal(got, []string{"a c {id:3} {id:3}"}) {
		t.Error(got)
	}
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	delete(r.props, "offset.mismatch.strategy")
	offset = string(again.Stored().Offset())

	// The slot is gone.
	r.one("select pg_drop_replication_slot($1)::text", r.Name)
	r.fails(offset, "does not exist any more", "snapshot.mode=when_needed")
	// Another server's offset.
	r.one("select pg_create_logical_replication_slot($1, 'pgoutput')::text", r.Name)
	r.fails(`{"lsn_proc":4611686018427387904,"messageType":"COMMIT","lsn_commit":4611686018427387904,"lsn":4611686018427387904,"txId":1,"ts_usec":1}`, "beyond the end of the server's log")

	// when_needed takes a snapshot instead.
	r.props["snapshot.mode"] = "when_needed"
	third := newSink()
	r.start([]byte(offset), third)
	if got := rows(third.waitN(t, 3)); len(got) != 3 || !strings.HasPrefix(got[0], "a r {id:1}") {
		t.Error(got)
	}
}

func TestStartErrors(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)", "errors.max.retries", "0", "slot.max.retries", "1", "slot.retry.delay.ms", "50")
	for _, c := range []struct{ key, value, word string }{
		{"publication.autocreate.mode", "disabled", "CREATE PUBLICATION"},
		{"database.dbname", "no_such_db", "database.dbname"},
		{"database.port", "1", "127.0.0.1:1"},
	} {
		old := r.props[c.key]
		r.props[c.key] = c.value
		r.fails("", c.word)
		if r.props[c.key] = old; old == "" {
			delete(r.props, c.key)
		}
	}
	r.one("select pg_create_logical_replication_slot($1, 'pgoutput', false, true)::text", r.Name)
	r.fails("", "two_phase", "pg_drop_replication_slot")
	r.one("select pg_drop_replication_slot($1)::text", r.Name)
	x := r.start(nil, newSink())
	until(t, "the first source streams", func() bool {
		return r.one("select active::text from pg_replication_slots where slot_name = $1", r.Name) == "true"
	})
	r.fails("", "in use by another session", "slot.name")
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
}

// TestIdleAndFiltered: neither an idle connector nor one whose tables do not
// change keeps the log of the server, and what is confirmed was stored before.
func TestIdleAndFiltered(t *testing.T) {
	r := newRig(t, "create table a(id int primary key); create table b(id int)", "table.include.list", "public.a")
	out := newSink()
	x := r.start(nil, out)
	until(t, "streaming", func() bool {
		return r.one("select active::text from pg_replication_slots where slot_name = $1", r.Name) == "true"
	})
	for range 3 {
		r.Exec(t, "insert into b select generate_series(1,1000)")
		at, err := parseLSN([]byte(r.one("select pg_current_wal_lsn()::text")))
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the slot follows filtered changes", func() bool { return r.confirmed() >= at })
		if stored := out.Stored().(*Position); stored.Commit < r.confirmed() {
			t.Fatalf("confirmed %s, but stored only %s", r.confirmed(), stored.Commit)
		}
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if len(out.records()) != 0 {
		t.Error(out.records())
	}
	// Nothing was lost by it.
	r.Exec(t, "insert into a values (1)")
	again := newSink()
	r.start(out.Stored().Offset(), again)
	again.waitN(t, 1)
}

func TestManualFlushNeverMovesTheSlot(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)", "lsn.flush.mode", "manual")
	out := newSink()
	x := r.start(nil, out)
	at := r.confirmed()
	r.Exec(t, "insert into a values (1)")
	out.waitN(t, 1)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if r.confirmed() != at {
		t.Errorf("the slot went from %s to %s", at, r.confirmed())
	}
	again := newSink()
	r.start(out.Stored().Offset(), again)
	r.Exec(t, "insert into a values (2)")
	if got := rows(again.waitN(t, 1)); got[0] != "a c {id:2} {id:2}" {
		t.Error(got)
	}
}

// TestNothingConfirmedBeforeStored holds storing back and looks at the slot.
func TestNothingConfirmedBeforeStored(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)")
	out := newSink()
	out.hold = true
	x := r.start(nil, out)
	at := r.confirmed()
	r.Exec(t, "insert into a values (1)")
	out.waitN(t, 1)
	status := time.NewTimer(1200 * time.Millisecond) // two status updates
	<-status.C
	if r.confirmed() != at {
		t.Fatalf("the slot went to %s with nothing stored", r.confirmed())
	}
	out.mu.Lock()
	last := out.ends[len(out.ends)-1]
	out.stored = last
	out.mu.Unlock()
	x.src.OnStored(last)
	until(t, "the slot follows the stored position", func() bool { return r.confirmed() == last.Commit })
}

func TestSlotDroppedOnStop(t *testing.T) {
	r := newRig(t, "create table a(id int primary key)", "slot.drop.on.stop", "true")
	x := r.start(nil, newSink())
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if n := r.one("select count(*)::text from pg_replication_slots where slot_name = $1", r.Name); n != "0" {
		t.Error("the slot is still there")
	}
}
