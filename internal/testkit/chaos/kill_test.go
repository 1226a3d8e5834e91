package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
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

// patience bounds the wait for what must come.
const patience = 5 * time.Minute

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
	conn := db.Connect(t)
	w := newWriter(existing, func(ops []op, commit bool) error { return writePostgres(conn, ops, commit) })
	killLoop(t, w, db.Name, db.Name+".public.t", postgresConfig(db), kills())
}

// killLoop runs a connector under the writer, kills the daemon n times and compares
// the topic with what was committed.
func killLoop(t *testing.T, w *writer, name, topic string, config map[string]string, n int) {
	t.Helper()
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "200"})
	post(t, d, name, config)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })

	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for i := range n {
		life := time.Duration(30+rnd.IntN(2000)) * time.Millisecond
		var err error
		switch { // the first life began with the POST; of the others every second one gets far enough to work
		case i%2 == 1:
			_, err = d.Start(t.Context())
		case i > 0:
			err = d.Spawn()
		}
		if err != nil {
			t.Fatal(err)
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
	check(t, topic, w.committed, n, kgo.ReadUncommitted())
	t.Logf("snapshots that went on: %d", strings.Count(d.LogTail(math.MaxInt), "an interrupted snapshot goes on"))
}

// post starts the daemon and creates the connector.
func post(t *testing.T, d *testkit.Daemon, name string, config map[string]string) {
	t.Helper()
	if _, err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Do(t.Context(), "POST", "/connectors", map[string]any{"name": name, "config": config}, nil); err != nil {
		t.Fatal(err)
	}
}

func postgresConfig(db *testkit.Database) map[string]string {
	password := db.Password
	if password == "" {
		password = "none"
	}
	return map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "plugin.name": "pgoutput",
		"database.hostname": db.Host, "database.port": db.Port, "database.user": db.User, "database.password": password,
		"database.dbname": db.Name, "topic.prefix": db.Name, "slot.name": db.Name, "publication.name": db.Name, "table.include.list": "public.t",
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}
}

// op is one statement of a transaction: an insert, or an update to seq.
type op struct {
	id     int
	seq    int64
	insert bool
	note   string
}

func writePostgres(conn *pgx.Conn, ops []op, commit bool) error {
	ctx := context.Background() // a commit that was begun is finished
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	for _, o := range ops {
		sql := "update t set seq = $1, note = $2 where id = $3"
		if o.insert {
			sql = "insert into t (seq, note, id) values ($1, $2, $3)"
		}
		if _, err := tx.Exec(ctx, sql, o.seq, o.note, o.id); err != nil {
			return err
		}
	}
	if !commit {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

// writer commits transactions and remembers what it has committed.
type writer struct {
	write     func(ops []op, commit bool) error
	committed map[int]int64 // the last seq of each key
	next      int           // the last inserted key
	txs       int
	err       error
}

// newWriter makes a writer for a table of which rows 1 to there are there, with seq 1.
func newWriter(there int, write func(ops []op, commit bool) error) *writer {
	w := &writer{write: write, committed: map[int]int64{}, next: there}
	for id := 1; id <= there; id++ {
		w.committed[id] = 1
	}
	return w
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
	touched := map[int]int64{}
	var ops []op
	for range 1 + rnd.IntN(8) {
		id := 1 + rnd.IntN(keys)
		seq := touched[id]
		if seq == 0 {
			seq = w.committed[id]
		}
		touched[id] = seq + 1
		ops = append(ops, op{id, seq + 1, false, "update"})
	}
	w.next++
	touched[w.next] = 1
	ops = append(ops, op{w.next, 1, true, "insert"})
	commit := rnd.IntN(20) != 0
	if err := w.write(ops, commit); err != nil || !commit {
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
	if err := w.write([]op{{endKey, 1, true, "end"}}, true); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d transactions on %d keys", w.txs, len(w.committed))
}

// check reads the topic until the last row and compares it with what was committed.
func check(t *testing.T, topic string, committed map[int]int64, n int, level kgo.IsolationLevel) (repeated int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(level))
	h := history{last: map[int]int64{}, most: map[int]int64{}, streamed: map[int]bool{}}
	for !h.ended || !h.complete(committed) { // a snapshot may have the last row before others
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil && h.ended {
			break
		}
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

// complete reports whether every key was seen as it was committed last.
func (h *history) complete(committed map[int]int64) bool {
	for id, seq := range committed {
		if h.most[id] != seq {
			return false
		}
	}
	return true
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
		if h.streamed[id] { // the offset behind the snapshot was not stored yet, so its end is read again
			h.repeated++
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
