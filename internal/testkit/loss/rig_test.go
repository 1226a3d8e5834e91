package loss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/capture/postgres"
	"millrace/emit"
	"millrace/internal/convert"
	"millrace/internal/kafkaconf"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/internal/testkit/fault"
)

// patience bounds every wait for something that must come.
const patience = 3 * time.Minute

// rig is a database, Kafka, a proxy before each, and the offsets of one connector.
type rig struct {
	t      *testing.T
	db     *testkit.Database
	pg, kf *fault.Proxy
	conn   *pgx.Conn // not through the proxy
	props  map[string]string
	offs   *offsets
	task   *task // the one that was started last
	n      int   // the number of the last change
	base   int   // offsets that were stored before this task, or the last look
	// lost says what is missing when a read does not come to its end; may be nil.
	lost func() string
}

// offsets is the durable store: what it holds survives a kill.
type offsets struct {
	mu    sync.Mutex
	last  []byte
	puts  int
	limit int // takes no more than this many; 0: all
	dead  bool
	moved chan struct{}
}

var errCrashed = errors.New("the process is gone")

func (o *offsets) Put(_ context.Context, _, offset []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead || o.limit > 0 && o.puts >= o.limit {
		return errCrashed
	}
	o.last, o.puts = append([]byte(nil), offset...), o.puts+1
	select {
	case o.moved <- struct{}{}:
	default:
	}
	return nil
}

func (o *offsets) get() []byte { o.mu.Lock(); defer o.mu.Unlock(); return o.last }

// newRig makes them; the setup's tables are there before the connector is.
func newRig(t *testing.T, setup string, more ...string) *rig {
	t.Helper()
	db := testkit.NewDatabase(t, "loss_")
	testkit.DropTopics(t, db.Name)
	r := &rig{t: t, db: db, pg: fault.New(t, net.JoinHostPort(db.Host, db.Port)), kf: fault.New(t, testkit.Kafka(t)), conn: db.Connect(t), offs: &offsets{moved: make(chan struct{}, 1)}}
	r.exec(setup)
	r.props = map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": db.Name, "plugin.name": "pgoutput",
		"database.hostname": "127.0.0.1", "database.port": r.pg.Port(), "database.user": db.User, "database.password": "x", "database.dbname": db.Name,
		"slot.name": db.Name, "publication.name": db.Name, "retriable.restart.connector.wait.ms": "100", "status.update.interval.ms": "100",
		"max.batch.size": "50", "driver.connectTimeout": "5",
	}
	for i := 0; i+1 < len(more); i += 2 {
		r.props[more[i]] = more[i+1]
	}
	return r
}

