package mysql

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/internal/testkit"
)

// What servers in operation do to their logs. One server of the test's own goes through
// it, and a connector is started anew from every place that was stored on the way.
func TestServerTroubles(t *testing.T) {
	t.Parallel() // it waits for servers most of the time
	if testing.Short() {
		t.Skip("starts a server")
	}
	m := testkit.StartMysqld(t, 31)
	r := newRigAt(t, MySQL, m.Endpoint)
	r.props["max.batch.size"], r.props["max.queue.size"] = "2", "8"
	r.exec("create table a (id int primary key, v int); create table m (id int primary key, v int) engine=MyISAM")
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	const other, third = "aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002"
	var want []string
	row := func(table string, id int) {
		want = append(want, fmt.Sprintf("%s c {id:%d} {id:%d v:0}", table, id, id))
	}
	for _, step := range []struct {
		sql  string
		rows string
	}{
		{"insert into a values (1, 0); insert into m values (1, 0); insert into m values (2, 0), (3, 0), (4, 0); insert into a values (2, 0)", "a1 m1 m2 m3 m4 a2"},
		{"insert into m values (5, 0)", "m5"},
		// Two phases: the rows come with the first, and each phase has a GTID.
		{"xa start 'x'; insert into a values (3, 0), (4, 0), (5, 0); xa end 'x'; xa prepare 'x'; xa commit 'x'", "a3 a4 a5"},
		{"xa start 'y'; insert into a values (6, 0); xa end 'y'; xa commit 'y' one phase", "a6"},
		// Transactions of other sources, with holes between their numbers.
		{"set gtid_next='" + other + ":5'; insert into a values (7, 0); set gtid_next='" + other + ":2'; insert into a values (8, 0), (9, 0), (10, 0); set gtid_next='" + third + ":1'; begin; commit; set gtid_next='automatic'", "a7 a8 a9 a10"},
		{"set global binlog_checksum='NONE'; insert into a values (11, 0), (12, 0); insert into a values (13, 0)", "a11 a12 a13"},
		{"flush binary logs; insert into a values (14, 0)", "a14"},
		{"set global binlog_checksum='CRC32'; insert into a values (15, 0)", "a15"},
		// Changes as statements are nothing that anybody could read.
		{"set binlog_format='STATEMENT'; insert into a values (16, 0); set binlog_format='ROW'; insert into a values (17, 0)", "a17"},
	} {
		r.exec(step.sql)
		for _, name := range strings.Fields(step.rows) {
			var id int
			if _, err := fmt.Sscan(name[1:], &id); err != nil {
				t.Fatal(err)
			}
			row(name[:1], id)
		}
		if got := texts(out.wait(t, len(want))); !slices.Equal(got, want) {
			t.Fatalf("%s\n got  %q\n want %q", step.sql, got, want)
		}
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if a, b := offsetOf(t, out.last()).GTIDs, m.Value(t, "select @@gtid_executed"); !sameGTIDs(t, a, b) {
		t.Errorf("the stored GTIDs are %s, the server's %s", a, b)
	}
	seen := map[string]bool{}
	for _, e := range out.ends {
		if seen[string(e.offset)] || e.records == len(want) || strings.Contains(string(e.offset), `"snapshot"`) {
			continue
		}
		seen[string(e.offset)] = true
		r.expect(e.offset, want[e.records:]...)
	}
	incident(t, m, r, withoutGTIDs(t, m, r, out.last()))
}

// withoutGTIDs turns the server's GTIDs off and on again: what it does without them is
// placed by file and position, and the sets are whole again once a file names one.
func withoutGTIDs(t *testing.T, m *testkit.Mysqld, r *rig, at []byte) []byte {
	t.Helper()
	out := newSink()
	x := r.start(at, out)
	r.exec("set global gtid_mode=ON_PERMISSIVE; set global gtid_mode=OFF_PERMISSIVE; set global gtid_mode=OFF; insert into a values (50, 0), (51, 0), (52, 0); insert into a values (53, 0)")
	out.wait(t, 4)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if p := offsetOf(t, out.last()); p.GTIDs != "" {
		t.Errorf("behind a transaction without GTID the place has GTIDs: %s", p.GTIDs)
	}
	last := out.last()
	r.exec("alter table a add w int; insert into a values (54, 0, 1); set global gtid_mode=OFF_PERMISSIVE; set global gtid_mode=ON_PERMISSIVE; insert into a values (55, 0, 1), (56, 0, 1), (57, 0, 1); alter table a drop w; insert into a values (58, 0)")
	rest := newSink()
	y := r.start(last, rest)
	all := append(texts(out.records()), texts(rest.wait(t, 5))...)
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	if a, b := offsetOf(t, rest.last()).GTIDs, m.Value(t, "select @@gtid_executed"); !sameGTIDs(t, a, b) {
		t.Errorf("the stored GTIDs are %s, the server's %s", a, b)
	}
	for i, places := range [][]end{out.ends, rest.ends} {
		for _, e := range places {
			if want := all[4*i+e.records:]; len(want) > 0 && (i > 0 || offsetOf(t, e.offset).GTIDs == "") {
				r.expect(e.offset, want...)
			}
		}
	}
	r.exec("set global gtid_mode=ON")
	return rest.last()
}

func sameGTIDs(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := parseGTIDs(MySQL, a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := parseGTIDs(MySQL, strings.ReplaceAll(b, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return x.Equal(y)
}

// incident puts an INCIDENT event into a log file, as a server does that could not log
// a change: in front of the event that ends the file.
func incident(t *testing.T, m *testkit.Mysqld, r *rig, at []byte) {
	t.Helper()
	r.exec("insert into a values (100, 0)")
	file := lastLog(t, m)
	r.exec("flush binary logs; insert into a values (101, 0)")
	path := filepath.Join(m.Value(t, "select @@datadir"), file)
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := 0 // of the events before the last
	for next := 4; next < len(log); {
		end, next = next, next+int(binary.LittleEndian.Uint32(log[next+9:]))
	}
	const text = "disk full"
	lost := make([]byte, eventHeader, eventHeader+3+len(text)+4)
	lost[4] = 26 // INCIDENT_EVENT
	lost = append(append(lost, 1, 0, byte(len(text))), text...)
	rotate := slices.Clone(log[end:])
	seal := func(e []byte, body int, pos int) []byte {
		e = e[:body]
		copy(e[5:9], log[end+5:end+9]) // server id
		binary.LittleEndian.PutUint32(e[9:], uint32(body+4))
		binary.LittleEndian.PutUint32(e[13:], uint32(pos+body+4))
		return binary.LittleEndian.AppendUint32(e, crc32.ChecksumIEEE(e))
	}
	lost = seal(lost, len(lost), end)
	rotate = seal(rotate, len(rotate)-4, end+len(lost))
	if err := os.WriteFile(path, append(append(log[:end:end], lost...), rotate...), 0o600); err != nil {
		t.Fatal(err)
	}
	out := newSink()
	if err := r.start(at, out).err(); err == nil || !strings.Contains(err.Error(), "disk full") || !strings.Contains(err.Error(), fmt.Sprintf("%s:%d", file, end)) {
		t.Errorf("an incident: %v", err)
	}
	if got := texts(out.records()); slices.Contains(got, "a c {id:101} {id:101 v:0}") {
		t.Errorf("went on behind the gap: %q", got)
	}
	r.props["event.processing.failure.handling.mode"] = "warn"
	r.expect(at, "a c {id:100} {id:100 v:0}", "a c {id:101} {id:101 v:0}")
}
