package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/internal/testkit"
)

// Two servers of this test's own, the second a replica of the first: what happens to
// logs and servers in operation. No change may be lost or come twice, and where the
// log is gone the task says what is lost instead of going on behind the gap.
func TestFailover(t *testing.T) {
	t.Parallel() // it waits for servers most of the time
	if testing.Short() {
		t.Skip("starts two servers")
	}
	a, b := testkit.StartMysqld(t, 11), testkit.StartMysqld(t, 12)
	a.Exec(t, "CREATE USER repl@'%%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@'%%'")
	r := newRigAt(t, MySQL, a.Endpoint)
	r.exec("create table t (id int primary key, v varchar(20))")
	b.Exec(t, "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%s, SOURCE_USER='repl', SOURCE_PASSWORD='r', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA", a.Port)
	caughtUp := func() {
		t.Helper()
		if s := b.Value(t, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+strings.ReplaceAll(a.Value(t, "SELECT @@gtid_executed"), "\n", "")+"', 60)"); s != "0" {
			t.Fatal("the replica does not follow")
		}
	}
	next, want := 1, []string{}
	insert := func(m *testkit.Mysqld, rows int) {
		t.Helper()
		for range rows {
			m.Exec(t, "INSERT INTO %s.t (id, v) VALUES (%d, 'v')", r.name, next)
			want = append(want, fmt.Sprintf("t c {id:%d} {id:%d v:v}", next, next))
			next++
		}
	}
	all := newSink()
	run := func(m *testkit.Mysqld, offset []byte, more ...string) *run {
		return r.start(offset, all, append([]string{"database.hostname", m.Host, "database.port", m.Port}, more...)...)
	}
	expect := func() {
		t.Helper()
		if got := texts(all.wait(t, len(want))); !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	}

	// The server dies under the running connector and comes back.
	x := run(a, nil)
	r.streaming(all)
	insert(a, 3)
	expect()
	a.Kill()
	a.Start(t)
	insert(a, 2)
	expect()
	if err := x.end(); err != nil {
		t.Fatal(err)
	}

	// While the connector is stopped the first server goes on and dies; the second takes
	// over, with other files, changes of its own and another definition of the table.
	b.Exec(t, "FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	insert(a, 2)
	caughtUp()
	a.Kill()
	b.Exec(t, "STOP REPLICA; RESET REPLICA ALL")
	insert(b, 2)
	b.Exec(t, "ALTER TABLE %s.t ADD w int FIRST", r.name)
	b.Exec(t, "INSERT INTO %s.t (id, v, w) VALUES (%d, 'v', 1)", r.name, next)
	want = append(want, fmt.Sprintf("t c {id:%d} {id:%d v:v w:1}", next, next))
	x = run(b, all.last())
	expect()
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	offset := all.last()

	// A server that does not have what was read already is another history.
	a.Start(t)
	if err := run(a, offset).err(); err == nil || !strings.Contains(err.Error(), "never had them") {
		t.Errorf("on a server that lacks transactions: %v", err)
	}

	// Purged while the connector is stopped: by GTID and by file, an error that says so.
	b.Exec(t, "INSERT INTO %s.t (id) VALUES (100)", r.name)
	b.Exec(t, "FLUSH BINARY LOGS")
	b.Exec(t, "PURGE BINARY LOGS TO '%s'", lastLog(t, b))
	if err := run(b, offset).err(); err == nil || !strings.Contains(err.Error(), "were purged") || !strings.Contains(err.Error(), "when_needed") {
		t.Errorf("purged, by GTID: %v", err)
	}
	if err := run(b, offset, "gtid.ignore.on.recovery", "true").err(); err == nil || !strings.Contains(err.Error(), "is not on the server any more") {
		t.Errorf("purged, by file: %v", err)
	}
	// when_needed reads the tables anew instead.
	again := newSink()
	y := r.start(offset, again, "database.hostname", b.Host, "database.port", b.Port, "snapshot.mode", "when_needed")
	if got := again.wait(t, next+1); got[0].Op != "r" || got[next].Key != "{id:100}" {
		t.Errorf("when_needed: %v", got)
	}
	if err := y.end(); err != nil {
		t.Error(err)
	}
}

func lastLog(t *testing.T, m *testkit.Mysqld) string {
	t.Helper()
	rows, err := query(t.Context(), m.DB, "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	return rows[len(rows)-1]["log_name"]
}

// On MariaDB a position is one in the history of its domains, whatever the files are
// called; one that the server has not reached yet is no position of this server.
func TestMariaDBPosition(t *testing.T) {
	t.Parallel() // it waits for servers most of the time
	r := newRig(t, MariaDB)
	r.exec("create table t (id int primary key)")
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	r.exec("insert into t values (1)")
	out.wait(t, 1)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	p, err := ParseOffset(out.last())
	if err != nil {
		t.Fatal(err)
	}
	p.File, p.Pos = "other.000099", 12345
	r.exec("insert into t values (2)")
	rest := newSink()
	y := r.start(p.Offset(), rest)
	if got := texts(rest.wait(t, 1)); got[0] != "t c {id:2} {id:2}" {
		t.Errorf("with another server's file names: %q", got)
	}
	if err := y.end(); err != nil {
		t.Error(err)
	}
	parts := strings.Split(p.GTIDs, "-")
	p.GTIDs = strings.Join(append(parts[:len(parts)-1:len(parts)-1], "999999999"), "-")
	if err := r.start(p.Offset(), newSink()).err(); err == nil || !strings.Contains(err.Error(), "cannot be told") {
		t.Errorf("ahead of the server: %v", err)
	}
}
