package postgres

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"millrace/capture/options"
)

// newLargeRig is a rig whose server sends transactions of more than 64 kB before
// their commit.
func newLargeRig(t *testing.T, setup string, more ...string) *rig {
	t.Helper()
	r := newRig(t, setup, more...)
	if v, err := strconv.Atoi(r.one("show server_version_num")); err != nil || v < 140000 {
		t.Skipf("server version %d sends whole transactions only", v)
	}
	r.Exec(t, fmt.Sprintf("alter database %s set logical_decoding_work_mem = '64kB'", r.Name))
	return r
}

// streams is how many transactions the server has sent before their commit.
func (r *rig) streams(slot string) int {
	r.t.Helper()
	n, err := strconv.Atoi(r.one("select coalesce(sum(stream_txns), 0)::text from pg_stat_replication_slots where slot_name = $1", slot))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// mixed is what transactions can be made of: large and small ones at once, rows of
// several tables, keys that change, subtransactions that are rolled back, nested
// and many, truncation, messages, values that are stored elsewhere, tables that
// are altered on the way, and transactions that come to nothing.
func mixed(t *testing.T, r *rig) {
	t.Helper()
	a, b, c := r.Connect(t), r.Connect(t), r.Connect(t)
	do := func(c *pgx.Conn, sql string) {
		t.Helper()
		if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	const big = "insert into a select g, repeat('x', 100) from generate_series(%d, %d) g"
	fill := func(from, to int) string { return fmt.Sprintf(big, from, to) }
	do(a, "begin; "+fill(1, 2000))
	do(b, "begin; insert into b select g, 'b' from generate_series(1, 1500) g")
	do(c, "insert into a values (100000, 'small'); insert into b values (100000, 'small')")
	do(a, fill(2001, 2100)+"; savepoint one; "+fill(2101, 4000)+"; savepoint two; "+fill(4001, 6000)+"; rollback to one; "+fill(2101, 2105))
	do(b, "savepoint s; delete from b where id < 1000; update b set id = -id where id > 1000 and id < 1200; release s; select pg_logical_emit_message(true, 'p', 'inside b')")
	do(c, "select pg_logical_emit_message(false, 'p', 'plain')")
	do(a, "savepoint three; savepoint four; "+fill(6001, 7500)+"; release four; "+fill(7501, 9000)+"; rollback to three; release three; delete from a where id = 7")
	do(b, "commit")
	do(a, "update a set v = repeat('y', 60) where id % 3 = 0; commit")
	do(a, "begin; "+fill(10001, 13000)+"; rollback")
	do(b, "begin; truncate b; insert into b select g, 'again' from generate_series(1, 1500) g; truncate a, b; insert into b select g, 'once more' from generate_series(1, 1500) g; commit")
	do(c, "begin; alter table a add column w int default 5; insert into a(id, v) select g, 'w' from generate_series(20001, 22000) g; alter table a drop column v; insert into a select g, 9 from generate_series(22001, 24000) g; commit")
	do(c, "insert into a values (100001, 1); alter table a add column v text")
	do(a, `do $$ begin for i in 1..3000 loop begin
		insert into b values (i + 50000, 'loop');
		if i % 3 = 0 then raise division_by_zero; end if;
		exception when division_by_zero then null; end; end loop; end $$`)
	do(a, "begin; insert into t select g, string_agg(md5(g::text || x), '') from generate_series(1, 40) g, generate_series(1, 300) x group by g; update t set n = 1 where id % 2 = 0; commit")
	do(a, "begin; insert into unseen select g from generate_series(1, 5000) g; commit")
	do(a, "begin; savepoint s; "+"insert into b select g, 'never' from generate_series(60001, 63000) g; rollback to s; insert into unseen select g from generate_series(1, 3000) g; commit")
	do(c, "insert into a values (100002, 2, 'end')")
}

const mixedTables = `create table a(id int primary key, v text); create table b(id int primary key, v text); create table unseen(id int);
	create table t(id int primary key, big text, n int); alter table t alter big set storage external; alter table b replica identity full`

// same prints what two readers of one log must agree on.
func same(rs []got) []string {
	out := make([]string, len(rs))
	for i, g := range rs {
		out[i] = fmt.Sprintf("%s %s %s %s lsn=%d tx=%d seq=%s %s", g.Topic, g.Op, g.Key, g.After, g.LSN, g.TxID, g.Sequence, g.Before)
		if g.Op == "m" { // outside of a transaction
			out[i] = fmt.Sprintf("%s m %s lsn=%d seq=%s", g.Topic, g.Key, g.LSN, g.Sequence)
		}
	}
	return out
}

func equalRuns(t *testing.T, have, want []string) {
	t.Helper()
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(have):
			t.Fatalf("%d records, want %d; the first that is missing: %.300s", len(have), len(want), want[i])
		case i >= len(want):
			t.Fatalf("%d records, want %d; the first that is too many: %.300s", len(have), len(want), have[i])
		case have[i] != want[i]:
			t.Fatalf("record %d of %d:\ngot  %.400s\nwant %.400s", i, len(want), have[i], want[i])
		}
	}
}

