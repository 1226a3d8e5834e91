package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// snapshotRows is the size of the table in whose snapshot the daemon is killed.
const snapshotRows = 30000

// TestKillInSnapshot kills the daemon with SIGKILL in the midst of an initial snapshot,
// again and again, each time once the stored offset says that it has come further,
// while a writer updates, moves, deletes and inserts rows. In the end the topic gives
// the table, and the table that was read before the first kill was read once, with
// exactly-once too. (Rows of the piece that was being read come again, as they are
// read again.)
func TestKillInSnapshot(t *testing.T) {
	t.Run("at least once", func(t *testing.T) { killInSnapshot(t, "disabled", max(1, kills()/3)) })
	t.Run("exactly once", func(t *testing.T) { killInSnapshot(t, "enabled", max(1, kills()/6)) })
}

func killInSnapshot(t *testing.T, support string, rounds int) {
	db := testkit.NewDatabase(t, "snapkill")
	testkit.DropTopics(t, db.Name)
	db.Exec(t, fmt.Sprintf(`create table a (id int primary key, v text); insert into a select g, 'a' from generate_series(1, 100) g;
		create table b (id int primary key, seq bigint not null, pad text); alter table b alter pad set storage plain;
		insert into b select g, 0, repeat('x', 900) from generate_series(1, %d) g`, snapshotRows))
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "30", "session.timeout.ms": "6000", "heartbeat.interval.ms": "1500",
		"exactly.once.source.support": support})
	if _, err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	password := db.Password
	if password == "" {
		password = "none"
	}
	if err := d.Do(t.Context(), "POST", "/connectors", map[string]any{"name": db.Name, "config": map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "plugin.name": "pgoutput",
		"database.hostname": db.Host, "database.port": db.Port, "database.user": db.User, "database.password": password,
		"database.dbname": db.Name, "topic.prefix": db.Name, "slot.name": db.Name, "publication.name": db.Name, "table.include.list": "public.a,public.b",
		"snapshot.max.threads": "2", "snapshot.max.threads.multiplier": "50", "max.batch.size": "200",
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	conn := db.Connect(t)
	var werr error
	wg.Go(func() { werr = churn(ctx, conn) })

	hits, target := 0, int64(1)
	for range rounds {
		rows, inSnapshot := stored(t, d, db.Name, target)
		d.Kill()
		if inSnapshot {
			hits++
			target = rows + snapshotRows/10
		}
		if err := d.Spawn(); err != nil {
			t.Fatal(err)
		}
		if !inSnapshot {
			break
		}
	}
	stop()
	wg.Wait()
	if werr != nil {
		t.Fatalf("the writer: %v", werr)
	}
	db.Exec(t, fmt.Sprintf("insert into b values (%d, 0, 'end')", endKey))
	t.Logf("%d kills in the snapshot", hits)
	checkSnapshot(t, db, hits)
}

// churn changes rows of b until ctx ends.
func churn(ctx context.Context, c *pgx.Conn) error {
	rnd := rand.New(rand.NewPCG(5, 6))
	for n := 0; ctx.Err() == nil; n++ {
		id := 1 + rnd.IntN(snapshotRows)
		sql := fmt.Sprintf("update b set seq = seq + 1, pad = repeat('y', 1200) where id between %d and %d", id, id+4)
		switch rnd.IntN(6) {
		case 0:
			sql = fmt.Sprintf("delete from b where id = %d", id)
		case 1:
			sql = fmt.Sprintf("insert into b values (%d, %d, 'new')", snapshotRows+1+n, n)
		case 2:
			sql = fmt.Sprintf("update b set id = %d where id = %d", 10*snapshotRows+n, id)
		}
		if _, err := c.Exec(context.WithoutCancel(ctx), sql); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // a load, not a flood
	}
	return nil
}

// stored waits until the stored offset says that so many rows of b were read. in is
// false when the snapshot has ended before that.
func stored(t *testing.T, d *testkit.Daemon, name string, target int64) (rows int64, in bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var got struct {
			Offsets []struct {
				Offset struct {
					Completed bool   `json:"snapshot_completed"`
					Proc      int64  `json:"lsn_proc"`
					Progress  string `json:"millrace_snapshot_progress"`
				} `json:"offset"`
			} `json:"offsets"`
		}
		if err := d.Do(ctx, "GET", "/connectors/"+name+"/offsets", nil, &got); err == nil && len(got.Offsets) == 1 {
			o := got.Offsets[0].Offset
			if o.Completed || o.Proc != 0 {
				return 0, false
			}
			var p struct {
				Table string `json:"table"`
				Rows  int64  `json:"rows"`
			}
			if err := json.Unmarshal([]byte(o.Progress), &p); err == nil && p.Table == "public.b" && p.Rows >= target {
				return p.Rows, true
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the snapshot does not come to %d rows; the offsets are %+v\n%s", target, got, d.LogTail(3000))
		}
	}
}

// checkSnapshot follows both topics to their ends and compares them with the tables.
func checkSnapshot(t *testing.T, db *testkit.Database, hits int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(db.Name+".public.a", db.Name+".public.b"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	have, readsA, readsB := map[int]int64{}, 0, 0
	for ended := false; !ended; {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the last row did not arrive; %d keys so far", len(have))
		}
		fs.EachRecord(func(r *kgo.Record) {
			var e struct {
				Op            string
				Before, After *struct{ ID, Seq int64 }
			}
			if r.Value == nil {
				return
			}
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(r.Topic, ".a"):
				readsA++
			case e.Op == "d":
				delete(have, int(e.Before.ID))
			default:
				if e.Op == "r" {
					readsB++
				}
				have[int(e.After.ID)] = e.After.Seq
				ended = ended || e.After.ID == endKey && e.Op == "c"
			}
		})
	}
	rows, err := db.Connect(t).Query(ctx, "select id, seq from b")
	if err != nil {
		t.Fatal(err)
	}
	n, wrong := 0, 0
	for rows.Next() {
		var id int
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			t.Fatal(err)
		}
		if got, ok := have[id]; !ok || got != seq {
			if wrong++; wrong <= 5 {
				t.Errorf("row %d has seq %d in the table and %d in Kafka (%t)", id, seq, got, ok)
			}
		}
		n++
		delete(have, id)
	}
	if len(have) > 0 {
		t.Errorf("%d rows in Kafka are not in the table", len(have))
	}
	if readsA != 100 {
		t.Errorf("the table that was finished first was read %d times over", readsA/100)
	}
	t.Logf("%d rows, %d reads of %d rows in %d lives", n, readsB, snapshotRows, hits+1)
}
