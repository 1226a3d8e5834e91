package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"millrace/internal/testkit"
)

// bench holds what all measurements share.
type bench struct {
	server   testkit.Endpoint
	kafka    string
	registry string
	dir, bin string
	n        int // rows inserted; 2.5 times as many changes
	rate     int
	secs     int
	big      int  // rows of the large transaction
	whole    bool // large transactions are not sent before their commit
	cl       *kgo.Client
	adm      *kadm.Client
	report   report
	out      io.Writer
	formats  string // json, avro
	verbose  bool
	touchMiB int // see touch
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	b := &bench{out: os.Stdout}
	only := flag.String("only", "start,drain,snapshot,latency", "which measurements to make; bigtx (5 GB, not among the default ones) needs 20 GB of disk")
	bin := flag.String("bin", "", "millrace binary; built from this module if empty")
	flag.IntVar(&b.n, "n", 200_000, "rows to insert; as many updates and half as many deletes follow")
	flag.IntVar(&b.rate, "rate", 200, "transactions per second of the latency measurement")
	flag.IntVar(&b.secs, "seconds", 20, "length of the latency measurement")
	flag.IntVar(&b.big, "rows", bigRows, "rows of bigtx, of 1 KB each")
	flag.BoolVar(&b.whole, "whole", false, "bigtx: read the transaction whole, after its commit")
	flag.StringVar(&b.formats, "formats", "json,avro", "converters to measure")
	flag.IntVar(&b.touchMiB, "touch", 0, "MiB of memory to touch before each measurement, so that a virtual machine's host has given them; say 2000 where free memory is taken away")
	flag.BoolVar(&b.verbose, "v", false, "show the daemon's log")
	flag.Parse()
	if flag.NArg() > 0 {
		*only = strings.Join(flag.Args(), ",")
	}
	if err := b.connect(); err != nil {
		return err
	}
	defer b.cl.Close()
	if b.dir, err = os.MkdirTemp("", "millrace-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.bin = *bin; b.bin == "" {
		b.bin = filepath.Join(b.dir, "millrace")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.bin, "millrace/cmd/millrace")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building millrace: %w\n%s", err, out)
		}
	}
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	defer registry.Close()
	b.registry = registry.URL
	b.describeMachine(ctx)
	for _, m := range []struct {
		name string
		do   func(context.Context) error
	}{{"mysql", b.mysql}, {"mariadb", b.mariadb}, {"start", b.start}, {"drain", b.drain}, {"snapshot", b.snapshot}, {"latency", b.latency}, {"bigtx", b.bigTransaction}, {"sink-postgres", b.sinkPostgres}, {"sink-mysql", b.sinkMySQL}, {"sink-mariadb", b.sinkMariaDB}, {"sink-elastic", b.sinkElastic}, {"sink-objects", b.sinkObjects}} {
		if !strings.Contains(","+*only+",", ","+m.name+",") {
			continue
		}
		if err := m.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if b.touchMiB > 0 {
		b.report.notes = append(b.report.notes, fmt.Sprintf("%d MiB of memory were touched before each measurement", b.touchMiB))
	}
	b.report.print(b.out)
	return nil
}

func (b *bench) connect() error {
	pg := os.Getenv("MILLRACE_TEST_PG")
	b.kafka = os.Getenv("MILLRACE_TEST_KAFKA")
	u, err := url.Parse(pg)
	if err != nil || pg == "" || b.kafka == "" {
		return errors.New("MILLRACE_TEST_PG and MILLRACE_TEST_KAFKA must name servers; `make bench` does it")
	}
	password, _ := u.User.Password()
	b.server = testkit.Endpoint{URL: pg, Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Password: password}
	if b.cl, err = kgo.NewClient(kgo.SeedBrokers(b.kafka), kgo.MetadataMinAge(10*time.Millisecond)); err != nil {
		return err
	}
	b.adm = kadm.NewClient(b.cl)
	return nil
}

// avros lists the formats to measure: false for JSON, true for Avro.
func (b *bench) avros() (out []bool) {
	for f := range strings.SplitSeq(b.formats, ",") {
		out = append(out, f == "avro")
	}
	return out
}

// logf prints progress.
func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// describeMachine notes what the figures were made on.
func (b *bench) describeMachine(ctx context.Context) {
	version := "PostgreSQL"
	if c, err := pgx.Connect(ctx, b.server.URL); err == nil {
		var v string
		if c.QueryRow(ctx, "show server_version").Scan(&v) == nil {
			version += " " + strings.Fields(v)[0]
		}
		_ = c.Close(ctx)
	}
	b.report.machine = machine() + ", shared by " + version + ", Kafka and millrace"
}

