package loss

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"millrace/internal/testkit/fault"
)

const oneTable = "create table t (id int primary key, n int, v text)"

// TestRowsThatShareOnePosition: the rows of a COPY or of one INSERT share log
// positions. Debezium (until 2026) resumed behind the position of the last row that
// was stored, so the rest of the group was lost (DBZ-8312, DBZ-9149, dbz#1554).
// Here the offset counts the events within the transaction.
func TestRowsThatShareOnePosition(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data")
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		x := r.start()
		r.cuts(20000+rnd.IntN(40000), func() { r.copy("t", 1500) })
		r.insert("t", 300)
		r.stores(2 + rnd.IntN(5))
		x.kill()
	}
	r.finish()
}

// TestBeginRowAndCommitShareOnePosition: a transaction of one row may have BEGIN,
// row and COMMIT at one position, and the next begins where it ended. Debezium's
// search for the place to go on from dropped such a row (DBZ-5915, DBZ-6204,
// DBZ-7816, dbz#76).
func TestBeginRowAndCommitShareOnePosition(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data", "max.batch.size", "1")
	for range 5 {
		x := r.start()
		for i := range 60 {
			r.insert("t", 1)
			if i%20 == 10 {
				r.pg.Cut()
				r.pg.Mend()
			}
		}
		r.stores(1)
		x.kill()
		for range 5 { // and while it is down
			r.insert("t", 1)
		}
	}
	r.finish()
}

// TestReconnectsRepeatNothing: a connection that is cut, and one that the server
// closes slowly, are opened again within one run, without loss and without repeats.
func TestReconnectsRepeatNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data")
	x := r.start()
	for i := range 8 {
		r.insert("t", 400)
		switch i % 4 {
		case 0:
			r.pg.Cut()
			r.insert("t", 10)
			r.pg.Mend()
		case 1:
			r.pg.Add(fault.Reset, true, map[string]int{"timeout": 0})
			r.insert("t", 10)
			r.pg.Heal()
		case 2:
			r.pg.Add(fault.SlowClose, true, map[string]int{"delay": 300})
			r.exec("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '" + r.db.Name + "'")
			r.pg.Heal()
		case 3:
			r.pg.Add(fault.Latency, true, map[string]int{"latency": 40, "jitter": 30})
			r.kf.Add(fault.Slicer, false, map[string]int{"average_size": 100, "delay": 10})
			r.insert("t", 50)
			r.pg.Heal()
			r.kf.Heal()
		}
		r.stores(1)
	}
	cs := r.end("t")
	if n := contiguous(t, cs, r.n); n > 0 {
		t.Errorf("%d records are repeated", n)
	}
	x.stop()
}

// TestResumePointThatNeverComes: the event that the offset names does not come
// again, because the filters were changed. Debezium skipped until it came: 22 hours
// of data in DBZ-5031. Here skipping ends with the transaction that the offset names.
func TestResumePointThatNeverComes(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable+"; create table other (id int primary key, n int)", "snapshot.mode", "no_data", "max.batch.size", "1")
	x := r.start()
	r.insert("t", 3)
	r.stores(1)
	r.offs.mu.Lock()
	r.offs.limit = r.offs.puts + 8 // the process is gone in the middle of the transaction
	r.offs.mu.Unlock()
	r.exec("begin")
	for range 20 {
		r.insert("t", 1)
		r.exec(fmt.Sprintf("insert into other values (%d, 0)", r.n))
	}
	r.exec("commit")
	r.insert("t", 5)
	r.stores(8)
	x.kill()
	r.offs.limit = 0
	r.props["table.exclude.list"] = "public.other"
	r.insert("t", 5)
	x = r.start()
	r.insert("t", 5)
	contiguous(t, r.end("t"), r.n)
	x.stop()
}

// TestNothingIsConfirmedBeforeItIsStored: Kafka takes the bytes and never answers (a
// half-open connection), then the store of offsets fails. The slot must stay where
// the stored offset is; confirming earlier loses what a crash then takes (DBZ-1766,
// DBZ-1128, flink-cdc #2538).
func TestNothingIsConfirmedBeforeItIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data")
	x := r.start()
	r.insert("t", 100)
	r.stores(1)
	r.kf.Add(fault.Timeout, true, map[string]int{"timeout": 0})
	r.insert("t", 500)
	for range 20 { // the reader reads on and sends its status in between
		r.insert("t", 10)
		if c, s := r.confirmed(), r.storedLSN(); c > s {
			t.Fatalf("the slot is confirmed up to %d, stored is %d", c, s)
		}
	}
	x.kill()
	r.kf.Heal()
	r.offs.limit = r.offs.puts // nothing can be stored any more
	if r.offs.limit > 0 {
		x = r.start()
		at := r.storedLSN()
		r.insert("t", 100)
		r.read("t", func(c change) bool { return c.N == r.n })
		if c := r.confirmed(); c > at {
			t.Fatalf("the slot is confirmed up to %d, stored is %d", c, at)
		}
		x.kill()
	}
	r.offs.limit = 0
	x = r.start()
	cs := r.end("t")
	t.Logf("%d records, %d repeated", len(cs), contiguous(t, cs, r.n))
	x.stop()
}

