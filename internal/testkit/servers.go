package testkit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Endpoint is a server, in the parts that connector configs ask for.
type Endpoint struct {
	URL, Host, Port, User, Password string
}

// env returns a variable that names a server. Without it the test is skipped, or
// fails where CI is set: a missing server must never look like a passing test.
func env(t testing.TB, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" && os.Getenv("CI") != "" {
		t.Fatalf("%s is not set; run the tests with `make test`", name)
	}
	if v == "" {
		t.Skipf("%s is not set; `make test` starts the servers, or: eval \"$(scripts/servers env)\"", name)
	}
	return v
}

func endpoint(t testing.TB, name, port string) Endpoint {
	t.Helper()
	u, err := url.Parse(env(t, name))
	if err != nil || u.Host == "" {
		t.Fatalf("%s=%q is no URL such as scheme://user:password@host:port", name, os.Getenv(name))
	}
	e := Endpoint{URL: u.String(), Host: u.Hostname(), Port: u.Port(), User: u.User.Username()}
	e.Password, _ = u.User.Password()
	if e.Port == "" {
		e.Port = port
	}
	return e
}

// Postgres returns the PostgreSQL server of MILLRACE_TEST_PG.
func Postgres(t testing.TB) Endpoint { t.Helper(); return endpoint(t, "MILLRACE_TEST_PG", "5432") }

// MySQL returns the MySQL server of MILLRACE_TEST_MYSQL.
func MySQL(t testing.TB) Endpoint { t.Helper(); return endpoint(t, "MILLRACE_TEST_MYSQL", "3306") }

// MariaDB returns the MariaDB server of MILLRACE_TEST_MARIADB.
func MariaDB(t testing.TB) Endpoint { t.Helper(); return endpoint(t, "MILLRACE_TEST_MARIADB", "3306") }

// Kafka returns the bootstrap server of MILLRACE_TEST_KAFKA, host:port.
func Kafka(t testing.TB) string { t.Helper(); return env(t, "MILLRACE_TEST_KAFKA") }

// Name makes a name that no other test run uses: prefix and six hex digits.
func Name(prefix string) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// Log returns a logger that writes to the test's log.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// Database is a PostgreSQL database of one test's own.
type Database struct {
	Endpoint
	Name string // database name
}

// NewDatabase creates a database named prefix and six hex digits. When the test
// ends, its slots are dropped and then it.
func NewDatabase(t testing.TB, prefix string) *Database {
	t.Helper()
	d, err := CreateDatabase(t.Context(), Postgres(t), Name(prefix))
	if err != nil {
		t.Fatalf("creating a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Drop(ctx); err != nil {
			t.Errorf("dropping database %s: %v", d.Name, err)
		}
	})
	return d
}

// CreateDatabase creates database name on a server.
func CreateDatabase(ctx context.Context, server Endpoint, name string) (*Database, error) {
	c, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, err
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + name
	d := &Database{Endpoint: server, Name: name}
	d.URL = u.String()
	return d, nil
}

// Connect opens a connection to the database; it is closed when the test ends.
func (d *Database) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatalf("connecting to %s: %v", d.Name, err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// Exec runs statements, separated by semicolons, as one implicit transaction.
func (d *Database) Exec(t testing.TB, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatalf("connecting to %s: %v", d.Name, err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Drop drops the database's slots, waiting for the ones in use, and the database.
func (d *Database) Drop(ctx context.Context) error {
	u, err := url.Parse(d.URL)
	if err != nil {
		return err
	}
	u.Path = "/postgres"
	c, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	for tries := 0; ; tries++ {
		// Whoever still holds a slot of a dying database is cut off.
		_, err = c.Exec(ctx, "select pg_terminate_backend(active_pid) from pg_replication_slots where database=$1 and active", d.Name)
		if err == nil {
			_, err = c.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database=$1", d.Name)
		}
		if err == nil || tries == 600 {
			break
		}
		time.Sleep(50 * time.Millisecond) // a server process is going away; nothing announces it
	}
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "drop database if exists "+pgx.Identifier{d.Name}.Sanitize()+" with (force)")
	return err
}

// Client returns a Kafka client that is closed when the test ends.
func Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(Kafka(t))}, opts...)...)
	if err != nil {
		t.Fatalf("Kafka client: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// DropTopics deletes, when the test ends, every topic whose name holds token.
func DropTopics(t testing.TB, token string) {
	t.Helper()
	bootstrap := Kafka(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := DeleteTopics(ctx, bootstrap, token); err != nil {
			t.Errorf("deleting topics of %s: %v", token, err)
		}
	})
}

// DeleteTopics deletes every topic whose name holds token.
func DeleteTopics(ctx context.Context, bootstrap, token string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range all.Names() {
		if strings.Contains(n, token) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err = adm.DeleteTopics(ctx, names...)
	return err
}

// DieWithParent makes a child process end when the test process is killed, so that
// none is left behind, where the system can do that.
func DieWithParent() *syscall.SysProcAttr { return dieWithParent() }

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on. It is none of those
// that the system gives to connections and to listeners of port 0, so that nobody gets
// it before the server that it is for has started, nor while that is down.
func FreePort(t testing.TB) string {
	t.Helper()
	p, err := freePort()
	if err != nil {
		t.Fatalf("no free port: %v", err)
	}
	return p
}

func freePort() (p string, err error) {
	for range 100 {
		p = strconv.Itoa(20_000 + mrand.IntN(12_000)) // Linux gives from 32,768 on, others from 49,152 on
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+p); err == nil {
			return p, l.Close()
		}
	}
	return "", err
}
