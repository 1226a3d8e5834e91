package demo

import (
	"bytes"
	"context"
	_ "embed" // the connector JSONs
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

//go:embed source.json
var sourceJSON string

//go:embed sink.json
var sinkJSON string

// StartWorker starts a worker with Kafka Connect worker properties in this
// process, as `millrace run` does, and returns once its REST server answers. stop
// ends it and waits until it has ended.
type StartWorker func(ctx context.Context, props map[string]string, log *slog.Logger) (stop func() error, err error)

// Options are the settings of a demo.
type Options struct {
	Postgres string // URL of an existing server; "": an embedded one
	MySQL    string // URL of an existing MySQL or MariaDB to show instead, or "embedded"
	Kafka    string // bootstrap servers; "": an in-process one
	Registry string // URL; "": an in-process one
	Rate     int    // transactions per second
	Seconds  int    // how long; 0: until ctx ends

	Out             io.Writer
	JSON            bool // one JSON object a line, for scripts
	Terminal, Color bool
	Log             *slog.Logger // the worker's
	Worker          StartWorker
}

// demo is a running demo; cleanup is what must be undone, last thing first.
type demo struct {
	Options
	s       *screen
	cleanup []func() error
	places
	db     *url.URL // of the demo's own database
	shop   database
	engine *engine
	sink   *sqlite
	w      *watcher
	dir    string
}

// Run runs the demo until ctx ends or its time is up, and removes everything it
// made. It returns an error when something could not be started, or when source
// and sink differ in the end.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o, s: newScreen(o)}
	defer func() {
		for i := len(d.cleanup) - 1; i >= 0; i-- {
			err = errors.Join(err, d.cleanup[i]())
		}
		if err == nil {
			d.s.bye()
		}
	}()
	d.engine = engineOf(ctx, &d.Options)
	d.s.engine = d.engine
	d.s.title()
	if d.dir, err = os.MkdirTemp("", "millrace-demo-"); err != nil {
		return err
	}
	d.later(func() error { return os.RemoveAll(d.dir) })
	for _, f := range []func(context.Context) error{d.startServers, d.makeDatabase, d.startWorker, d.startConnectors} {
		if err := f(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted while starting
			}
			return err
		}
	}
	return d.show(ctx)
}

func (d *demo) later(f func() error) { d.cleanup = append(d.cleanup, f) }

func (d *demo) startServers(ctx context.Context) error {
	d.setPlaces()
	if err := d.startDatabase(ctx); err != nil {
		return err
	}
	if d.Options.Kafka == "" {
		addr, stop, err := startKafka()
		if err != nil {
			return err
		}
		d.later(stop)
		d.places.Kafka = addr
	}
	d.s.step("Kafka", d.places.Kafka)
	if d.Options.Registry == "" {
		u, stop, err := startRegistry()
		if err != nil {
			return err
		}
		d.later(stop)
		d.places.Registry = u
	}
	d.s.step("Schema Registry", d.places.Registry)
	return nil
}

// startDatabase starts the database server, unless there is one.
func (d *demo) startDatabase(ctx context.Context) error {
	if d.engine != postgresEngine {
		return d.startMySQL(ctx)
	}
	name := "PostgreSQL"
	if d.Options.Postgres == "" {
		p, err := port(5432)
		if err != nil {
			return err
		}
		if !cached() {
			d.s.note("fetching PostgreSQL " + string(postgresVersion) + " from Maven Central; it is kept in " + cacheDir())
		}
		e, err := startPostgres(ctx, p, d.dir)
		if err != nil {
			return err
		}
		d.later(e.stop)
		d.Options.Postgres = e.url
		name += " " + strings.TrimSuffix(string(postgresVersion), ".0")
	}
	u, err := url.Parse(d.Options.Postgres)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("--postgres %q is no URL such as postgres://user:password@host:5432/postgres", d.Options.Postgres)
	}
	d.s.step(name, u.Host)
	return nil
}

