package postgres

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// bigRows makes table b, about three rows a page, every fifth with a large value that
// lies elsewhere. Its early pages have free space, into which updates move rows.
const bigRows = `create table a(id int primary key, v text); insert into a select g, 'a' from generate_series(1, 50) g;
 create table b(id int primary key, v text, pad text, big text) with (fillfactor = 100); alter table b alter big set storage external, alter pad set storage plain;
 insert into b select g, 'old', repeat('x', 2000), case when g % 5 = 0 then repeat('y', 3000) || g end from generate_series(1, 2000) g;
 delete from b where id <= 300 and id % 2 = 0; create table c(id int primary key, v text); insert into c select g, 'c' from generate_series(1, 50) g`

// TestInterruptedSnapshotGoesOn interrupts a snapshot at random places, changes,
// moves, deletes and adds rows in between, and restarts from an offset as it would be
// stored. In the end the consumer's view equals the tables, large values included, and
// what was read before and has not changed came once.
func TestInterruptedSnapshotGoesOn(t *testing.T) {
	for _, threads := range []string{"1", "3"} {
		t.Run(threads+" readers", func(t *testing.T) {
			r := newRig(t, bigRows, "snapshot.mode", "initial", "snapshot.max.threads", threads, "snapshot.max.threads.multiplier", "30", "max.batch.size", "40")
			r.Exec(t, "vacuum b")
			rnd := rand.New(rand.NewPCG(3, uint64(len(threads))))
			var all []got
			var offset []byte
			restarts := 0
			for n := 150; n < 1600; n += 250 + rnd.IntN(100) {
				out := newSink()
				out.stopAt = max(n-len(all), 60)
				x := r.start(offset, out)
				out.waitN(t, out.stopAt)
				if err := x.end(); err != nil {
					t.Fatal(err)
				}
				all = append(all, out.records()...)
				offset = out.ends[max(0, len(out.ends)-1-rnd.IntN(3))].Offset()
				if !strings.Contains(string(offset), keyProgress) || !strings.Contains(string(offset), `"snapshot":"INITIAL"`) {
					t.Fatalf("offset in a snapshot: %s", offset)
				}
				changeRows(t, r, rnd)
				restarts++
			}
			out := newSink()
			x := r.start(offset, out)
			r.Exec(t, "insert into c values (0, 'end')")
			out.wait(t, "the end", func(rs []got) bool {
				return len(rs) > 0 && rs[len(rs)-1].Op == "c" && rs[len(rs)-1].After == "{id:0 v:end}"
			}) // a snapshot may have read it too
			if err := x.end(); err != nil {
				t.Fatal(err)
			}
			if o := string(out.Stored().Offset()); strings.Contains(o, keyProgress) {
				t.Errorf("offset behind the snapshot: %s", o)
			}
			all = append(all, out.records()...)
			checkResumed(t, r, all, restarts)
		})
	}
}

// changeRows updates some rows so that they move, without touching their large values,
// changes some keys, and deletes and inserts a few.
func changeRows(t *testing.T, r *rig, rnd *rand.Rand) {
	c := r.Connect(t)
	for range 40 {
		id := 1 + rnd.IntN(2000)
		var sql string
		switch rnd.IntN(8) {
		case 0:
			sql = fmt.Sprintf("delete from b where id = %d", id)
		case 1:
			sql = fmt.Sprintf("insert into b values (%d, 'new', 'x', repeat('z', 3000)) on conflict (id) do update set v = 'again'", id)
		case 2:
			sql = fmt.Sprintf("update b set id = id + 10000 where id = %d", id)
		default:
			sql = fmt.Sprintf("update b set v = v || '+', pad = repeat('x', 2500) where id = %d", id)
		}
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

func checkResumed(t *testing.T, r *rig, all []got, restarts int) {
	t.Helper()
	const gone = "__debezium_unavailable_value"
	have, reads := map[string]string{}, map[string]int{}
	old := "" // large value of the row that a key change deletes
	for _, g := range all {
		if g.Topic != "srv.public.b" {
			if g.Op == "r" {
				reads[g.Topic+g.Key]++
			}
			continue
		}
		switch {
		case g.Op == "d":
			old = have[g.Key]
			delete(have, g.Key)
		case g.Op != "tombstone":
			was := have[g.Key]
			if strings.Contains(g.Headers, "oldkey") && was == "" {
				was = old
			}
			g.After = strings.Replace(g.After, gone, bigOf(was), 1)
			have[g.Key] = g.After
			if g.Op == "r" {
				reads[g.Topic+g.Key]++
			}
		}
	}
	rows, err := r.Connect(t).Query(t.Context(), "select id, v, pad, big from b")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		var id int
		var v, pad string
		var big *string
		if err := rows.Scan(&id, &v, &pad, &big); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("{big:<nil> id:%d pad:%s v:%s}", id, pad, v)
		if big != nil {
			want = strings.Replace(want, "<nil>", *big, 1)
		}
		key := fmt.Sprintf("{id:%d}", id)
		if have[key] != want {
			t.Errorf("row %d is %.30s… v %s, want big %.20s… v %s", id, have[key], have[key][max(0, len(have[key])-20):], bigOf(want), v)
		}
		delete(have, key)
		n++
	}
	for k := range have {
		t.Errorf("row %s is not in the table", k)
	}
	again := 0
	for _, n := range reads {
		again += n - 1
	}
	// A chunk is at most 25 rows and each reader is in one; what is stored is up to
	// three batches old; 40 rows were changed each time.
	if limit := restarts * (3*25 + 3*40 + 45); again > limit {
		t.Errorf("%d rows were read again in %d restarts, more than %d", again, restarts, limit)
	}
	for i := 1; i <= 50; i++ {
		if reads[fmt.Sprintf("srv.public.a{id:%d}", i)] != 1 {
			t.Errorf("row %d of the table that was read first came %d times", i, reads[fmt.Sprintf("srv.public.a{id:%d}", i)])
		}
	}
	t.Logf("%d rows in the end; %d read again in %d restarts", n, again, restarts)
}

// bigOf is the large value within a printed row.
func bigOf(row string) string {
	row, _, _ = strings.Cut(strings.TrimPrefix(row, "{big:"), " id:")
	return row
}

// TestSnapshotReconnects kills the connections of a running snapshot: it goes on by
// itself, and does not begin again.
func TestSnapshotReconnects(t *testing.T) {
	r := newRig(t, bigRows, "snapshot.mode", "initial", "snapshot.max.threads", "2", "snapshot.max.threads.multiplier", "30", "max.batch.size", "40")
	killer := r.Connect(t)
	out := newSink()
	kills, next := 0, 300
	out.each = func(n int) { // on the reader's goroutine, which cannot go on meanwhile
		if n < next {
			return
		}
		next += 500
		kills++
		if _, err := killer.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"); err != nil {
			t.Error(err)
		}
	}
	x := r.start(nil, out)
	out.wait(t, "the last row", func(rs []got) bool { return len(rs) > 0 && rs[len(rs)-1].Snapshot == "last" })
	r.Exec(t, "insert into c values (0, 'end')")
	rs := out.wait(t, "the row behind", func(rs []got) bool { return rs[len(rs)-1].After == "{id:0 v:end}" })
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	checkResumed(t, r, rs, kills)
}