func endsWith(key string) func([]got) bool {
	return func(rs []got) bool { return len(rs) > 0 && rs[len(rs)-1].Key == key }
}

// TestStreamedEqualsWhole reads the same log twice, once with transactions that come
// before their commit and once with whole ones: every record and the last offset
// must be the same.
func TestStreamedEqualsWhole(t *testing.T) {
	r := newLargeRig(t, mixedTables, "table.include.list", `public\.[abt]`, "publication.autocreate.mode", "filtered")
	r.props["slot.name"] = r.Name + "_s"
	streamed, whole := newSink(), newSink()
	x := r.start(nil, streamed)
	twin := &rig{Database: r.Database, t: t, props: maps.Clone(r.props)}
	twin.props["slot.name"], twin.props["slot.stream.params"] = r.Name+"_w", "streaming=off"
	y := twin.start(nil, whole)
	until(t, "both stream", func() bool {
		return r.one("select count(*)::text from pg_replication_slots where active and slot_name like $1", r.Name+"%") == "2"
	})
	mixed(t, r)
	want := whole.wait(t, "the last row", endsWith("{id:100002}"))
	have := streamed.wait(t, "the last row", endsWith("{id:100002}"))
	equalRuns(t, same(have), same(want))
	for _, run := range []*run{x, y} {
		if err := run.end(); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.streams(r.Name + "_s"); n < 8 {
		t.Errorf("the server sent only %d transactions before their commit", n)
	}
	if n := r.streams(r.Name + "_w"); n != 0 {
		t.Errorf("streaming=off, and the server sent %d transactions before their commit", n)
	}
	if got := r.confirmedOf(r.Name + "_s"); got < LSN(have[len(have)-1].LSN) {
		t.Errorf("after a clean stop the slot is at %s", got)
	}
}

func (r *rig) confirmedOf(slot string) LSN {
	l, err := parseLSN([]byte(r.one("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", slot)))
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// TestStreamedRestart stops the source behind batches all over transactions that
// come before their commit, and resumes from each offset with and without
// streaming.
func TestStreamedRestart(t *testing.T) {
	r := newLargeRig(t, mixedTables, "table.include.list", `public\.[abt]`, "publication.autocreate.mode", "filtered", "max.batch.size", "500")
	first := newSink()
	first.hold = true // nothing is ever confirmed, so the slot can be read again
	x := r.start(nil, first)
	mixed(t, r)
	want := same(first.wait(t, "the last row", endsWith("{id:100002}")))
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	at, resumed := 0, 0
	for k, end := range first.ends {
		if at += first.batches[k]; end.Final == 0 || k%11 != 0 {
			continue
		}
		resumed++
		delete(r.props, "slot.stream.params")
		if k%2 == 1 {
			r.props["slot.stream.params"] = "streaming=off"
		}
		rest := newSink()
		rest.hold = true
		y := r.start(end.Offset(), rest)
		have := rest.wait(t, "the last row", endsWith("{id:100002}"))
		if err := y.end(); err != nil {
			t.Fatal(err)
		}
		t.Logf("resumed behind batch %d with %s", k, end.Offset())
		equalRuns(t, same(have), want[at:])
	}
	if resumed < 2 {
		t.Errorf("%d batches, and only %d of those that were looked at end within a transaction", len(first.ends), resumed)
	}
}

// TestStreamedKills kills the server's side of the connection while a transaction
// that is not committed is being sent, and again while it is handled.
func TestStreamedKills(t *testing.T) {
	r := newLargeRig(t, "create table a(id int primary key, v text)", "max.batch.size", "200")
	out := newSink()
	x := r.start(nil, out)
	kill := func() {
		t.Helper()
		until(t, "the source streams", func() bool {
			return r.one("select pg_terminate_backend(active_pid)::text from pg_replication_slots where slot_name = $1", r.Name) == "true"
		})
	}
	c := r.Connect(t)
	const n = 30000
	if _, err := c.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := c.Exec(t.Context(), "insert into a select g, repeat('x', 200) from generate_series($1::int, $2::int) g", i*n/3+1, (i+1)*n/3); err != nil {
			t.Fatal(err)
		}
		was := r.streams(r.Name)
		until(t, "the transaction is sent before its commit", func() bool { return r.streams(r.Name) > was || was > 0 })
		kill()
	}
	if _, err := c.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	out.waitN(t, n/10)
	kill()
	r.Exec(t, "insert into a values (1000000, 'end')")
	rs := out.wait(t, "the last row", endsWith("{id:1000000}"))
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if len(rs) != n+1 {
		t.Fatalf("%d records of %d rows", len(rs), n+1)
	}
	for i, g := range rs[:n] {
		if want := fmt.Sprintf("{id:%d}", i+1); g.Key != want {
			t.Fatalf("record %d is %s, want %s", i, g.Key, want)
		}
	}
}

// TestSpoolDirectoryMissing: a local disk that takes nothing costs nothing but the
// advantage.
func TestSpoolDirectoryMissing(t *testing.T) {
	r := newLargeRig(t, "create table a(id int primary key, v text)")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into a values (-1, 'small')")
	r.Exec(t, "insert into a select g, repeat('x', 200) from generate_series(1, 3000) g")
	r.Exec(t, "insert into a values (0, 'end')")
	rs := out.wait(t, "the last row", endsWith("{id:0}"))
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if len(rs) != 3002 {
		t.Errorf("%d records", len(rs))
	}
}

// TestNoSpoolIsLeft: the directory is empty while transactions are kept in it.
func TestNoSpoolIsLeft(t *testing.T) {
	r := newLargeRig(t, "create table a(id int primary key, v text)")
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out := newSink()
	x := r.start(nil, out)
	c := r.Connect(t)
	if _, err := c.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "insert into a select g, repeat('x', 200) from generate_series(1, 3000) g"); err != nil {
		t.Fatal(err)
	}
	until(t, "the transaction is sent before its commit", func() bool { return r.streams(r.Name) > 0 })
	names, err := os.ReadDir(dir)
	if err != nil || len(names) > 0 {
		t.Errorf("in the directory of the spools: %v, %v", names, err)
	}
	if _, err := c.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	out.waitN(t, 3000)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
}