// TestGapIsAnError: the slot is ahead of the stored offset, as after a failover or
// when somebody advanced or made it anew. PostgreSQL starts silently where the slot
// is, and so does Debezium by default (offset.mismatch.strategy=no_validation,
// DBZ-5739, DBZ-9688). Here it is an error that says what to do, under the default too.
func TestGapIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data")
	x := r.start()
	r.insert("t", 10)
	r.stores(1)
	x.stop()
	r.insert("t", 10)
	r.exec("select pg_replication_slot_advance('" + r.db.Name + "', pg_current_wal_lsn())")
	r.start().fails("would be lost", "offset.mismatch.strategy=trust_slot", "snapshot.mode=when_needed")
	r.exec("select pg_drop_replication_slot('" + r.db.Name + "')")
	r.start().fails("no longer available", "snapshot.mode=when_needed")
	r.exec("select pg_create_logical_replication_slot('" + r.db.Name + "', 'pgoutput')")
	r.start().fails("would be lost")
	// A snapshot mends it.
	r.props["snapshot.mode"] = "when_needed"
	x = r.start()
	seen := map[int]bool{}
	for _, c := range r.end("t") {
		seen[c.ID] = true
	}
	for id := 1; id <= r.n; id++ {
		if !seen[id] {
			t.Errorf("row %d is missing", id)
		}
	}
	x.stop()
}

// TestKeepalivesDoNotPassUnreadChanges: a slow connection, so that much is on its way
// while keepalives come, and a lot of log that is not captured. A keepalive's
// position is of no use while changes before it are unread or unsent (dbz#1489,
// dbz#1605, dbz#1863).
func TestKeepalivesDoNotPassUnreadChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable+"; create table noise (v text)", "snapshot.mode", "no_data", "table.include.list", "public.t", "lsn.flush.mode", "connector_and_driver")
	var made, last uint64
	for range 3 {
		x := r.start()
		r.pg.Add(fault.Bandwidth, true, map[string]int{"rate": 300})
		for range 10 {
			r.insert("t", 100)
			r.exec("insert into noise select repeat('x', 500) from generate_series(1, 100)")
			c, s := r.confirmed(), r.storedLSN()
			if made == 0 {
				made = c // nothing is stored yet
			}
			if c > max(s, made) {
				t.Fatalf("the slot is confirmed up to %d, stored is %d", c, s)
			}
			if c < last {
				t.Fatalf("the slot went back from %d to %d", last, c)
			}
			last = c
		}
		x.kill()
		r.pg.Heal()
	}
	r.finish()
}

// TestLogicalMessages: a restart behind a logical decoding message, inside of a
// transaction and outside, lost the next row (dbz#2058, dbz#1379).
func TestLogicalMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data", "max.batch.size", "1")
	for i := range 6 {
		x := r.start()
		r.exec("begin; select pg_logical_emit_message(true, 'p', 'first')")
		r.insert("t", 1)
		r.exec("select pg_logical_emit_message(true, 'p', 'inside')")
		r.exec("select pg_logical_emit_message(false, 'p', 'through')")
		r.insert("t", 1)
		r.exec("commit")
		r.exec("select pg_logical_emit_message(false, 'p', 'last')")
		r.stores(1 + i%4)
		x.kill()
		r.insert("t", 1)
	}
	r.finish()
}

// TestKeyChangeAtTheEndOfATransaction: the delete, tombstone and create of a key
// change that is the last of its transaction, split by a crash at every place
// (DBZ-8594, DBZ-2329).
func TestKeyChangeAtTheEndOfATransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneTable, "snapshot.mode", "no_data", "max.batch.size", "1")
	const rounds = 8
	for i := range rounds {
		x := r.start()
		r.exec("begin")
		r.insert("t", 2)
		r.exec(fmt.Sprintf("update t set id = %d, n = %d where id = %d", 1000+i, r.n+1, r.n))
		r.n++
		r.exec("commit")
		r.stores(1 + i%4)
		x.kill()
	}
	x := r.start()
	cs := r.end("t")
	contiguous(t, cs, r.n)
	deleted, created := map[int]bool{}, map[int]bool{}
	for _, c := range cs {
		deleted[c.ID] = deleted[c.ID] || c.Op == "d"
		created[c.ID] = created[c.ID] || c.Op == "c"
	}
	for i := range rounds {
		if old := 3*i + 2; !deleted[old] || !created[1000+i] {
			t.Errorf("key change %d: old key deleted %v, new key created %v", i, deleted[old], created[1000+i])
		}
	}
	x.stop()
}