func (r *rig) exec(sql string) {
	r.t.Helper()
	if _, err := r.conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

func (r *rig) one(sql string) string {
	r.t.Helper()
	var v *string
	if err := r.conn.QueryRow(context.Background(), sql).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

// finish runs the task once more until all of table t has arrived: each number is
// there, in order of its first record.
func (r *rig) finish() {
	r.t.Helper()
	x := r.start()
	cs := r.end("t")
	r.t.Logf("%d records, %d repeated", len(cs), contiguous(r.t, cs, r.n))
	x.stop()
}

// next is the number of the next change.
func (r *rig) next() int { r.n++; return r.n }

// insert inserts k rows with one statement.
func (r *rig) insert(table string, k int) {
	from := r.n + 1
	r.n += k
	r.exec(fmt.Sprintf("insert into %s (id, n) select g, g from generate_series(%d, %d) g", table, from, r.n))
}

// copy puts k rows in by COPY: they share log positions.
func (r *rig) copy(table string, k int) {
	r.t.Helper()
	var sb strings.Builder
	for range k {
		n := r.next()
		fmt.Fprintf(&sb, "%d\t%d\n", n, n)
	}
	if _, err := r.conn.PgConn().CopyFrom(context.Background(), strings.NewReader(sb.String()), "copy "+table+" (id, n) from stdin"); err != nil {
		r.t.Fatal(err)
	}
}

// task is a running task: source and pipeline.
type task struct {
	r      *rig
	cancel context.CancelFunc // asks it to stop
	cut    context.CancelFunc // ends it at once
	client *kgo.Client
	done   chan error
	once   sync.Once
	err    error
}

// start runs the connector from what is stored.
func (r *rig) start() *task {
	r.t.Helper()
	props := maps.Clone(r.props)
	m := metrics.New().Task(r.db.Name, "0")
	src, err := postgres.NewSource(r.db.Name, 0, props, testkit.Log(r.t), m)
	if err != nil {
		r.t.Fatal(err)
	}
	conf := kafkaconf.Producer(map[string]string{"bootstrap.servers": r.kf.Addr(), "retry.backoff.ms": "20", "retry.backoff.max.ms": "200", "request.timeout.ms": "5000"})
	if err := conf.Err(); err != nil {
		r.t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) { // whatever the broker calls itself
		var d net.Dialer
		return d.DialContext(ctx, network, r.kf.Addr())
	}
	client, err := kgo.NewClient(append(conf.Opts, kgo.Dialer(dial), kgo.AllowAutoTopicCreation())...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.offs.mu.Lock()
	r.offs.dead = false
	offset := r.offs.last
	r.base = r.offs.puts
	r.offs.mu.Unlock()
	json := map[string]string{"schemas.enable": "false"}
	conv := func(key bool) convert.Converter {
		c, err := convert.NewJSON(json, key)
		if err != nil {
			r.t.Fatal(err)
		}
		return c
	}
	header, err := convert.NewJSONHeader(json)
	if err != nil {
		r.t.Fatal(err)
	}
	out := emit.New(emit.Config{Connector: r.db.Name, Key: conv(true), Value: conv(false), Header: header, Client: client, Topics: anyTopic{},
		Partition: src.Partition(), Offsets: r.offs, FlushInterval: 20 * time.Millisecond, FlushTimeout: 5 * time.Second, OnStored: src.OnStored, Log: testkit.Log(r.t), Metrics: m})
	run, cancel := context.WithCancel(context.Background())
	hard, cut := context.WithCancel(context.Background())
	x := &task{r: r, cancel: cancel, cut: cut, client: client, done: make(chan error, 1)}
	up := make(chan struct{})
	out.Start(hard)
	go func() {
		defer context.AfterFunc(hard, client.Close)()
		err := src.Run(run, offset, out, func() { close(up) })
		ctx, end := context.WithTimeout(hard, patience)
		defer end()
		if derr := out.Drain(ctx); err == nil {
			err = derr
		}
		x.done <- err
	}()
	r.task = x
	r.t.Cleanup(func() { x.kill() })
	select {
	case <-up:
	case x.err = <-x.done:
		x.done <- x.err
	case <-time.After(patience):
		r.t.Fatal("the task did not start")
	}
	return x
}

type anyTopic struct{}

func (anyTopic) Ensure(context.Context, string) error { return nil }

// kill ends the task as a crash does: nothing more is stored, confirmed or sent.
func (x *task) kill() {
	x.once.Do(func() {
		x.r.offs.mu.Lock()
		x.r.offs.dead = true
		x.r.offs.mu.Unlock()
		x.cut()
		x.cancel()
		x.err = x.wait()
	})
}

// stop ends the task in order.
func (x *task) stop() {
	x.r.t.Helper()
	x.once.Do(func() {
		x.cancel()
		x.err = x.wait()
		x.cut()
	})
	if x.err != nil {
		x.r.t.Fatalf("the task ended with: %v", x.err)
	}
}

// fails waits for the task to end by itself, with an error that has the words.
func (x *task) fails(words ...string) {
	x.r.t.Helper()
	err := x.wait()
	x.done <- err
	x.kill()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			x.r.t.Errorf("the task ended with %v, which does not say %q", err, w)
		}
	}
}

func (x *task) wait() error {
	select {
	case err := <-x.done:
		return err
	case <-time.After(patience):
		x.r.t.Error("the task does not end")
		return nil
	}
}

// stores waits until an offset was stored since the last call, or the start of the
// task, and then a moment for k of them: a quick pipeline may store them all as one.
func (r *rig) stores(k int) {
	r.t.Helper()
	r.offs.mu.Lock()
	first, want := r.base+1, r.base+k
	r.offs.mu.Unlock()
	defer func() { r.offs.mu.Lock(); r.base = r.offs.puts; r.offs.mu.Unlock() }()
	limit, moment := time.After(patience), time.After(time.Second)
	for {
		r.offs.mu.Lock()
		have := r.offs.puts
		r.offs.mu.Unlock()
		if have >= want {
			return
		}
		select {
		case <-r.offs.moved:
		case <-moment:
			if have >= first {
				return
			}
			moment = time.After(time.Second)
		case <-limit:
			r.t.Fatal("no offset was stored")
		}
	}
}

// until waits for a state of the server that announces nothing.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("waiting: %s", what)
		}
	}
}

