package mysql

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func texts(rs []got) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.String()
	}
	return out
}

// From every place that was ever stored, also within a transaction and within a
// statement of many rows, exactly the rest follows.
func TestRestartFromEveryPlace(t *testing.T) {
	for _, way := range []struct {
		name, set, value string
		compress         bool
	}{
		{"as it comes", "max.batch.size", "3", false},
		{"by file and position", "gtid.ignore.on.recovery", "true", false},
		{"compressed", "max.batch.size", "3", true},
		{"compressed, by file and position", "gtid.ignore.on.recovery", "true", true},
	} {
		t.Run(way.name, func(t *testing.T) {
			servers(t, func(t *testing.T, r *rig) {
				before := ""
				if way.compress {
					before = r.compress()
				}
				r.props["max.batch.size"], r.props["max.queue.size"] = "3", "8"
				r.props[way.set] = way.value
				r.exec("create table a (id int primary key, v varchar(20)); create table b (id int primary key)")
				first := newSink()
				x := r.start(nil, first)
				r.streaming(first)
				r.exec(before + "begin; insert into a values (1,'x'),(2,'x'),(3,'x'),(4,'x'),(5,'x'); insert into b values (1),(2),(3),(4); update a set v='y' where id < 4; update a set id = 50 where id = 5; delete from b where id > 2; commit")
				r.exec("insert into a values (10, 'after')")
				r.exec("alter table a add c int; insert into a values (11, 'more', 1), (12, 'more', 2); alter table a add d int first; insert into a values (4, 13, 'last', 3)")
				all := texts(first.wait(t, 5+4+3+3+2*2+1+2+1))
				if err := x.end(); err != nil {
					t.Fatal(err)
				}
				first.mu.Lock()
				ends := slices.Clone(first.ends)
				first.mu.Unlock()
				seen := map[string]bool{}
				for _, e := range ends {
					if seen[string(e.offset)] || e.records >= len(all) || strings.Contains(string(e.offset), `"snapshot"`) {
						continue
					}
					seen[string(e.offset)] = true
					again := newSink()
					y := r.start(e.offset, again)
					rest := texts(again.wait(t, len(all)-e.records))
					if err := y.end(); err != nil {
						t.Fatal(err)
					}
					if want := all[e.records:]; !slices.Equal(rest, want) {
						t.Errorf("from %s\n got  %s\n want %s", e.offset, strings.Join(rest, "\n      "), strings.Join(want, "\n      "))
					}
				}
				if len(seen) < 5 {
					t.Errorf("only %d places to restart from", len(seen))
				}
			})
		})
	}
}

// compress makes the server write compressed events from now on: whole transactions
// of the session that runs the returned statement, or, on MariaDB, the rows of all.
func (r *rig) compress() string {
	if r.flavor == MySQL {
		return "set binlog_transaction_compression=ON; "
	}
	r.exec("set global log_bin_compress=ON; set global log_bin_compress_min_len=10")
	r.t.Cleanup(func() { // r.exec would end with the test's context
		if _, err := r.db.Exec("set global log_bin_compress=OFF; set global log_bin_compress_min_len=DEFAULT"); err != nil {
			r.t.Error(err)
		}
	})
	return ""
}

// When the server ends the connection, nothing is lost and nothing comes twice.
func TestKilledDumpThread(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key)")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		const n = 20
		for i := range n {
			r.exec(fmt.Sprintf("insert into a values (%d), (%d)", 2*i, 2*i+1))
			if i%7 == 3 {
				r.killDump()
			}
		}
		rs := out.wait(t, 2*n)
		for i, g := range rs {
			if want := fmt.Sprintf("{id:%d}", i); g.Key != want {
				t.Fatalf("record %d is %v, not of key %s", i, g, want)
			}
		}
		if err := x.end(); err != nil || len(rs) != 2*n {
			t.Errorf("%d records, %v", len(rs), err)
		}
	})
}

