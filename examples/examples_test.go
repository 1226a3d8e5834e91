package examples

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	_ "modernc.org/sqlite"

	"millrace/internal/testkit"
)

// connector is an example file.
type connector struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
}

func load(t *testing.T, pattern string) map[string]connector {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file fits %s: %v", pattern, err)
	}
	out := map[string]connector{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var c connector
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		out[strings.TrimSuffix(p, ".json")] = c
	}
	return out
}

// world is where the examples run: their hosts, names and files replaced.
type world struct {
	db       *testkit.Database
	mysql    testkit.Endpoint
	mysqlDB  string
	registry string
	dir      string
}

func (w *world) place(c connector) connector {
	c.Config = maps.Clone(c.Config)
	c.Name = w.db.Name + "-" + c.Name
	over := map[string]string{}
	for k, v := range c.Config {
		v = strings.ReplaceAll(v, "http://schema-registry:8081", w.registry)
		v = strings.ReplaceAll(v, "/var/lib/millrace", w.dir)
		v = strings.ReplaceAll(v, "http://minio:9000", "file://"+w.dir) // the same sink into a directory
		v = strings.ReplaceAll(v, "postgresql://postgres:5432/inventory", "postgresql://"+w.db.Host+":"+w.db.Port+"/"+w.db.Name)
		v = strings.ReplaceAll(v, "mysql://mysql:3306/warehouse", "mysql://"+w.mysql.Host+":"+w.mysql.Port+"/"+w.mysqlDB)
		for _, prefix := range []string{"dbserver1", "avro", "flat", "prod"} {
			if v == prefix || strings.HasPrefix(v, prefix+".") || strings.HasPrefix(v, prefix+`\.`) {
				v = strings.ReplaceAll(v, prefix, w.db.Name+prefix)
			}
		}
		v = strings.Replace(v, "shop.$1", w.db.Name+"shop.$1", 1)
		over[k] = v
	}
	c.Config = over
	if c.Config["database.hostname"] != "" {
		maps.Copy(c.Config, map[string]string{
			"database.hostname": w.db.Host, "database.port": w.db.Port, "database.user": w.db.User, "database.password": orNone(w.db.Password), "database.dbname": w.db.Name,
			"slot.name": w.db.Name + c.Config["slot.name"], "publication.name": w.db.Name + c.Config["publication.name"],
		})
	}
	switch url := c.Config["connection.url"]; {
	case strings.Contains(url, "postgresql"):
		c.Config["connection.username"], c.Config["connection.password"] = w.db.User, orNone(w.db.Password)
	case strings.Contains(url, "mysql"):
		c.Config["connection.username"], c.Config["connection.password"] = w.mysql.User, w.mysql.Password
	}
	if c.Config["rotate.schedule.interval.ms"] != "" {
		c.Config["rotate.schedule.interval.ms"] = "500" // the example's minute is long for a test
	}
	return c
}