// setPlaces fixes the names of this run. On servers of the demo's own they are the
// well-known ones of Debezium's tutorial; on others they cannot collide.
func (d *demo) setPlaces() {
	d.places = places{Kafka: d.Options.Kafka, Registry: d.Options.Registry, Prefix: "dbserver1", Database: "inventory", SQLite: filepath.Join(d.dir, "sink.db")}
	own := fmt.Sprintf("millrace_demo_%x", time.Now().UnixMilli()&0xffffff)
	if d.Options.Postgres != "" || d.Options.MySQL != "" && d.Options.MySQL != embeddedMySQL {
		d.places.Database = own
	}
	if d.Options.Kafka != "" {
		d.places.Prefix = own
	}
}

// makeDatabase creates a database of the demo's own and fills it.
func (d *demo) makeDatabase(ctx context.Context) error {
	if d.engine != postgresEngine {
		return mysqlEngine(ctx, d)
	}
	admin, err := pgx.Connect(ctx, d.Options.Postgres)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.Background()) }()
	var level string
	if err := admin.QueryRow(ctx, "show wal_level").Scan(&level); err != nil {
		return err
	}
	if level != "logical" {
		return fmt.Errorf("the server's wal_level is %s; set it with: ALTER SYSTEM SET wal_level = logical; and restart the server", level)
	}
	if _, err := admin.Exec(ctx, "create database "+pgx.Identifier{d.Database}.Sanitize()); err != nil {
		return err
	}
	d.later(d.dropDatabase)
	if d.db, err = url.Parse(d.Options.Postgres); err != nil {
		return err
	}
	d.db.Path = "/" + d.Database
	d.places.Postgres = strings.TrimSuffix(d.db.String(), "?sslmode=disable") // psql finds out by itself
	d.places.Change = "psql " + d.places.Postgres + " -c \"update inventory.customers set first_name='Bob' where id=1001\""
	if d.shop, err = openShop(ctx, d.db.String()); err != nil {
		return err
	}
	d.later(func() error { return d.shop.close(context.Background()) })
	return nil
}

// dropDatabase removes the demo's slot and database from the server.
func (d *demo) dropDatabase() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, d.Options.Postgres)
	if err != nil {
		return fmt.Errorf("removing database %s: %w", d.Database, err)
	}
	defer func() { _ = c.Close(ctx) }()
	_, err = c.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1", d.Database)
	_, err2 := c.Exec(ctx, "drop database "+pgx.Identifier{d.Database}.Sanitize()+" with (force)")
	return errors.Join(err, err2)
}

func (d *demo) startWorker(ctx context.Context) error {
	p, err := port(8083)
	if err != nil {
		return err
	}
	d.Rest = fmt.Sprintf("http://127.0.0.1:%d", p)
	group := "millrace-demo"
	if d.Options.Kafka != "" {
		group = d.Prefix
	}
	if d.Options.Kafka != "" {
		d.later(d.deleteTopics)
	}
	stop, err := d.Worker(context.WithoutCancel(ctx), map[string]string{
		"bootstrap.servers": d.places.Kafka, "group.id": group, "listeners": d.Rest,
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"config.storage.topic": group + "-configs", "offset.storage.topic": group + "-offsets", "status.storage.topic": group + "-status",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1", "offset.flush.interval.ms": "1000",
	}, d.Log)
	if err != nil {
		return err
	}
	d.later(stop)
	d.s.step("millrace", d.Rest)
	return nil
}

// deleteTopics removes the demo's topics from a Kafka that is not its own.
func (d *demo) deleteTopics() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(d.places.Kafka, ",")...))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("removing topics %s*: %w", d.Prefix, err)
	}
	var names []string
	for _, n := range all.Names() {
		if strings.HasPrefix(n, d.Prefix) {
			names = append(names, n)
		}
	}
	_, err = adm.DeleteTopics(ctx, names...)
	_, err2 := adm.DeleteGroups(ctx, "connect-sqlite-sink")
	return errors.Join(err, err2)
}