// killDump kills the connection that reads the log, once there is one.
func (r *rig) killDump() {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		var id int64
		err := r.db.QueryRowContext(r.t.Context(), "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND COMMAND LIKE 'Binlog Dump%' LIMIT 1", r.name).Scan(&id)
		if err == nil {
			if _, err := r.db.ExecContext(r.t.Context(), fmt.Sprintf("KILL %d", id)); err == nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("no connection reads the log: %v", err)
		}
	}
}

// What was done to tables while the connector was stopped is read in its order.
func TestDDLWhileStopped(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v varchar(20)); insert into a values (1, 'one')")
		out := newSink()
		x := r.start(nil, out, "snapshot.mode", "initial")
		out.wait(t, 1)
		r.streaming(out)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		r.exec("insert into a values (2, 'two'); alter table a add n int default 7 first; insert into a (id, v) values (3, 'three'); alter table a drop v; insert into a values (8, 4); rename table a to z; insert into z values (9, 5)")
		rest := newSink()
		y := r.start(out.last(), rest)
		rs := texts(rest.wait(t, 4))
		want := []string{"a c {id:2} {id:2 v:two}", "a c {id:3} {id:3 n:7 v:three}", "a c {id:4} {id:4 n:8}", "z c {id:5} {id:5 n:9}"}
		if !slices.Equal(rs, want) {
			t.Errorf("got %q", rs)
		}
		if err := y.end(); err != nil {
			t.Error(err)
		}
	})
}

// A history that is gone stops the task with advice; recovery follows it.
func TestLostHistory(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v varchar(20))")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		r.exec("insert into a values (1, 'one')")
		out.wait(t, 1)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(r.props["schema.history.internal.file.filename"]); err != nil {
			t.Fatal(err)
		}
		r.exec("insert into a values (2, 'two')")
		if err := r.start(out.last(), newSink()).err(); err == nil || !strings.Contains(err.Error(), "recovery") {
			t.Fatalf("without a history: %v", err)
		}
		rest := newSink()
		y := r.start(out.last(), rest, "snapshot.mode", "recovery")
		if rs := texts(rest.wait(t, 1)); rs[0] != "a c {id:2} {id:2 v:two}" {
			t.Errorf("after recovery: %q", rs)
		}
		if err := y.end(); err != nil {
			t.Error(err)
		}
	})
}

// A log that is gone stops the task with the file's name; when_needed reads anew.
func TestLogGone(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key); insert into a values (1)")
		gone := []byte(`{"ts_sec":1,"file":"nosuch.000001","pos":4}`)
		err := r.start(gone, newSink()).err()
		if err == nil || !strings.Contains(err.Error(), "nosuch.000001") {
			t.Fatalf("got %v", err)
		}
		out := newSink()
		x := r.start(gone, out, "snapshot.mode", "when_needed")
		if rs := texts(out.wait(t, 1)); rs[0] != "a r {id:1} {id:1}" {
			t.Errorf("got %q", rs)
		}
		if err := x.end(); err != nil {
			t.Error(err)
		}
	})
}

// What the reader of DDL cannot follow does not stop the task: the table is read
// from the catalog.
func TestUnloggedDDL(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v int)")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		r.exec("set sql_log_bin=0; alter table a add w int; set sql_log_bin=1; insert into a values (1, 2, 3)")
		if rs := texts(out.wait(t, 1)); rs[0] != "a c {id:1} {id:1 v:2 w:3}" {
			t.Errorf("got %q", rs)
		}
		if err := x.end(); err != nil {
			t.Error(err)
		}
	})
}

// Rows of a system-versioned table come as of any other: without their history.
func TestSystemVersioning(t *testing.T) {
	r := newRig(t, MariaDB)
	r.exec("create table a (id int primary key, v int) with system versioning")
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	r.exec("insert into a values (1, 1), (2, 2); update a set v = 10 where id = 1; delete from a where id = 2; delete history from a; insert into a values (3, 3)")
	want := []string{"a c {id:1} {id:1 v:1}", "a c {id:2} {id:2 v:2}", "a u {id:1} {id:1 v:10}", "a d {id:2} null", "a tombstone {id:2}", "a c {id:3} {id:3 v:3}"}
	if rs := texts(out.wait(t, len(want))); !slices.Equal(rs, want) {
		t.Errorf("got %q", rs)
	}
	if err := x.end(); err != nil {
		t.Error(err)
	}
}

