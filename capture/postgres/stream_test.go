package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestStreamBasics(t *testing.T) {
	r := newRig(t, "create table c(id serial primary key, name varchar(20) not null, note text default 'none')")
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into c(name) values ('Anne')")
	r.Exec(t, "update c set note = 'x' where id = 1")
	r.Exec(t, "update c set id = 20 where id = 1")
	r.Exec(t, "delete from c where id = 20")
	r.Exec(t, "begin; insert into c(name) values ('a'); insert into c(name) values ('b'); commit")
	rs := out.waitN(t, 9)
	want := []string{
		"c c {id:1} {id:1 name:Anne note:none}",
		"c u {id:1} {id:1 name:Anne note:x}",
		"c d {id:1} null",
		"c tombstone {id:1} null",
		"c c {id:20} {id:20 name:Anne note:x}",
		"c d {id:20} null",
		"c tombstone {id:20} null",
		"c c {id:2} {id:2 name:a note:none}",
		"c c {id:3} {id:3 name:b note:none}",
	}
	for i, w := range want {
		if rs[i].String() != w {
			t.Errorf("record %d: got %s, want %s", i, rs[i], w)
		}
	}
	if !strings.Contains(rs[2].Headers, "__debezium.newkey={id:20} __debezium.context.connectorLogicalName=srv ") || rs[2].Headers != rs[3].Headers {
		t.Errorf("headers of a key change: %s / %s", rs[2].Headers, rs[3].Headers)
	}
	if !strings.HasPrefix(rs[4].Headers, "__debezium.oldkey={id:1} ") {
		t.Errorf("headers of the create: %s", rs[4].Headers)
	}
	if rs[7].TxID != rs[8].TxID || rs[7].LSN >= rs[8].LSN {
		t.Errorf("one transaction: %+v %+v", rs[7], rs[8])
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	end := out.ends[len(out.ends)-1]
	if end.Type != msgCommit || end.Proc != end.Commit || r.confirmed() != end.Commit {
		t.Errorf("after a clean stop the slot is at %s, the offset says %s", r.confirmed(), end.Offset())
	}
}

// TestStopAnywhere stops the source behind each batch in turn (of one record
// each), resumes from the offset that was stored by then, and wants the rest
// without a gap and without a repeat: within a transaction, within rows that share
// one LSN, behind logical messages inside and outside of transactions.
func TestStopAnywhere(t *testing.T) {
	r := newRig(t, "create table a(id int primary key, v text); create table b(id int primary key)", "max.batch.size", "1", "provide.transaction.metadata", "true")
	first := newSink()
	first.hold = true // nothing is ever confirmed, so the slot can be read again
	x := r.start(nil, first)
	c := r.Connect(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	exec("insert into a values (1,'x')")
	exec("begin; insert into a values (2,'x'); insert into b values (1); select pg_logical_emit_message(false,'p','plain'); insert into a values (3,'y'); commit")
	if _, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader("10\tc\n11\tc\n12\tc\n13\tc\n"), "copy a from stdin"); err != nil {
		t.Fatal(err)
	}
	exec("begin; select pg_logical_emit_message(true,'p','inside'); update a set id = 30 where id = 3; commit")
	exec("select pg_logical_emit_message(false,'p','last')")
	exec("insert into b values (99)")
	all := first.wait(t, "the last row", func(rs []got) bool {
		return len(rs) > 1 && strings.Contains(rs[len(rs)-1].Raw, "END") && strings.Contains(rs[len(rs)-2].Key, "99")
	})
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	want := plain(all)
	lsn := map[int64]int{}
	for _, g := range all {
		if g.Op == "c" && g.Topic == "srv.public.a" {
			lsn[g.LSN]++
		}
	}
	shared := 0
	for _, n := range lsn {
		shared = max(shared, n)
	}
	if shared < 4 {
		t.Fatalf("COPY should have put rows at one LSN: %v", lsn)
	}
	at := 0
	for k, end := range first.ends {
		at += first.batches[k]
		if at > len(want) {
			break
		}
		offset := end.Offset()
		rest := newSink()
		rest.hold = true
		y := r.start(offset, rest)
		marker := fmt.Sprintf("marker%d", k)
		exec(fmt.Sprintf("insert into a values (%d, '%s')", 1000+k, marker))
		rs := rest.wait(t, marker, func(rs []got) bool {
			return len(rs) > 1 && strings.Contains(rs[len(rs)-1].Raw, "END") && strings.Contains(rs[len(rs)-2].After, marker)
		})
		if err := y.end(); err != nil {
			t.Fatal(err)
		}
		have := plain(rs)
		if n := len(want) - at; len(have) < n || !slices.Equal(have[:n], want[at:]) {
			t.Fatalf("resumed behind batch %d with %s:\ngot  %s\nwant %s", k, offset, strings.Join(have, "\n     "), strings.Join(want[at:], "\n     "))
		}
	}
}

// plain prints records without what differs from run to run.
func plain(rs []got) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.String() + " " + r.Tx
		if r.Op == "" {
			out[i] = r.Topic + " " + r.Raw
		}
		if r.Op == "m" {
			out[i] = r.Topic + " m " + r.Key
		}
	}
	return out
}