// startConnectors posts both connectors to the REST API, as curl would.
func (d *demo) startConnectors(ctx context.Context) error {
	var err error
	d.places.Space = "inventory" // the schema, or on MySQL the database
	if d.engine != postgresEngine {
		d.places.Space = d.Database
	}
	if d.w, err = watch(d.places.Kafka, d.Prefix, d.Space, d.engine == mariadbServer, d.s.envelope); err != nil {
		return err
	}
	d.later(d.w.close)
	password, _ := d.db.User.Password()
	fill := strings.NewReplacer("@HOST@", d.db.Hostname(), "@PORT@", orElse(d.db.Port(), d.engine.port), "@USER@", d.db.User.Username(), "@PASSWORD@", orElse(password, d.engine.noPassword),
		"@DATABASE@", d.Database, "@PREFIX@", d.Prefix, "@KAFKA@", d.places.Kafka, "@SPACE@", d.Space, "@CLASS@", d.engine.class, "@SERVER_ID@", fmt.Sprint(time.Now().UnixMilli()&0xffffff+1000), "@SLOT@", d.Database, "@FILE@", d.SQLite)
	for _, c := range []struct{ name, text string }{{"inventory-connector", d.engine.source}, {"sqlite-sink", sinkJSON}} {
		if err := d.post(ctx, []byte(fill.Replace(c.text))); err != nil {
			return err
		}
		if err := d.running(ctx, c.name); err != nil {
			return err
		}
		d.s.step("POST /connectors", c.name+" is RUNNING")
	}
	if d.sink, err = openSQLite(d.SQLite); err != nil {
		return err
	}
	d.later(d.sink.db.Close)
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (d *demo) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Rest+"/connectors", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST /connectors: %s %s", res.Status, b)
	}
	return nil
}

// running waits until the connector's task is RUNNING.
func (d *demo) running(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Rest+"/connectors/"+name+"/status", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
		var st struct {
			Tasks []struct{ State, Trace string }
		}
		err = json.NewDecoder(res.Body).Decode(&st)
		_ = res.Body.Close()
		if err == nil && len(st.Tasks) > 0 {
			switch t := st.Tasks[0]; t.State {
			case "RUNNING":
				return nil
			case "FAILED":
				return fmt.Errorf("connector %s failed: %s", name, t.Trace)
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("connector %s does not run: %w", name, ctx.Err())
		}
	}
}

// show writes changes and prints figures until the time is up, then compares.
func (d *demo) show(ctx context.Context) error {
	// The snapshot and one change of each kind first, so that the reader sees them in order.
	if err := d.settle(ctx, 20*time.Second); err != nil {
		return err
	}
	if err := d.shop.first(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := d.settle(ctx, 10*time.Second); err != nil {
		return err
	}
	d.s.awaitEnvelopes(ctx, 5*time.Second)
	d.s.hints(d.places)
	if d.Seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(d.Seconds)*time.Second)
		defer cancel()
	}
	wrote := make(chan error, 1)
	go func() { wrote <- sellAll(ctx, d.shop, d.Rate) }() // ends with ctx
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-wrote:
			if err != nil {
				return err
			}
			return d.compare()
		case now := <-tick.C:
			x := d.w.stats(now)
			x.SinkRows = d.sink.rows(context.WithoutCancel(ctx))
			d.s.figures(x)
		}
	}
}

// settle waits until the sink holds as many rows as the source.
func (d *demo) settle(ctx context.Context, limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		n, err := d.shop.rows(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if d.sink.rows(context.WithoutCancel(ctx)) == n || ctx.Err() != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the sink has %d of %d rows after %s; see %s/connectors/sqlite-sink/status", d.sink.rows(context.WithoutCancel(ctx)), n, limit, d.Rest)
		}
		time.Sleep(20 * time.Millisecond) // SQLite does not announce changes to other connections
	}
}

// compare lets the sink catch up and checks that it holds the source's rows.
func (d *demo) compare() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for {
		equal, different, err := compare(ctx, d.shop, d.sink)
		if err == nil && different == 0 {
			d.s.check(equal, 0)
			return nil
		}
		if ctx.Err() != nil {
			d.s.check(equal, different)
			return errors.Join(errors.New("source and sink differ"), err)
		}
		time.Sleep(50 * time.Millisecond) // the last changes are on their way; SQLite does not announce them
	}
}
