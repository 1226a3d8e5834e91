package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/capture"
)

// from is what comes from one table.
func (s *sink) from(table string) (out []string) {
	for _, g := range s.records() {
		if g.Topic == table {
			out = append(out, strings.TrimSpace(g.Op+" "+g.After))
		}
	}
	return out
}

// A blocking snapshot reads tables anew, over several connections, while the stream
// waits; a task that dies in it begins it anew.
func TestBlockingSnapshot(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.signalling()
		r.props["max.batch.size"], r.props["max.queue.size"], r.props["snapshot.max.threads"] = "100", "500", "3"
		r.fill(3000)
		r.exec("create table b(id int primary key, v varchar(9)); insert into b values (1,'x'),(2,'y')")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		r.exec("insert into b values (3,'streamed')")
		out.wait(t, 1)
		stop := r.writers(1)
		r.signal("s1", "execute-snapshot", `{"data-collections": ["DB.a", "DB.b"], "type": "blocking", "additional-conditions": [{"data-collection": "DB.b", "filter": "id > 1"}]}`)
		out.until(t, "some of the snapshot", func() bool { return out.reads("a") >= 300 })
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		if o := string(out.last()); out.reads("b") == 0 && !strings.Contains(o, keyBlocking) {
			t.Errorf("the offset has no blocking snapshot: %s", o)
		}
		x = r.start(out.last(), out)
		out.until(t, "all of the snapshot", func() bool { return out.reads("b") == 2 })
		stop()
		r.exec("insert into a values (0, 'end')")
		out.until(t, "the end", func() bool { rs := out.from("a"); return rs[len(rs)-1] == "c {id:0 v:end}" })
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		if o := string(out.last()); strings.Contains(o, "locking") || strings.Contains(o, "BLOCKING") {
			t.Error(o)
		}
		if got, want := out.from("b"), []string{"c {id:3 v:streamed}", "r {id:2 v:y}", "r {id:3 v:streamed}"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		r.compare(apply(out.records(), "a"))
	})
}

// Between the reading of a chunk and its closing watermark the table changes its
// columns, loses its rows, or goes away; a condition is wrong; watermarks may not
// be written: streaming goes on, and the other tables are read.
func TestIncrementalTroubles(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.signalling()
		r.props["incremental.snapshot.chunk.size"] = "2"
		r.exec("create table c(id int primary key, v varchar(9)); insert into c values (1,'x'),(2,'y'),(3,'z')")
		r.exec("create table d(id int primary key); insert into d values (1),(2),(3); create table e(id int primary key); insert into e values (1)")
		r.exec("create table f(id int primary key, v int); insert into f values (1,1),(2,2),(3,3)")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		// The signal and what follows lie in the log before the first chunk is read: until the
		// locks go, no watermark can be written.
		r.exec("lock tables sig write, c write, d write; insert into sig values ('s1','execute-snapshot','{\"data-collections\": [\"" + r.name + ".c\", \"" + r.name + ".d\", \"" + r.name + ".e\"]}'); alter table c add w int default 7; drop table d; unlock tables")
		out.until(t, "tables c and e", func() bool { return out.reads("e") == 1 })
		got := apply(out.records(), "c")
		for id, v := range []string{"x", "y", "z"} {
			if want := fmt.Sprintf("{id:%d v:%s w:7}", id+1, v); got[fmt.Sprintf("{id:%d}", id+1)] != want {
				t.Errorf("%d is %v, not %s", id+1, got, want)
			}
		}
		r.signal("s2", "execute-snapshot", `{"data-collections": ["DB.c", "DB.e"], "additional-conditions": [{"data-collection": "DB.c", "filter": "no such column = 1"}]}`)
		out.until(t, "table e again", func() bool { return out.reads("e") == 2 })
		r.exec("create trigger w after insert on sig for each row begin if new.type = 'snapshot-window-open' then update f set v = v + 1 where id = 1; delete from f where id = 2; end if; end")
		r.signal("s3", "execute-snapshot", `{"data-collections": ["DB.f"]}`)
		out.until(t, "the rest of f", func() bool { return out.reads("f") == 1 })
		for _, host := range hosts {
			r.exec("REVOKE INSERT ON " + r.name + ".* FROM '" + r.name + "'@'" + host + "'")
		}
		r.signal("s4", "execute-snapshot", `{"data-collections": ["DB.c"]}`)
		r.exec("insert into e values (9)")
		out.until(t, "the stream", func() bool { return slices.Contains(out.from("e"), "c {id:9}") })
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		if o := string(out.last()); strings.Contains(o, capture.OffsetIncrementalList) {
			t.Errorf("the snapshot goes on: %s", o)
		}
	})
}

