package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of the writer's connection
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// existingMySQL are so many rows that a kill often hits the snapshot, which then
// goes on.
const existingMySQL = 30_000

func TestKillLoopMySQL(t *testing.T) {
	killLoopMySQL(t, testkit.MySQL(t), "io.debezium.connector.mysql.MySqlConnector")
}

// TestExactlyOnceMySQL kills the daemon in its snapshot and later, with
// exactly.once.support=required: a reader of committed records gets each of them once.
func TestExactlyOnceMySQL(t *testing.T) {
	w, name, config := setUpMySQL(t, testkit.MySQL(t), "io.debezium.connector.mysql.MySqlConnector")
	config["exactly.once.support"], config["max.batch.size"] = "required", "500"
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "200", "exactly.once.source.support": "enabled"})
	post(t, d, name, config)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	awaitRecords(t, name+"."+name+".t", 1)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for i := range (kills() + 1) / 2 {
		if i > 0 {
			if err := d.Spawn(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(30+rnd.IntN(2500)) * time.Millisecond) // the moment of the kill is meant to be blind
		}
		d.Kill()
	}
	if err := d.Spawn(); err != nil {
		t.Fatal(err)
	}
	stop()
	wg.Wait()
	if w.err != nil {
		t.Fatalf("the writer: %v", w.err)
	}
	w.end(t)
	check(t, name+"."+name+".t", w.committed, kills(), kgo.ReadCommitted())
	once(t, name+"."+name+".t", int64(len(w.committed)+1))
	t.Logf("snapshots that went on: %d", strings.Count(d.LogTail(math.MaxInt), "an interrupted snapshot goes on"))
}

// awaitRecords returns when so many committed records are in a topic.
func awaitRecords(t *testing.T, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for n > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatal("nothing was read")
		}
		n -= fs.NumRecords()
	}
}

// once reads the committed records of a topic until it has seen all keys, and the end:
// no record may come twice.
func once(t *testing.T, topic string, keys int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	seen, ids, twice := map[string]bool{}, map[int]bool{}, 0
	for int64(len(ids)) < keys {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d keys", len(ids), keys)
		}
		fs.EachRecord(func(r *kgo.Record) {
			var e struct {
				Op    string
				After struct{ ID, Seq int }
			}
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s of key %d, seq %d", e.Op, e.After.ID, e.After.Seq)
			if e.Op == "r" { // whatever it holds
				what = fmt.Sprintf("r of key %d", e.After.ID)
			}
			if seen[what] {
				if twice++; twice <= 5 {
					t.Errorf("%s came twice", what)
				}
			}
			seen[what], ids[e.After.ID] = true, true
		})
	}
	t.Logf("%d records, %d of them twice", len(seen)+twice, twice)
}

func TestKillLoopMariaDB(t *testing.T) {
	killLoopMySQL(t, testkit.MariaDB(t), "io.debezium.connector.mariadb.MariaDbConnector")
}

func killLoopMySQL(t *testing.T, at testkit.Endpoint, class string) {
	w, name, config := setUpMySQL(t, at, class)
	n := kills()
	if n < 10 {
		n = (n + 1) / 2 // there are two of these servers
	}
	killLoop(t, w, name, name+"."+name+".t", config, n)
}

// setUpMySQL makes a database with rows, a writer and the config of a connector.
func setUpMySQL(t *testing.T, at testkit.Endpoint, class string) (w *writer, name string, config map[string]string) {
	t.Helper()
	name = testkit.Name("kill")
	testkit.DropTopics(t, name)
	dsn := at.User + ":" + at.Password + "@tcp(" + net.JoinHostPort(at.Host, at.Port) + ")/"
	admin := open(t, dsn)
	exec(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name); err != nil {
			t.Errorf("dropping database %s: %v", name, err)
		}
	})
	db := open(t, dsn+name+"?interpolateParams=true")
	exec(t, db, "create table t (id int primary key, seq bigint not null, note text)")
	exec(t, db, "create table d (i int primary key)")
	exec(t, db, "insert into d values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
	exec(t, db, "insert into t select 1 + a.i + 10 * b.i + 100 * c.i + 1000 * e.i + 10000 * f.i as n, 1, 'there before' from d a, d b, d c, d e, d f having n <= "+strconv.Itoa(existingMySQL))
	w = newWriter(existingMySQL, func(ops []op, commit bool) error { return writeMySQL(db, ops, commit) })
	config = map[string]string{
		"connector.class": class, "tasks.max": "1", "database.hostname": at.Host, "database.port": at.Port, "database.user": at.User, "database.password": at.Password,
		"database.server.id": fmt.Sprint(1_000_000 + hexOf(name)), "topic.prefix": name, "table.include.list": name + ".t", "snapshot.max.threads": "2",
		"schema.history.internal.kafka.bootstrap.servers": testkit.Kafka(t), "schema.history.internal.kafka.topic": name + "-history",
		"schema.history.internal.store.only.captured.databases.ddl": "true", "database.include.list": name,
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}
	return w, name, config
}

// hexOf is the number that a name made by testkit.Name ends with: server ids must
// differ between tests that run at once.
func hexOf(name string) int64 {
	n, err := strconv.ParseInt(name[len(name)-6:], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func writeMySQL(db *sql.DB, ops []op, commit bool) error {
	ctx := context.Background() // a commit that was begun is finished
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, o := range ops {
		text := "update t set seq = ?, note = ? where id = ?"
		if o.insert {
			text = "insert into t (seq, note, id) values (?, ?, ?)"
		}
		if _, err := tx.ExecContext(ctx, text, o.seq, o.note, o.id); err != nil {
			return err
		}
	}
	if !commit {
		return tx.Rollback()
	}
	return tx.Commit()
}