// daemon starts a worker of its own; stop ends it and removes its topics.
func (b *bench) daemon(ctx context.Context) (d *testkit.Daemon, stop func() error, err error) {
	d, tag, err := testkit.PrepareDaemon(b.dir, b.bin, b.kafka, nil)
	if err != nil {
		return nil, nil, err
	}
	stop = func() error {
		if b.verbose {
			fmt.Fprintln(os.Stderr, d.LogTail(20000))
		}
		d.Kill()
		return testkit.DeleteTopics(context.WithoutCancel(ctx), b.kafka, tag)
	}
	if _, err := d.Start(ctx); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	// REST answers before the worker has made its storage topics and joined its group;
	// the figures of the Java worker are of one that has.
	if err := d.Do(ctx, http.MethodGet, "/connectors", nil, nil); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return d, stop, nil
}

// config is the source connector every measurement uses: three settings more than
// the least that Debezium needs.
func (b *bench) config(db, tag string, avro bool, more map[string]string) map[string]string {
	c := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
		"database.hostname": b.server.Host, "database.port": b.server.Port, "database.user": b.server.User, "database.password": b.server.Password,
		"database.dbname": db, "topic.prefix": tag, "plugin.name": "pgoutput", "slot.name": tag, "publication.name": tag,
		"publication.autocreate.mode": "filtered", "table.include.list": "public.orders",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
	}
	if c["database.password"] == "" {
		c["database.password"] = "none"
	}
	if avro {
		for _, k := range []string{"key", "value"} {
			c[k+".converter"] = "io.confluent.connect.avro.AvroConverter"
			c[k+".converter.schema.registry.url"] = b.registry
			delete(c, k+".converter.schemas.enable")
		}
	}
	for k, v := range more {
		c[k] = v
	}
	return c
}

// end is the sum of a topic's end offsets; 0 while there is no such topic.
func (b *bench) end(ctx context.Context, topic string) (sum int64) {
	offs, err := b.adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0
	}
	offs.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset > 0 {
			sum += o.Offset
		}
	})
	return sum
}

// arrive waits until a topic has n records and returns when the first and the
// last came.
func (b *bench) arrive(ctx context.Context, topic string, base, n int64, limit time.Duration) (first, last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	poll := &endPoll{b: b, topic: topic}
	for {
		e := poll.end(ctx)
		if e > base && first.IsZero() {
			first = time.Now()
		}
		if e >= n {
			return first, time.Now(), nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return first, last, fmt.Errorf("%d of %d records in %s after %s", e, n, topic, limit)
		}
	}
}

// database creates a database with the orders table; drop removes it and the topics of tag.
func (b *bench) database(ctx context.Context) (db *testkit.Database, conn *pgx.Conn, drop func() error, err error) {
	db, err = testkit.CreateDatabase(ctx, b.server, testkit.Name("bench"))
	if err != nil {
		return nil, nil, nil, err
	}
	clean := context.WithoutCancel(ctx)
	drop = func() error {
		if conn != nil {
			_ = conn.Close(clean)
		}
		return errors.Join(db.Drop(clean), testkit.DeleteTopics(clean, b.kafka, db.Name))
	}
	if conn, err = pgx.Connect(ctx, db.URL); err == nil {
		_, err = conn.Exec(ctx, ordersTable)
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, drop())
	}
	return db, conn, drop, nil
}

// start measures the time from exec to the first reply about connectors, with real
// storage topics.
func (b *bench) start(ctx context.Context) error {
	d, tag, err := testkit.PrepareDaemon(b.dir, b.bin, b.kafka, nil)
	if err != nil {
		return err
	}
	defer func() { _ = testkit.DeleteTopics(context.WithoutCancel(ctx), b.kafka, tag) }()
	var took []time.Duration
	for range 6 { // the first one creates the storage topics and does not count
		began := time.Now()
		if _, err := d.Start(ctx); err != nil {
			return err
		}
		// GET / answers before the storage topics are read; GET /connectors waits for them.
		if err := d.Do(ctx, http.MethodGet, "/connectors", nil, nil); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if err := d.Stop(ctx); err != nil {
			return err
		}
	}
	b.report.startMs = median(took[1:])
	b.logf("start: %v", took)
	return nil
}
