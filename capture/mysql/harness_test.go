package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of the test's own connections

	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// got is a record as the tests look at it.
type got struct{ Topic, Op, Key, After, Snapshot string }

func (g got) String() string {
	return strings.TrimSpace(g.Topic + " " + g.Op + " " + g.Key + " " + g.After)
}

// sink is an output that keeps what it gets and every position.
type sink struct {
	mu      sync.Mutex
	changed chan struct{}
	recs    []got
	rows    map[string]int // rows of snapshots per table, "" for all
	ends    []end
	dead    chan struct{}
}

// end is a position and how many records lie before it.
type end struct {
	offset  []byte
	records int
}

func newSink() *sink {
	return &sink{changed: make(chan struct{}, 1), dead: make(chan struct{}), rows: map[string]int{}}
}

func (s *sink) Send(ctx context.Context, b *record.Batch, _ func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	for i := range b.Records {
		if g := render(b, &b.Records[i]); g.Op != "" {
			s.recs = append(s.recs, g)
			if g.Op == "r" {
				s.rows[""]++
				s.rows[g.Topic]++
			}
		}
	}
	s.ends = append(s.ends, end{b.End.Offset(), len(s.recs)})
	s.mu.Unlock()
	b.Release()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *sink) Stored() record.Position     { return nil }
func (s *sink) Drain(context.Context) error { return nil }
func (s *sink) Err() <-chan struct{}        { return s.dead }
func (s *sink) Cause() error                { return nil }

func (s *sink) records() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recs[:len(s.recs):len(s.recs)]
}

func (s *sink) last() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[len(s.ends)-1].offset
}

// wait returns the data records once there are n of them.
func (s *sink) wait(t *testing.T, n int) []got {
	t.Helper()
	limit := time.After(patience)
	for {
		rs := s.records()
		if len(rs) >= n {
			return rs
		}
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("waiting for %d records: got %d, the last: %v", n, len(rs), rs[max(0, len(rs)-5):])
		}
	}
}

// render keeps data records; the Op of others is "".
func render(b *record.Batch, r *record.Record) got {
	g := got{Topic: r.Topic.Name[strings.LastIndex(r.Topic.Name, ".")+1:], Key: text(b, r.KeySchema, r.Key)}
	if r.Value.IsNull() {
		g.Op = "tombstone"
		return g
	}
	get := func(name string) string {
		i, s := r.ValueSchema.Field(name)
		if i < 0 {
			return ""
		}
		return text(b, s, b.Child(r.Value, i))
	}
	g.Op, g.After = get("op"), get("after")
	if i, s := r.ValueSchema.Field("source"); i >= 0 {
		if j, _ := s.Field("snapshot"); j >= 0 {
			g.Snapshot = text(b, s.Fields[j].Schema, b.Child(b.Child(r.Value, i), j))
		}
	}
	return g
}

// text prints a value; structs as {field:value}.
func text(b *record.Batch, s *record.Schema, c record.Cell) string {
	if c.IsNull() {
		return "null"
	}
	v := record.ToGo(b, s, c)
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = fmt.Sprintf("%s:%v", k, m[k])
	}
	return "{" + strings.Join(out, " ") + "}"
}

// hosts are where the connector's user comes from; MariaDB's anonymous user of
// localhost would take precedence over '%' alone.
var hosts = []string{"%", "localhost"}

// servers runs a test on both kinds of server.
func servers(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, f := range []Flavor{MySQL, MariaDB} {
		t.Run(string(f), func(t *testing.T) { test(t, newRig(t, f)) })
	}
}

// rig is a database of its own, a user of its own that the connector logs in as,
// and the connector's properties.
type rig struct {
	t      *testing.T
	flavor Flavor
	db     *sql.DB // as the administrator, in the database
	name   string
	props  map[string]string
}

func newRig(t *testing.T, f Flavor) *rig {
	t.Helper()
	e := testkit.MySQL
	if f == MariaDB {
		e = testkit.MariaDB
	}
	return newRigAt(t, f, e(t))
}

// newRigAt makes a rig on a server.
func newRigAt(t *testing.T, f Flavor, at testkit.Endpoint) *rig {
	t.Helper()
	r := &rig{t: t, flavor: f, name: testkit.Name("cap_")}
	dsn := at.User + ":" + at.Password + "@tcp(" + net.JoinHostPort(at.Host, at.Port) + ")/"
	admin, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(text string) {
		if _, err := admin.ExecContext(context.Background(), text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	exec("CREATE DATABASE " + r.name + " CHARACTER SET utf8mb4")
	for _, host := range hosts {
		exec("CREATE USER '" + r.name + "'@'" + host + "' IDENTIFIED BY 'secret-word'")
		exec("GRANT SELECT, RELOAD, LOCK TABLES, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '" + r.name + "'@'" + host + "'")
	}
	t.Cleanup(func() {
		exec("DROP DATABASE " + r.name)
		for _, host := range hosts {
			exec("DROP USER '" + r.name + "'@'" + host + "'")
		}
		_ = admin.Close()
	})
	if r.db, err = sql.Open("mysql", dsn+r.name+"?multiStatements=true"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	var id uint32
	for _, c := range []byte(r.name) {
		id = id*31 + uint32(c)
	}
	r.props = map[string]string{"topic.prefix": "srv", "database.hostname": at.Host, "database.port": at.Port, "database.user": r.name, "database.password": "secret-word",
		"database.server.id": fmt.Sprint(id>>8 + 1000), "database.include.list": r.name, "schema.history.internal": classFileHistory,
		"schema.history.internal.file.filename": filepath.Join(t.TempDir(), "history"), "retriable.restart.connector.wait.ms": "100",
		"schema.history.internal.store.only.captured.databases.ddl": "true", "snapshot.mode": "no_data"}
	return r
}

func (r *rig) exec(text string) {
	r.t.Helper()
	if _, err := r.db.ExecContext(r.t.Context(), text); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
}

// run is a running source.
type run struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

// start runs a source from an offset until stop, or the end of the test.
func (r *rig) start(offset []byte, out *sink, more ...string) *run {
	r.t.Helper()
	props := map[string]string{}
	for k, v := range r.props {
		props[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		props[more[i]] = more[i+1]
	}
	src, err := NewSource(r.flavor, "cap", 0, props, testkit.Log(r.t), metrics.New().Task("cap", "0"))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &run{t: r.t, stop: cancel, done: make(chan error, 1)}
	go func() {
		err := src.run(ctx, offset, out, nil)
		if err != nil {
			r.t.Logf("the source ended: %v", err)
		}
		x.done <- err
	}()
	r.t.Cleanup(func() { cancel(); _ = x.err() })
	return x
}

// streaming waits until the snapshot's position is known, so that what follows is
// in the stream.
func (r *rig) streaming(out *sink) {
	r.t.Helper()
	limit := time.After(patience)
	for {
		out.mu.Lock()
		n := len(out.ends)
		done := n > 0 && !strings.Contains(string(out.ends[n-1].offset), `"snapshot"`)
		out.mu.Unlock()
		if done {
			return
		}
		select {
		case <-out.changed:
		case <-limit:
			r.t.Fatal("streaming did not begin")
		}
	}
}

// end stops the source in order and returns its error.
func (x *run) end() error {
	x.t.Helper()
	x.stop()
	return x.err()
}

// err waits for the source to end.
func (x *run) err() error {
	x.t.Helper()
	select {
	case err := <-x.done:
		x.done <- err
		return err
	case <-time.After(patience):
		x.t.Error("the source did not end")
		return nil
	}
}