// Statements and row images that stop the real connector.
func TestWhatStopsOthers(t *testing.T) {
	r := newRig(t, MySQL)
	r.exec("create table a (id int primary key, v varchar(20), w text)")
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	var want []string
	for i, c := range []struct{ sql, want string }{
		{`set sql_mode='ANSI_QUOTES'; alter table "a" add "q" int; set sql_mode=''; insert into a values (1, 'v', 'w', 4)`, "a c {id:1} {id:1 q:4 v:v w:w}"},
		{"alter table a rename column v to w, rename column w to v; insert into a values (2, 'w', 'v', 5)", "a c {id:2} {id:2 q:5 v:v w:w}"},
		{"create library lib language javascript as $$ export function f() { return 1 } $$; drop library lib; alter database collate utf8mb4_bin; insert into a values (3, null, null, null)", "a c {id:3} {id:3 q:<nil> v:<nil> w:<nil>}"},
		{"set binlog_row_image=MINIMAL; update a set q = 6 where id = 2; set binlog_row_image=FULL", "a u {id:2} {id:2 q:6 v:<nil> w:<nil>}"},
		{"set binlog_row_image=NOBLOB; update a set q = 7 where id = 2; set binlog_row_image=FULL", "a u {id:2} {id:2 q:7 v:<nil> w:w}"},
	} {
		r.exec(c.sql)
		want = append(want, c.want)
		if rs := texts(out.wait(t, i+1)); !slices.Equal(rs, want) {
			t.Fatalf("%s\n got  %s\n want %s", c.sql, rs[len(rs)-1], c.want)
		}
	}
	if err := x.end(); err != nil {
		t.Error(err)
	}
}

// Addresses are the same from the stream as from a snapshot.
func TestInet(t *testing.T) {
	r := newRig(t, MariaDB)
	const values = " values (1, '10.0.0.0', '2001:db8::'), (2, '255.1.2.3', '::ffff:1.2.3.4'), (3, null, '::1')"
	r.exec("create table a (id int primary key, f inet4, s inet6); insert into a" + values)
	out := newSink()
	x := r.start(nil, out, "snapshot.mode", "initial")
	snap := texts(out.wait(t, 3))
	r.streaming(out)
	r.exec("create table b (id int primary key, f inet4, s inet6); insert into b" + values)
	for i, g := range texts(out.wait(t, 6))[3:] {
		if want := "b c" + strings.TrimPrefix(snap[i], "a r"); g != want {
			t.Errorf("streamed %s, not %s", g, want)
		}
	}
	if err := x.end(); err != nil {
		t.Error(err)
	}
}

// TestCompressedColumns streams values that MariaDB stores compressed, with and without
// zlib's header, and short ones that it stores as they are.
func TestCompressedColumns(t *testing.T) {
	r := newRig(t, MariaDB)
	const columns = " (id int primary key, v varchar(2000) compressed, b blob compressed); "
	const values = " values (1, 'short', 'b'), (2, repeat('é1', 400), repeat('ab', 500)), (3, null, '')"
	r.exec("create table a" + columns + "insert into a" + values)
	out := newSink()
	x := r.start(nil, out, "snapshot.mode", "initial")
	snap := texts(out.wait(t, 3))
	r.streaming(out)
	r.exec("create table b" + columns + "insert into b" + values + "; set column_compression_zlib_wrap = on; create table c" + columns + "insert into c" + values)
	for i, g := range texts(out.wait(t, 9))[3:] {
		if want := string("bc"[i/3]) + " c" + strings.TrimPrefix(snap[i%3], "a r"); g != want {
			t.Errorf("streamed %s, not %s", g, want)
		}
	}
	if err := x.end(); err != nil {
		t.Error(err)
	}
}