// TestStreamedOrigin: a transaction that came from another server keeps its
// origin_lsn, which only whole transactions tell.
func TestStreamedOrigin(t *testing.T) {
	r := newLargeRig(t, "create table a(id int primary key, v text)")
	node := r.Name + "_node"
	r.one("select pg_replication_origin_create($1)::text", node)
	defer r.one("select pg_replication_origin_drop($1)::text", node)
	out := newSink()
	x := r.start(nil, out)
	c := r.Connect(t)
	for _, q := range []string{"select pg_replication_origin_session_setup('" + node + "')", "begin", "select pg_replication_origin_xact_setup('0/ABCDEF', now())",
		"insert into a select g, repeat('x', 200) from generate_series(1, 3000) g", "commit", "select pg_replication_origin_session_reset()"} {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	rs := out.waitN(t, 3000)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rs[0].Raw, "origin:"+node) || !strings.Contains(rs[0].Raw, fmt.Sprint("origin_lsn:", 0xABCDEF)) {
		t.Errorf("the source block: %s", rs[0].Raw)
	}
}

func TestPluginArgs(t *testing.T) {
	pair := func(kv ...string) (out []options.Pair) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, options.Pair{Key: kv[i], Value: kv[i+1]})
		}
		return out
	}
	const pub, msg = `publication_names '"p"'`, `messages 'true'`
	for _, c := range []struct {
		major           int
		user            []options.Pair
		metadata, whole bool
		want            []string
	}{
		{13, nil, false, false, []string{`proto_version '1'`, pub}},
		{14, nil, false, false, []string{`proto_version '2'`, `streaming 'on'`, pub, msg}},
		{15, nil, true, false, []string{`proto_version '1'`, pub, msg}},
		{15, nil, false, true, []string{`proto_version '1'`, pub, msg}},
		{15, pair("streaming", "off"), false, false, []string{`proto_version '1'`, pub, msg}},
		{15, pair("proto_version", "1"), false, false, []string{pub, msg, `"proto_version" '1'`}},
		{15, pair("proto_version", "3", "origin", "none"), false, false, []string{`streaming 'on'`, pub, msg, `"proto_version" '3'`, `"origin" 'none'`}},
		{15, pair("streaming", "on"), true, false, []string{`proto_version '2'`, pub, msg, `"streaming" 'on'`}},
		{15, pair("streaming", "on"), false, true, []string{`proto_version '1'`, pub, msg}},
		{16, pair("streaming", "parallel"), false, false, []string{`proto_version '4'`, pub, msg, `"streaming" 'parallel'`}},
	} {
		if got := pluginArgs(c.major, "p", c.user, c.metadata, c.whole); !slices.Equal(got, c.want) {
			t.Errorf("%+v:\ngot  %q", c, got)
		}
	}
}