// A signal in the middle of a transaction is not lost when the task dies behind it
// and before the transaction's end.
func TestSignalRestart(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.signalling()
		r.props["max.batch.size"], r.props["max.queue.size"] = "3", "8"
		r.fill(20)
		r.exec("create table b(id int primary key)")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		r.exec("begin; insert into b values (1),(2),(3),(4); insert into sig values ('s1','execute-snapshot','{\"data-collections\": [\"" + r.name + ".a\"]}'); insert into b values (5),(6),(7),(8); commit")
		out.until(t, "the snapshot", func() bool { return out.reads("a") == 20 })
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		out.mu.Lock()
		ends := out.ends
		out.mu.Unlock()
		tried := 0
		for _, e := range ends {
			if strings.Contains(string(e.offset), "incremental") {
				break
			}
			if !strings.Contains(string(e.offset), `"event":`) {
				continue
			}
			tried++
			rest := newSink()
			y := r.start(e.offset, rest)
			rest.until(t, "the snapshot after "+string(e.offset), func() bool { return rest.reads("a") == 20 })
			if err := y.end(); err != nil {
				t.Fatal(err)
			}
		}
		if tried < 2 {
			t.Errorf("%d places within the transaction", tried)
		}
	})
}

// Signals that are about the log and its tables.
func TestSignalsOfTheLog(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		file := filepath.Join(t.TempDir(), "signals")
		send := func(line string) {
			if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.props["signal.enabled.channels"], r.props["signal.file"], r.props["signal.poll.interval.ms"] = "file", file, "50"
		r.exec("create table a(id int primary key)")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		r.exec("insert into a values (1)")
		out.wait(t, 1)
		first := out.last()
		p, err := ParseOffset(first)
		if err != nil {
			t.Fatal(err)
		}
		r.exec("insert into a values (2)")
		out.wait(t, 2)
		to := fmt.Sprintf(`{"binlog_filename":%q,"binlog_position":%d}`, p.File, p.Pos)
		if r.flavor == MySQL {
			to = fmt.Sprintf(`{"gtid_set":%q}`, p.GTIDs)
		}
		send(`{"id":"p","type":"set-binlog-position","data":` + to + `}`)
		out.until(t, "the second row again", func() bool { return len(out.from("a")) == 3 })
		send(`{"id":"bad","type":"set-binlog-position","data":{"binlog_filename":"no-such.000001","binlog_position":4}}`)
		send(`{"id":"s","type":"schema-changes","data":{"database":"` + r.name + `","schema":"","changes":[{"type":"CREATE","id":"\"` + r.name + `\".\"zz\"","table":{"defaultCharsetName":"utf8mb4","primaryKeyColumnNames":["id"],"columns":[{"name":"id","jdbcType":4,"typeName":"INT","typeExpression":"INT","charsetName":null,"position":1,"optional":false,"autoIncremented":false,"generated":false}]}}]}}`)
		r.exec("insert into a values (3)")
		out.until(t, "the third row", func() bool { rs := out.from("a"); return rs[len(rs)-1] == "c {id:3}" })
		out.until(t, "the schema change", func() bool {
			text, _ := os.ReadFile(r.props["schema.history.internal.file.filename"])
			return strings.Contains(string(text), `zz`)
		})
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
	})
}
