package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/internal/testkit"
	snapmysql "millrace/snapshot/mysql"
)

// many makes 2,500 numbers for INSERT … SELECT.
const many = "(select a.i + 50 * b.i as n from (with recursive s(i) as (select 0 union all select i + 1 from s where i < 49) select i from s) a, " +
	"(with recursive s(i) as (select 0 union all select i + 1 from s where i < 49) select i from s) b) x"

// tables of every way that rows can be read: in ranges of a number, of a text and a
// number, of bytes; whole, for want of an order that can be gone on with.
func (r *rig) manyRows() (rows int) {
	r.exec("create table a_int (id int primary key, v varchar(20))")
	r.exec("create table b_text (t varchar(20) character set latin1, n int unsigned, v int, primary key (t, n))")
	r.exec("create table c_bytes (b varbinary(8) primary key, v int)")
	r.exec("create table d_enum (e enum('z','y','x'), n int, primary key (e, n))")
	r.exec("create table e_none (n int)")
	r.exec("create table f_part (t varchar(200), v int, primary key (t(100)))")
	r.exec("create table g_date (d datetime(3), s decimal(10,2), `we``ird` int, primary key (d, s, `we``ird`))")
	for _, q := range []string{
		"a_int select n - 1000, concat('v', n)", "b_text select concat('gr\u00fc\\'', n div 100), n, n", "c_bytes select unhex(concat('F0', lpad(hex(n * 20), 6, '0'))), n",
		"d_enum select 1 + n % 3, n", "e_none select n", "f_part select concat('t', n), n", "g_date select '2026-01-01' + interval n * 7 millisecond, n / 100, n",
	} {
		if q = "insert into " + q + " from " + many; strings.Contains(q, "millisecond") {
			q = strings.Replace(q, "n * 7 millisecond", "n * 7000 microsecond", 1)
		}
		r.exec(q)
		rows += 2500
	}
	return rows
}

// compareRows compares snapshot records with expected ones as sets and wants no repeats.
func compareRows(t *testing.T, rs, want []string) {
	t.Helper()
	rs, want = slices.Sorted(slices.Values(rs)), slices.Sorted(slices.Values(want))
	if !slices.Equal(rs, want) {
		for i := range min(len(rs), len(want)) {
			if rs[i] != want[i] {
				t.Fatalf("%d rows instead of %d; row %d is %s instead of %s", len(rs), len(want), i, rs[i], want[i])
			}
		}
		t.Fatalf("%d rows instead of %d", len(rs), len(want))
	}
}

