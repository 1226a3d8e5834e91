package mysql

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A restart by file and position in the middle of a transaction must not lose the
// transaction's GTID: the statements recorded behind it would seem to lie before a
// place that they lie behind, and be applied from the history and from the log.
func TestHistoryAfterRestartByFile(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.props["max.batch.size"], r.props["max.queue.size"] = "2", "8"
		r.props["gtid.ignore.on.recovery"] = "true"
		r.exec("create table a (id int primary key, v varchar(20))")
		first := newSink()
		x := r.start(nil, first)
		r.streaming(first)
		r.exec("begin; insert into a values (1,'x'),(2,'x'),(3,'x'),(4,'x'),(5,'x'); commit")
		first.wait(t, 5)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		inside := first.inside(t)
		behind := first.last()
		r.exec("alter table a add c int; insert into a values (6, 'more', 1); alter table a add d int; insert into a values (7, 'last', 1, 2)")
		again := newSink()
		y := r.start(inside.offset, again) // records the statement a first time
		all := texts(again.wait(t, 5-inside.records+2))
		if err := y.end(); err != nil {
			t.Fatal(err)
		}
		rest := newSink()
		z := r.start(behind, rest)
		if got := texts(rest.wait(t, 2)); !slices.Equal(got, all[len(all)-2:]) || got[0] != "a c {id:6} {c:1 id:6 v:more}" {
			t.Errorf("behind the transaction: %q", got)
		}
		if err := z.end(); err != nil {
			t.Error(err)
		}
		// The place of all three is one, however it was reached.
		if a, b := offsetOf(t, again.last()), offsetOf(t, rest.last()); r.flavor == MySQL && a.GTIDs != b.GTIDs {
			t.Errorf("GTIDs by the two ways: %s and %s", a.GTIDs, b.GTIDs)
		}
	})
}

// inside is a stored place in the middle of a transaction.
func (s *sink) inside(t *testing.T) end {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ends {
		if offsetOf(t, e.offset).Row > 0 && e.records < len(s.recs) {
			return e
		}
	}
	t.Fatal("no place within a transaction was stored")
	return end{}
}

func offsetOf(t *testing.T, stored []byte) *Position {
	t.Helper()
	p, err := ParseOffset(stored)
	if err != nil || p == nil {
		t.Fatalf("offset %s: %v", stored, err)
	}
	return p
}

// An entry of the history that nobody can read does not hide the others, and what it
// said of a table is made up for by the catalog.
func TestCorruptHistory(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		at := r.stopped("create table a (id int primary key); create table b (id int primary key)")
		out := newSink()
		x := r.start(at, out)
		r.exec("alter table a add v int; insert into a values (1, 1); alter table b add w int; insert into b values (1, 1)")
		out.wait(t, 2)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		path := r.props["schema.history.internal.file.filename"]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, l := range lines {
			if strings.Contains(l, "alter table a add v int") {
				lines[i] = l[:len(l)/2] + "\n\x00\x00" // a write that was torn
			}
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		r.exec("insert into a values (2, 2); insert into b values (2, 2)")
		r.expect(out.last(), "a c {id:2} {id:2 v:2}", "b c {id:2} {id:2 w:2}")
	})
}
