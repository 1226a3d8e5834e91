package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/capture"
)

const signalTable = "create table sig(id varchar(42) primary key, type varchar(32) not null, data varchar(2048));"

// signalling lets the connector's user write watermarks.
func (r *rig) signalling() {
	for _, host := range hosts {
		r.exec("GRANT INSERT, DELETE ON " + r.name + ".* TO '" + r.name + "'@'" + host + "'")
	}
	r.exec(signalTable)
	r.props["signal.data.collection"] = r.name + ".sig"
	r.props["signal.poll.interval.ms"] = "50"
}

func (r *rig) signal(id, kind, data string) {
	r.t.Helper()
	if _, err := r.db.ExecContext(r.t.Context(), "insert into sig values (?, ?, ?)", id, kind, strings.ReplaceAll(data, "DB.", r.name+".")); err != nil {
		r.t.Fatal(err)
	}
}

// until waits for something that a batch brings.
func (s *sink) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(3 * patience) // the log holds what all other tests do, too
	for !done() {
		select {
		case <-s.changed:
		case <-limit:
			rs := s.records()
			t.Fatalf("waiting for %s: %d records, the last: %v", what, len(rs), rs[max(0, len(rs)-5):])
		}
	}
}

// reads counts the rows of snapshots.
func (s *sink) reads(table string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[table]
}

// apply is what a consumer has of a table: the last record of a key wins.
func apply(rs []got, table string) map[string]string {
	m := map[string]string{}
	for _, g := range rs {
		switch {
		case g.Topic != table || g.Op == "tombstone":
		case g.Op == "d":
			delete(m, g.Key)
		default:
			m[g.Key] = g.After
		}
	}
	return m
}