// cuts has the connection that streams closed after some more bytes of it, which do
// gives it to send, and returns once that has happened.
func (r *rig) cuts(bytes int, do func()) {
	r.t.Helper()
	reader := func() string {
		return r.one("select coalesce(active_pid, 0)::text from pg_replication_slots where slot_name = '" + r.db.Name + "'")
	}
	r.until("the source streams", func() bool { return reader() != "0" })
	before := reader()
	r.pg.Add(fault.LimitData, true, map[string]int{"bytes": bytes})
	do()
	r.until("the connection is cut", func() bool { return reader() != before })
	r.pg.Heal()
}

// confirmed is how far the slot was confirmed, as a number.
func (r *rig) confirmed() uint64 {
	r.t.Helper()
	n, err := strconv.ParseUint(r.one(fmt.Sprintf("select (confirmed_flush_lsn - '0/0')::text from pg_replication_slots where slot_name = '%s'", r.db.Name)), 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// storedLSN is the position in the stored offset.
func (r *rig) storedLSN() uint64 {
	var o struct {
		Commit uint64 `json:"lsn_commit"`
		Proc   uint64 `json:"lsn_proc"`
		LSN    uint64 `json:"lsn"`
	}
	if b := r.offs.get(); b != nil {
		if err := json.Unmarshal(b, &o); err != nil {
			r.t.Fatalf("%s: %v", b, err)
		}
	}
	return max(o.Commit, o.Proc, o.LSN)
}

// change is a record of the topic.
type change struct {
	Op     string
	ID, N  int
	Before int // id of the row before; 0 none
}

// end writes the last row, through a running task, and returns all records of the
// topic up to it.
func (r *rig) end(table string) []change {
	r.t.Helper()
	r.exec("insert into " + table + " (id, n) values (-1, -1)")
	return r.read(table, func(c change) bool { return c.ID == -1 })
}

// read reads the topic of a table until last says so.
func (r *rig) read(table string, last func(change) bool) []change {
	r.t.Helper()
	cl := testkit.Client(r.t, kgo.ConsumeTopics(r.db.Name+".public."+table), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var out []change
	for {
		select {
		case err := <-r.task.done:
			r.task.done <- err
			r.t.Fatalf("the task has ended, with: %v", err)
		default:
		}
		poll, stop := context.WithTimeout(ctx, time.Second)
		fs := cl.PollFetches(poll)
		stop()
		if ctx.Err() != nil {
			why := ""
			if r.lost != nil {
				why = r.lost()
			}
			r.t.Fatalf("the last row of %s did not come; %d records, the last %v; %s", table, len(out), out[max(0, len(out)-3):], why)
		}
		ended := false
		fs.EachRecord(func(k *kgo.Record) {
			c := parse(r.t, k)
			out = append(out, c)
			ended = ended || last(c)
		})
		if ended {
			return out
		}
	}
}

func parse(t *testing.T, k *kgo.Record) change {
	t.Helper()
	type row struct{ ID, N int }
	var e struct {
		Op            string
		Before, After *row
	}
	if k.Value == nil {
		var key row
		if err := json.Unmarshal(k.Key, &key); err != nil {
			t.Fatalf("key %s: %v", k.Key, err)
		}
		return change{Op: "tombstone", ID: key.ID}
	}
	if err := json.Unmarshal(k.Value, &e); err != nil {
		t.Fatalf("%s: %v", k.Value, err)
	}
	c := change{Op: e.Op}
	if e.Before != nil {
		c.Before, c.ID = e.Before.ID, e.Before.ID
	}
	if e.After != nil {
		c.ID, c.N = e.After.ID, e.After.N
	}
	return c
}

// contiguous wants the numbers 1 to last without a gap; it returns how many
// records were repeated.
func contiguous(t *testing.T, cs []change, last int) (repeated int) {
	t.Helper()
	most := 0
	for i, c := range cs {
		switch {
		case c.N <= 0: // tombstones, deletes, the last row
		case c.N > most+1:
			t.Fatalf("record %d: %d comes after %d; %d changes are missing", i, c.N, most, c.N-most-1)
		case c.N <= most:
			repeated++
		default:
			most = c.N
		}
	}
	if most != last {
		t.Fatalf("the topic ends with change %d of %d", most, last)
	}
	return repeated
}

var _ record.Position = (*postgres.Position)(nil)