// validated posts a config for validation only: the cluster it names is not among the
// servers of every machine (sinkers/elastic runs the sinks on real ones).
func validated(ctx context.Context, t *testing.T, d *testkit.Daemon, name string, c connector) {
	t.Helper()
	class := c.Config["connector.class"]
	var answer struct {
		Errors int `json:"error_count"`
	}
	config := maps.Clone(c.Config)
	config["name"] = c.Name
	if err := d.Do(ctx, "PUT", "/connector-plugins/"+class+"/config/validate", config, &answer); err != nil || answer.Errors != 0 {
		t.Errorf("%s: %d errors, %v", name, answer.Errors, err)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// TestExamples posts every example, lets customers and orders change, and looks at
// what the sources wrote and whether the sinks hold the source's rows.
func TestExamples(t *testing.T) {
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	defer registry.Close()
	w := &world{db: testkit.NewDatabase(t, "ex"), mysql: testkit.MySQL(t), registry: registry.URL, dir: t.TempDir()}
	testkit.DropTopics(t, w.db.Name)
	script, err := os.ReadFile("inventory-postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	w.db.Exec(t, string(script))
	w.makeMySQL(t)
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "500"})
	if _, err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, pattern := range []string{"*-source*.json", "*-sink*.json"} {
		for name, c := range load(t, pattern) {
			c = w.place(c)
			if strings.Contains(name, "search") {
				validated(ctx, t, d, name, c)
				continue
			}
			if err := d.Do(ctx, "POST", "/connectors", c, nil); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := d.WaitRunning(ctx, c.Name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if t.Failed() {
		return
	}
	w.db.Exec(t, `set search_path = inventory;
		insert into customers (first_name, last_name, email) values ('Ada', 'Lovelace', 'ada@analytical.engine');
		update customers set email = 'sally@acme.com' where id = 1001;
		insert into orders (order_date, purchaser, quantity, product_id) values ('2026-02-28', 1005, 7, 101);
		delete from orders where id = 10002;
		update orders set id = 20001 where id = 10001;`)
	for _, topic := range []string{"dbserver1.inventory.customers", "avro.inventory.customers", "shop.customers", "prod.inventory.customers"} {
		w.wantRecords(ctx, t, w.db.Name+topic, 6) // 4 of the snapshot, an insert, an update
	}
	want := w.rows(ctx, t, "pgx", w.db.URL, "inventory.customers", "inventory.orders")
	if len(want) != 5+2 {
		t.Fatalf("the source has %q", want)
	}
	for name, target := range map[string][2]string{
		"jdbc-sink-postgres": {"pgx", w.db.URL},
		"jdbc-sink-mysql":    {"mysql", w.mysqlDSN(w.mysqlDB)},
		"jdbc-sink-sqlite":   {"sqlite", "file:" + filepath.Join(w.dir, "copy.db") + "?_pragma=busy_timeout(2000)"},
	} {
		var got []string
		for got = nil; !slices.Equal(got, want) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) { // a database does not announce rows
			got = w.rows(ctx, t, target[0], target[1], "copy_customers", "copy_orders")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s holds\n%q, the source holds\n%q", name, got, want)
		}
	}
	for _, table := range []string{"customers", "orders"} {
		w.wantParquet(ctx, t, w.db.Name+"dbserver1.inventory."+table)
	}
	var file []byte
	for bytes.Count(file, []byte("\n")) < 6 { // nor does a file announce lines
		if ctx.Err() != nil {
			t.Fatalf("file-sink wrote %q, %v", file, err)
		}
		time.Sleep(50 * time.Millisecond)
		file, err = os.ReadFile(filepath.Join(w.dir, "customers.txt"))
	}
}

func (w *world) mysqlDSN(db string) string {
	return fmt.Sprintf("%s:%s@tcp(%s:%s)/%s", w.mysql.User, w.mysql.Password, w.mysql.Host, w.mysql.Port, db)
}

// makeMySQL creates a MySQL database that goes when the test ends.
func (w *world) makeMySQL(t *testing.T) {
	t.Helper()
	w.mysqlDB = w.db.Name
	db, err := sql.Open("mysql", w.mysqlDSN(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "create database "+w.mysqlDB+" character set utf8mb4"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.Background(), "drop database "+w.mysqlDB); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
}

// rows reads both tables as sorted text; nil while they are not there.
func (w *world) rows(ctx context.Context, t *testing.T, driver, dsn, customers, orders string) (out []string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, q := range []string{
		"select id, first_name, last_name, email from " + customers,
		"select id, purchaser, quantity, product_id from " + orders,
	} {
		lines, err := query(ctx, db, q)
		if err != nil {
			return nil
		}
		out = append(out, lines...)
	}
	slices.Sort(out)
	return out
}

func query(ctx context.Context, db *sql.DB, q string) (out []string, err error) {
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a, b, c, d string
		if err := rows.Scan(&a, &b, &c, &d); err != nil {
			return nil, err
		}
		out = append(out, strings.Join([]string{a, b, c, d}, "|"))
	}
	return out, rows.Err()
}

// wantRecords waits until a topic holds n records.
func (w *world) wantRecords(ctx context.Context, t *testing.T, topic string, n int) {
	t.Helper()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	got := 0
	for got < n {
		got += cl.PollFetches(ctx).NumRecords()
		if ctx.Err() != nil {
			t.Errorf("%d records in %s, want %d", got, topic, n)
			return
		}
	}
}

// wantParquet waits until the files of a topic hold its records, tombstones aside: of
// customers four rows of the snapshot, an insert and an update; of orders two rows, an
// insert, a delete, and an update of the key, which is a delete and an insert.
func (w *world) wantParquet(ctx context.Context, t *testing.T, topic string) {
	t.Helper()
	const want = 6
	for {
		var got int64
		err := filepath.WalkDir(filepath.Join(w.dir, "lake", "topics", topic), func(path string, e fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".parquet" {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			p, err := parquet.OpenFile(f, info.Size())
			if err == nil {
				got += p.NumRows()
			}
			return err
		})
		if got == want {
			return
		}
		if ctx.Err() != nil || got > want {
			t.Errorf("the Parquet files of %s hold %d rows, want %d (%v)", topic, got, want, err)
			return
		}
		time.Sleep(50 * time.Millisecond) // nor does a directory
	}
}