// compare checks a consumer's view of table a(id, v).
func (r *rig) compare(have map[string]string) {
	r.t.Helper()
	rows, err := r.db.QueryContext(r.t.Context(), "select id, v from a")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	want := map[string]string{}
	for rows.Next() {
		var id int
		var v sql.NullString
		if err := rows.Scan(&id, &v); err != nil {
			r.t.Fatal(err)
		}
		want[fmt.Sprintf("{id:%d}", id)] = fmt.Sprintf("{id:%d v:%s}", id, v.String)
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	bad := 0
	for k, v := range want {
		if have[k] != v {
			if bad++; bad < 5 {
				r.t.Errorf("%s: the consumer has %q, the table %q", k, have[k], v)
			}
		}
	}
	for k, v := range have {
		if _, ok := want[k]; !ok {
			if bad++; bad < 5 {
				r.t.Errorf("%s: the consumer has %q, the table nothing", k, v)
			}
		}
	}
	r.t.Logf("%d rows", len(want))
}

// writers insert, update, delete and change keys until stop, about 300 rows a second
// each: writers that outrun the connector (a slow machine, the race detector) would
// keep every watermark of the snapshot behind a backlog that only grows.
func (r *rig) writers(n int) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	for w := range n {
		rnd := rand.New(rand.NewPCG(uint64(w), 7))
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				time.Sleep(time.Duration(rnd.IntN(6)) * time.Millisecond)
				k := 1 + rnd.IntN(10000)
				text := fmt.Sprintf("insert into a values (%d, 'w%d-%d') on duplicate key update v = values(v)", k, w, i)
				switch rnd.IntN(4) {
				case 0:
					text = fmt.Sprintf("delete from a where id = %d", k/10*10)
				case 1:
					text = fmt.Sprintf("update ignore a set id = %d where id = %d", k, k/10*10)
				}
				if _, err := r.db.ExecContext(r.t.Context(), text); err != nil && !strings.Contains(err.Error(), "Deadlock") && ctx.Err() == nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (r *rig) fill(n int) {
	text := "insert into a values "
	for i := range n {
		text += fmt.Sprintf("(%d,'old'),", 10*(i+1))
	}
	r.exec("create table a(id int primary key, v varchar(30));" + text[:len(text)-1])
}

func (s *sink) snapshotEnded() bool {
	return s.reads("a") > 0 && !strings.Contains(string(s.last()), capture.OffsetIncrementalList)
}

// TestIncrementalUnderWrites takes an incremental snapshot of a table that a
// connector has never seen, under writers, while the task dies now and then and is
// started from an offset that is older than what it sent, and its connections are
// killed. In the end the consumer's view equals the table.
func TestIncrementalUnderWrites(t *testing.T) {
	for _, mode := range []string{"insert_insert", "insert_delete", "read.only"} {
		t.Run(mode, func(t *testing.T) {
			servers(t, func(t *testing.T, r *rig) {
				r.signalling()
				file := filepath.Join(t.TempDir(), "signals.json")
				more := []string{"incremental.snapshot.chunk.size", "40", "incremental.snapshot.watermarking.strategy", mode, "errors.max.retries", "-1"}
				if mode == "read.only" {
					more = append(more[:2:2], "read.only", "true", "signal.enabled.channels", "file", "signal.file", file, "errors.max.retries", "-1")
				}
				r.fill(500)
				out := newSink()
				x := r.start(nil, out, more...)
				r.streaming(out)
				stop := r.writers(2)
				request := `{"data-collections": ["DB.a"], "type": "incremental"}`
				if mode == "read.only" {
					line := `{"id":"s1","type":"execute-snapshot","data":` + strings.ReplaceAll(request, "DB.", r.name+".") + "}\n"
					if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
						t.Fatal(err)
					}
				} else {
					r.signal("s1", "execute-snapshot", request)
				}
				for i := range 4 {
					from := out.reads("a")
					out.until(t, "more of the snapshot", func() bool { return out.reads("a") >= from+60 || out.snapshotEnded() })
					if i%2 == 0 {
						r.killAll()
						continue
					}
					if err := x.end(); err != nil {
						t.Fatal(err)
					}
					out.mu.Lock()
					older := out.ends[max(0, len(out.ends)-3)].offset
					if !strings.Contains(string(older), capture.OffsetIncrementalList) { // it would begin anew, behind what is awaited below
						older = out.ends[len(out.ends)-1].offset
					}
					out.mu.Unlock()
					x = r.start(older, out, more...)
				}
				out.until(t, "the snapshot to end", out.snapshotEnded)
				stop()
				r.exec("insert into a values (0, 'end')")
				out.until(t, "the end", func() bool { return slices.Contains(out.from("a"), "c {id:0 v:end}") && out.snapshotEnded() })
				if err := x.end(); err != nil {
					t.Fatal(err)
				}
				t.Logf("%d records, %d of the snapshot", len(out.records()), out.reads("a"))
				r.compare(apply(out.records(), "a"))
			})
		})
	}
}

// killAll kills every connection of the connector.
func (r *rig) killAll() {
	r.t.Helper()
	rows, err := r.db.QueryContext(r.t.Context(), "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ?", r.name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			r.t.Fatal(err)
		}
		_, _ = r.db.ExecContext(r.t.Context(), fmt.Sprintf("KILL %d", id)) // it may have ended by itself
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
}

// keyTables are tables whose keys are of every kind, with the values in the order
// in which the server sorts them.
var keyTables = []struct{ name, def, values string }{
	{"k_ubig", "k bigint unsigned primary key", "(1),(9223372036854775807),(9223372036854775808),(9223372036854775809),(18446744073709551615)"},
	{"k_big", "k bigint primary key", "(-9223372036854775808),(-1),(0),(9223372036854775807)"},
	{"k_dec", "k decimal(38,10) primary key", "(-1.5),(0.0000000001),(0.0000000002),(1234567890123456789012345678.0000000001),(1234567890123456789012345678.0000000002)"},
	{"k_zero", "k int(8) unsigned zerofill primary key", "(1),(42),(4294967295)"},
	{"k_float", "k float primary key", "(-1.5),(0.1),(0.2),(123456789),(123456800),(1e10)"},
	{"k_double", "k double primary key", "(-1e300),(0.1),(0.30000000000000004),(1e-300),(1e300)"},
	{"k_char", "k varchar(20) character set utf8mb4 primary key", `('a'),('B'),('č'),('it''s'),('back\\\\slash'),('😀'),('')`},
	{"k_latin", "k varchar(20) character set latin1 primary key", "('a'),(x'81'),(x'E9'),('z'),('B')"},
	{"k_sjis", "k varchar(20) character set cp932 primary key", "(x'8160'),(x'815C'),('a'),(x'FA54'),(x'81CA')"},
	{"k_bin", "k varbinary(8) primary key", "(x''),(x'00'),(x'0000'),(x'27'),(x'5c'),(x'ff'),(x'ff00')"},
	{"k_fix", "k binary(4) primary key", "(x'00'),(x'61'),(x'6100ff'),(x'ffffffff')"},
	{"k_date", "k date primary key", "('0000-00-00'),('1000-01-01'),('2024-00-00'),('2024-02-30'),('9999-12-31')"},
	{"k_dt", "k datetime(6) primary key", "('0000-00-00'),('2024-01-01'),('2024-01-01 00:00:00.5'),('2024-01-01 00:00:00.500001'),('9999-12-31 23:59:59')"},
	{"k_ts", "k timestamp(3) primary key", "('1970-01-01 00:00:01'),('2024-10-27 00:30:00'),('2024-10-27 01:30:00'),('2024-10-27 01:30:00.5'),('2038-01-19 03:14:07')"},
	{"k_time", "k time(3) primary key", "('-838:59:59'),('-10:00:00.5'),('00:00:00'),('838:59:59')"},
	{"k_year", "k year primary key", "(0),(1901),(2000),(2155)"},
	{"k_enum", "k enum('z','a','m','','q') primary key", "('z'),('a'),('m'),('q')"},
	{"k_set", "k set('x','y','w') primary key", "('x'),('y'),('x,y'),('w'),('')"},
	{"k_bit", "k bit(64) primary key", "(0),(1),(257),(18446744073709551615)"},
	{"k_text", "k text, primary key (k(20))", "('a'),('ab'),('b'),('c')"},
	{"k_blob", "k blob, primary key (k(20))", "(x'00'),(x'ff'),(x'fe')"},
	{"k_uniq", "k int not null unique", "(3),(1),(2),(7),(5)"},
	{"k_pair", "k varchar(5), k2 int, k3 enum('q','p'), primary key (k, k2, k3)", "('a',1,'q'),('a',1,'p'),('a',2,'p'),('B',1,'q'),('b',2,'q'),('c',0,'p')"},
}

// TestIncrementalKeys reads tables with keys of every kind in chunks of two, all
// rows changed within the window, and goes on from an offset behind each chunk.
func TestIncrementalKeys(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.signalling()
		want := 0
		var names []string
		tables := keyTables
		if r.flavor == MariaDB {
			tables = append(tables[:len(tables):len(tables)], struct{ name, def, values string }{"k_uuid", "k uuid primary key", "('123e4567-e89b-12d3-a456-426655440000'),('00000000-0000-0000-0000-000000000001'),('ffffffff-e89b-42d3-a456-426655440000')"},
				struct{ name, def, values string }{"k_inet", "k inet6 primary key", "('::1'),('10.0.0.1'),('fe80::1')"})
		}
		for _, x := range tables {
			r.exec("set sql_mode='ALLOW_INVALID_DATES'; set time_zone='+00:00'; create table " + x.name + "(" + x.def + ", v int default 0)")
			cols := "k"
			if strings.HasPrefix(x.values, "('a',1") {
				cols = "k,k2,k3"
			}
			r.exec("set sql_mode='ALLOW_INVALID_DATES'; set time_zone='+00:00'; insert into " + x.name + "(" + cols + ") values " + x.values)
			names = append(names, r.name+"."+x.name)
			want += strings.Count(x.values, "),(") + 1
		}
		// Every key changes within the first window, but for one row: what is streamed
		// and what was read must be told apart by the same identity.
		r.props["incremental.snapshot.chunk.size"], r.props["max.batch.size"], r.props["max.queue.size"] = "2", "4", "8"
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		list, _ := json.Marshal(names)
		r.signal("s1", "execute-snapshot", `{"data-collections": `+string(list)+`}`)
		ended := func() bool { return out.reads("") >= want }
		out.until(t, "all keys", ended)
		r.exec("insert into k_ubig values (7, 7)")
		out.until(t, "the end", func() bool {
			return slices.ContainsFunc(out.records(), func(g got) bool { return g.Op == "c" && g.Topic == "k_ubig" })
		})
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		for _, x := range tables {
			if n := strings.Count(x.values, "),(") + 1; out.reads(x.name) != n {
				t.Errorf("%s: %d rows of %s", x.name, out.reads(x.name), x.values)
			}
		}
		out.mu.Lock()
		ends := out.ends
		out.mu.Unlock()
		tried := map[string]bool{} // tables that were gone on with in their middle
		for _, e := range ends {
			var extra struct {
				Key  string `json:"incremental_snapshot_primary_key"`
				List string `json:"incremental_snapshot_collections"`
			}
			if err := json.Unmarshal(e.offset, &extra); err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(extra.List, "additional")
			if extra.Key == "" || tried[first] {
				continue
			}
			if tried[first] = true; len(tried)%6 != 1 {
				continue
			}
			rest := newSink()
			y := r.start(e.offset, rest)
			left := map[string]bool{}
			for _, g := range out.records()[e.records:] {
				left[g.Topic+g.Key] = true
			}
			rest.until(t, "the rest behind "+string(e.offset), func() bool {
				have := map[string]bool{}
				for _, g := range rest.records() {
					have[g.Topic+g.Key] = true
				}
				for k := range left {
					if !have[k] {
						return false
					}
				}
				return true
			})
			if err := y.end(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Without watermarks a window closes on a quiet server too, also when the stream
// has just begun where the log ends.
func TestReadOnlyOnQuietServer(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a(id int primary key, v varchar(30)); insert into a values (1,'x'),(2,'x'),(3,'x'),(4,'x'),(5,'x')")
		out := newSink()
		x := r.start(nil, out)
		r.streaming(out)
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "signals")
		more := []string{"read.only", "true", "signal.enabled.channels", "file", "signal.file", file, "signal.poll.interval.ms", "50", "incremental.snapshot.chunk.size", "2"}
		for i, by := range []string{"false", "true"} {
			line := `{"id":"s","type":"execute-snapshot","data":{"data-collections":["` + r.name + `.a"]}}` + "\n"
			if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			y := r.start(out.last(), out, append(more, "gtid.ignore.on.recovery", by)...)
			out.until(t, "the snapshot", func() bool {
				return out.reads("a") == 5*(i+1) && !strings.Contains(string(out.last()), capture.OffsetIncrementalList)
			})
			if err := y.end(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
