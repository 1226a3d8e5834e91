package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/internal/testkit"
)

// stopped runs a source over a new table and stops it; it answers where.
func (r *rig) stopped(create string) []byte {
	r.t.Helper()
	r.exec(create)
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	if err := x.end(); err != nil {
		r.t.Fatal(err)
	}
	return out.last()
}

func (r *rig) expect(from []byte, want ...string) {
	r.t.Helper()
	out := newSink()
	x := r.start(from, out)
	if got := texts(out.wait(r.t, len(want))); !slices.Equal(got, want) {
		r.t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if err := x.end(); err != nil {
		r.t.Error(err)
	}
}

// unlogged are statements that leave no trace in the log.
func unlogged(statements string) string {
	return "set sql_log_bin=0; " + statements + "; set sql_log_bin=1; "
}

// Rows in the log are older than the catalog and younger than the history, and have
// other columns than either: the log's own metadata tells which, as far as it goes.
func TestCatalogOfAnotherTime(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		at := r.stopped("create table a (id int primary key, v varchar(20), e enum('p','q'))")
		r.exec(unlogged("alter table a add x datetime(3) after v") + "insert into a values (1, 'one', '2024-05-06 07:08:09.123', 'q'); " +
			unlogged("alter table a add y blob first, add z int not null"))
		r.expect(at, "a c {id:1} {e:q id:1 v:one x:1714979289123}")

		// Two ways to read the row: nothing is guessed.
		at = r.stopped("create table b (id int primary key, v int)")
		r.exec(unlogged("alter table b add w int") + "insert into b values (1, 2, 3); " + unlogged("alter table b add x int after id"))
		if err := r.start(at, newSink()).err(); err == nil || !strings.Contains(err.Error(), "binlog_row_metadata") {
			t.Errorf("an ambiguous row: %v", err)
		}
		r.props["inconsistent.schema.handling.mode"] = "warn"
		r.exec("insert into b values (2, 3, 4, 5)")
		r.expect(at, "b c {id:2} {id:2 v:4 w:5 x:3}")
	})
}

// With binlog_row_metadata=FULL the log names its columns.
func TestNamesInTheLog(t *testing.T) {
	t.Parallel() // it waits for servers most of the time
	if testing.Short() {
		t.Skip("starts a server")
	}
	m := testkit.StartMysqld(t, 21, "--binlog-row-metadata=FULL")
	r := newRigAt(t, MySQL, m.Endpoint)
	at := r.stopped("create table a (id int primary key, v varchar(20), w varchar(20) not null, n int unsigned)")
	r.exec(unlogged("alter table a drop n, drop primary key, add k char(3) charset latin1 not null after id, add primary key (k, id), add e enum('p','q''r'), add d decimal(9,2), add b bit(9), add j json, add u bigint unsigned, add t time(2), add g point") +
		"insert into a (k, id, v, w, e, d, b, u, t) values ('\u00e4b', 1, 'one', 'two', 'q''r', 12.5, 259, 18446744073709551615, '-01:02:03.04'); " +
		unlogged("alter table a drop k, drop e, drop d, drop b, drop j, drop u, drop t, drop g, add z datetime first, rename column v to w, rename column w to v") +
		"insert into a values ('2024-05-06', 2, 'was v', 'was w'); " +
		unlogged("alter table a rename column v to w, rename column w to v") + "insert into a (id, v, w) values (3, 'v', 'w')")
	r.expect(at,
		"a c {id:1 k:\u00e4b} {b:[3 1] d:[4 226] e:q'r g:<nil> id:1 j:<nil> k:\u00e4b t:-3723040000 u:-1 v:one w:two}",
		"a c {id:2} {id:2 v:was w w:was v z:1714953600000}",
		"a c {id:3} {id:3 v:v w:w z:<nil>}")

	// A server that was started anew gives the numbers of tables to others.
	at = r.stopped("create table c (id int primary key, c int); create table d (id int primary key, d int)")
	for _, order := range []string{"cd", "dc"} {
		m.Kill()
		m.Start(t)
		for _, c := range order {
			r.exec(fmt.Sprintf("insert into %c values (%d, 1)", c, order[0]))
		}
	}
	r.expect(at, "c c {id:99} {c:1 id:99}", "d c {id:99} {d:1 id:99}", "d c {id:100} {d:1 id:100}", "c c {id:100} {c:1 id:100}")
}