// Several connections read what one reads.
func TestSnapshotInRanges(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		n := r.manyRows()
		one, three := newSink(), newSink()
		x := r.start(nil, one, "snapshot.mode", "initial_only")
		y := r.start(nil, three, "snapshot.mode", "initial_only", "snapshot.max.threads", "3", "snapshot.max.threads.multiplier", "100", "database.server.id", "77001",
			"schema.history.internal", classMemoryHistory, "snapshot.tables.order.by.row.count", "descending")
		want := texts(one.wait(t, n))
		got := three.wait(t, n)
		compareRows(t, texts(got), want)
		marks := map[string]int{}
		for i, g := range got {
			marks[g.Snapshot]++
			if (g.Snapshot == "first") != (i == 0) || (g.Snapshot == "last") != (i == n-1) {
				t.Errorf("record %d of %d is marked %s", i, n, g.Snapshot)
			}
		}
		if marks["first_in_data_collection"] != 6 || marks["last_in_data_collection"] != 6 {
			t.Errorf("marks: %v", marks)
		}
		for _, z := range []*run{x, y} {
			if err := z.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// From every place that a snapshot stored, the rest of it follows, and then what
// was changed meanwhile.
func TestSnapshotGoesOn(t *testing.T) {
	for _, threads := range []string{"1", "3"} {
		t.Run(threads+" connections", func(t *testing.T) {
			servers(t, func(t *testing.T, r *rig) {
				n := r.manyRows()
				r.props["snapshot.max.threads"], r.props["snapshot.max.threads.multiplier"] = threads, "100"
				r.props["snapshot.mode"], r.props["max.batch.size"], r.props["max.queue.size"] = "initial", "500", "1000"
				first := newSink()
				x := r.start(nil, first)
				all := texts(first.wait(t, n))
				if err := x.end(); err != nil {
					t.Fatal(err)
				}
				r.exec("insert into a_int values (90000, 'new')")
				for i := 1; i < len(first.ends); i += 1 + len(first.ends)/7 {
					e := first.ends[i]
					if !strings.Contains(string(e.offset), keyProgress) {
						continue
					}
					rest := newSink()
					y := r.start(e.offset, rest)
					rs := texts(rest.wait(t, 1))
					for !slices.Contains(rs, "a_int c {id:90000} {id:90000 v:new}") {
						rs = texts(rest.wait(t, len(rs)+1))
					}
					if err := y.end(); err != nil {
						t.Fatal(err)
					}
					// A table without an order, or none that can be gone on with, comes whole again.
					seen := map[string]bool{}
					for _, s := range append(slices.Clone(all[:e.records]), rs...) {
						if seen[s] && !slices.ContainsFunc([]string{"d_enum", "e_none", "f_part"}, func(p string) bool { return strings.HasPrefix(s, p) }) && !strings.Contains(s, "90000") {
							t.Fatalf("from %s: %s comes twice", e.offset, s)
						}
						seen[s] = true
					}
					for _, s := range all {
						if !seen[s] {
							t.Fatalf("from %s: %s is missing", e.offset, s)
						}
					}
				}
			})
		})
	}
}

// A snapshot whose tables were changed, or whose log is gone, begins anew.
func TestSnapshotBeginsAnew(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v int); create table b (id int primary key)")
		r.exec("insert into a select n, n from " + many)
		r.exec("insert into b values (1)")
		r.props["snapshot.mode"], r.props["max.batch.size"], r.props["max.queue.size"] = "initial", "100", "1000"
		first := newSink()
		x := r.start(nil, first)
		first.wait(t, 2501)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		half := slices.IndexFunc(first.ends, func(e end) bool { return e.records >= 1000 })
		offset := first.ends[half].offset
		for _, c := range []struct {
			name, sql string
			more      []string
			offset    string
			rows      int
		}{
			{"goes on", "do 0", nil, string(offset), 2501 - first.ends[half].records},
			{"a column more", "alter table a add w int", nil, string(offset), 2501},
			{"a table less", "do 0", []string{"table.include.list", r.name + ".a"}, string(offset), 2500},
			{"the log is gone", "do 0", nil, strings.Replace(string(offset), `"file":"`, `"file":"no`, 1), 2501},
		} {
			if c.name == "the log is gone" && r.flavor == MySQL { // the place is that of the GTIDs
				continue
			}
			r.exec(c.sql)
			out := newSink()
			y := r.start([]byte(c.offset), out, c.more...)
			r.streaming(out)
			if err := y.end(); err != nil {
				t.Fatal(err)
			}
			reads := 0
			for _, g := range out.records() {
				if g.Op == "r" {
					reads++
				}
			}
			if reads != c.rows {
				t.Errorf("%s: %d rows instead of %d", c.name, reads, c.rows)
			}
		}
	})
}

