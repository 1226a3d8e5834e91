package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

const (
	keys     = 200  // rows that are updated over and over
	existing = 3000 // rows that are there before the connector, so that kills also hit the snapshot
	endKey   = -1   // the last row that is written
)

// kills is how often the daemon is killed: MILLRACE_TEST_KILLS, or 2 with -short,
// or 6. `MILLRACE_TEST_KILLS=30 go test ./internal/testkit/chaos -v` is the long form.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_TEST_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return 2
	}
	return 6
}

// TestKillLoop kills the daemon at random moments of its life: while it starts,
// makes its snapshot, streams, stores offsets.
func TestKillLoop(t *testing.T) {
	db := testkit.NewDatabase(t, "kill")
	testkit.DropTopics(t, db.Name)
	db.Exec(t, fmt.Sprintf(`create table t (id int primary key, seq bigint not null, note text);
		insert into t select g, 1, 'there before' from generate_series(1, %d) g`, existing))
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "200"})
	post(t, d, db)

	w := &writer{conn: db.Connect(t), committed: map[int]int64{}, next: existing}
	for id := 1; id <= existing; id++ {
		w.committed[id] = 1
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })

	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	n := kills()
	for i := range n {
		life := time.Duration(30+rnd.IntN(1500)) * time.Millisecond
		if i > 0 { // the first life began with the POST
			if err := d.Spawn(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(life) // the moment of the kill is meant to be blind
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
	check(t, db.Name+".public.t", w.committed, n, kgo.ReadUncommitted())
}

// post starts the daemon and creates the connector.
func post(t *testing.T, d *testkit.Daemon, db *testkit.Database) {
	t.Helper()
	if _, err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	password := db.Password
	if password == "" {
		password = "none"
	}
	err := d.Do(t.Context(), "POST", "/connectors", map[string]any{"name": db.Name, "config": map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "plugin.name": "pgoutput",
		"database.hostname": db.Host, "database.port": db.Port, "database.user": db.User, "database.password": password,
		"database.dbname": db.Name, "topic.prefix": db.Name, "slot.name": db.Name, "publication.name": db.Name, "table.include.list": "public.t",
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// writer commits transactions and remembers what it has committed.
type writer struct {
	conn      *pgx.Conn
	committed map[int]int64 // the last seq of each key
	next      int           // the last inserted key
	txs       int
	err       error
}

// run updates a few rows and inserts one in each transaction, some of them rolled back.
func (w *writer) run(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(7, 11))
	for ctx.Err() == nil && w.err == nil {
		w.err = w.tx(rnd)
		time.Sleep(time.Duration(rnd.IntN(4)) * time.Millisecond) // about 400 transactions a second at most
	}
}

func (w *writer) tx(rnd *rand.Rand) error {
	ctx := context.Background() // a commit that was begun is finished
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	touched := map[int]int64{}
	for range 1 + rnd.IntN(8) {
		id := 1 + rnd.IntN(keys)
		seq := touched[id]
		if seq == 0 {
			seq = w.committed[id]
		}
		if _, err := tx.Exec(ctx, "update t set seq = $1, note = $2 where id = $3", seq+1, "update", id); err != nil {
			return err
		}
		touched[id] = seq + 1
	}
	w.next++
	if _, err := tx.Exec(ctx, "insert into t values ($1, 1, 'insert')", w.next); err != nil {
		return err
	}
	touched[w.next] = 1
	if rnd.IntN(20) == 0 {
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.txs++
	for k, v := range touched {
		w.committed[k] = v
	}
	return nil
}

// end writes the last row.
func (w *writer) end(t *testing.T) {
	t.Helper()
	if _, err := w.conn.Exec(t.Context(), "insert into t values ($1, 1, 'end')", endKey); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d transactions on %d keys", w.txs, len(w.committed))
}

// check reads the topic until the last row and compares it with what was committed.
func check(t *testing.T, topic string, committed map[int]int64, n int, level kgo.IsolationLevel) (repeated int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(level))
	h := history{last: map[int]int64{}, most: map[int]int64{}, streamed: map[int]bool{}}
	for !h.ended {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the last row did not arrive; %d records, %d keys so far", h.records, len(h.most))
		}
		fs.EachRecord(func(r *kgo.Record) {
			if err := h.add(r.Value); err != nil {
				t.Errorf("%s at offset %d: %v", topic, r.Offset, err)
			}
		})
	}
	missing := 0
	for id, seq := range committed {
		if h.most[id] != seq {
			missing++
			if missing <= 5 {
				t.Errorf("key %d was committed up to %d and is in Kafka up to %d", id, seq, h.most[id])
			}
		}
	}
	for id := range h.most {
		if _, ok := committed[id]; !ok && id != endKey {
			t.Errorf("key %d is in Kafka and was never committed", id)
		}
	}
	t.Logf("%d kills: %d records, %d repeated, %d of %d keys incomplete", n, h.records, h.repeated, missing, len(committed))
	return h.repeated
}

// history follows one partition: the changes of a key come one after the other; a
// restart may step back and repeat, but never leap forward.
type history struct {
	last, most        map[int]int64
	streamed          map[int]bool
	records, repeated int
	ended             bool
}

func (h *history) add(value []byte) error {
	if value == nil {
		return nil
	}
	var e struct {
		Op    string `json:"op"`
		After *struct {
			ID  int   `json:"id"`
			Seq int64 `json:"seq"`
		} `json:"after"`
	}
	if err := json.Unmarshal(value, &e); err != nil || e.After == nil {
		return fmt.Errorf("no envelope: %s, %w", value, err)
	}
	h.records++
	id, seq := e.After.ID, e.After.Seq
	h.ended = h.ended || id == endKey
	if e.Op == "r" {
		if h.streamed[id] {
			return fmt.Errorf("key %d comes in a snapshot after it was streamed", id)
		}
		h.last[id], h.most[id] = seq, max(seq, h.most[id])
		return nil
	}
	h.streamed[id] = true
	if seq <= h.most[id] {
		h.repeated++
	}
	if seq > h.last[id]+1 {
		return fmt.Errorf("key %d leaps from %d to %d", id, h.last[id], seq)
	}
	h.last[id], h.most[id] = seq, max(seq, h.most[id])
	return nil
}