// Whatever lock a user may take, what is committed while the snapshot begins is
// either in it or streamed: each row's changes come one after the other. Only
// without any lock, and on MySQL, may some come twice.
func TestSnapshotUnderWriter(t *testing.T) {
	for _, c := range []struct {
		name   string
		revoke string
		more   []string
		twice  bool
	}{
		{"minimal", "", nil, false},
		{"several connections", "", []string{"snapshot.max.threads", "3"}, false},
		{"extended", "", []string{"snapshot.locking.mode", "extended"}, false},
		{"percona on another server", "", []string{"snapshot.locking.mode", "minimal_percona"}, false},
		{"no global lock", "RELOAD", nil, false},
		{"no lock at all", "RELOAD, LOCK TABLES", nil, true},
		{"none", "", []string{"snapshot.locking.mode", "none"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			servers(t, func(t *testing.T, r *rig) {
				if r.flavor == MariaDB && slices.Contains(c.more, "minimal_percona") {
					return // MariaDB's connector does not have it
				}
				if c.revoke != "" {
					for _, h := range hosts {
						r.exec("REVOKE " + c.revoke + " ON *.* FROM '" + r.name + "'@'" + h + "'")
					}
				}
				r.exec("create table a (id int primary key, seq int); insert into a values (1, 0), (2, 0), (3, 0)")
				stop, done := make(chan struct{}), make(chan int, 1)
				go func() { // ends with stop; joined by done
					for n := 1; ; n++ {
						_, err := r.db.Exec(fmt.Sprintf("update a set seq = %d where id = %d", (n+2)/3, 1+(n-1)%3))
						select {
						case <-stop:
							done <- n
							return
						default:
							if err != nil {
								done <- -1
								return
							}
						}
					}
				}()
				out := newSink()
				x := r.start(nil, out, append([]string{"snapshot.mode", "initial"}, c.more...)...)
				r.streaming(out)
				out.wait(t, 100)
				close(stop)
				n := <-done
				if n < 0 {
					t.Fatal("the writer failed")
				}
				r.exec("insert into a values (4, 0)")
				last := map[string]int{}
				for rs := out.wait(t, 1); ; rs = out.wait(t, len(rs)+1) {
					if g := rs[len(rs)-1]; g.Key == "{id:4}" {
						for _, g := range rs {
							var id, seq int
							if _, err := fmt.Sscanf(g.After, "{id:%d seq:%d}", &id, &seq); err != nil {
								t.Fatal(g, err)
							}
							before, seen := last[g.Key]
							if seen && seq != before+1 && (!c.twice || r.flavor == MariaDB && c.name != "none" || seq > before+1) {
								t.Fatalf("%s goes from %d to %d", g.Key, before, seq)
							}
							last[g.Key] = seq
						}
						break
					}
				}
				if last["{id:1}"] != (n+2)/3 {
					t.Errorf("the last change of row 1 is %d, not %d", last["{id:1}"], (n+2)/3)
				}
				if err := x.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A statement of the user's is read once, whole, with the columns it gives.
func TestSnapshotOverride(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v int, w int); insert into a values (1, 2, 3), (4, 5, 6)")
		out := newSink()
		x := r.start(nil, out, "snapshot.mode", "initial", "snapshot.max.threads", "2", "snapshot.select.statement.overrides", r.name+".a",
			"snapshot.select.statement.overrides."+r.name+".a", "select w, id from a_view where id > 1")
		err := x.err()
		if err == nil || !strings.Contains(err.Error(), "overrides."+r.name+".a") {
			t.Errorf("a statement that does not work: %v", err)
		}
		x = r.start(nil, out, "snapshot.mode", "initial", "snapshot.max.threads", "2", "snapshot.select.statement.overrides", r.name+".a",
			"snapshot.select.statement.overrides."+r.name+".a", "select w, id from "+r.name+".a where id > 1")
		if rs := texts(out.wait(t, 1)); rs[0] != "a r {id:4} {id:4 v:<nil> w:6}" {
			t.Error(rs)
		}
		if err := x.end(); err != nil {
			t.Error(err)
		}
	})
}

// A table that was read can be altered while the snapshot goes on. (MariaDB gives
// the lock back only when the transaction ends.)
func TestViewHoldsNoTable(t *testing.T) {
	r := newRig(t, MySQL)
	r.exec("create table a (id int primary key); insert into a values (1)")
	e := testkit.MySQL(t)
	c, err := snapmysql.Open(t.Context(), &snapmysql.Config{Addr: e.Host + ":" + e.Port, User: r.name, Password: "secret-word", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := snapmysql.Begin(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	src := snapmysql.Table{Source: snapmysql.Source{DB: r.name, Table: "a", Columns: []string{"id"}, Key: []snapmysql.KeyColumn{{Name: "id", Form: snapmysql.Number}}}}
	rows, err := snapmysql.View{c}.Read(t.Context(), &src, snapmysql.NewTracker([]int{0}, snapmysql.Fresh()), func(int, []byte) error { return nil })
	if err != nil || rows != 1 {
		t.Fatal(rows, err)
	}
	r.exec("set session lock_wait_timeout = 5; alter table a add b int, algorithm=copy")
}

// A mode that forbids to lock tables stops where the global lock is refused.
func TestSnapshotWithoutTableLocks(t *testing.T) {
	r := newRig(t, MySQL)
	r.exec("create table a (id int primary key)")
	for _, h := range hosts {
		r.exec("REVOKE RELOAD ON *.* FROM '" + r.name + "'@'" + h + "'")
	}
	err := r.start(nil, newSink(), "snapshot.mode", "initial", "snapshot.locking.mode", "minimal_percona_no_table_locks").err()
	if err == nil || !strings.Contains(err.Error(), "global read lock is refused") {
		t.Error(err)
	}
}
