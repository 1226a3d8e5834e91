package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/testkit"
	"millrace/internal/worker"
)

// chainEnd is a database at one end of a chain.
type chainEnd struct {
	db     *sql.DB
	source map[string]string // config of a source that reads it
	sink   map[string]string // config of a sink that writes it
	make   string            // the tables, when it is the source
	fill   []string          // rows, a part of them
	change []string          // updates, deletes and DDL
}

func (e *chainEnd) exec(t *testing.T, q string) {
	t.Helper()
	if _, err := e.db.ExecContext(t.Context(), q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

func chainPostgres(t *testing.T) *chainEnd {
	d := testkit.NewDatabase(t, "chain")
	db, err := sql.Open("pgx", d.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	login := func(user string) map[string]string {
		return map[string]string{"connection.url": "jdbc:postgresql://" + d.Host + ":" + d.Port + "/" + d.Name, user: d.User, "connection.password": d.Password}
	}
	return &chainEnd{db: db, sink: login("connection.username"),
		source: map[string]string{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput", "database.hostname": d.Host, "database.port": d.Port,
			"database.user": d.User, "database.password": "x" + d.Password, "database.dbname": d.Name, "slot.name": d.Name, "slot.drop.on.stop": "true", "publication.name": d.Name, "topic.prefix": d.Name},
		make: `create type mood as enum ('sad', 'ok');
create table alltypes (id bigint primary key, si smallint, i int, r real, d double precision, n numeric(20,5), nn numeric, bo boolean, t text, vc varchar(30), ch char(5), by bytea, da date,
  ti time, tz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, iv interval, u uuid, j json, jb jsonb, x xml, m mood, bi bit(5), vb bit varying(10), pt point, ine inet, ai int[], at text[], rg int4range);
create table pairs (a int, b varchar(20), v text, primary key (a, b))`,
		fill: []string{`insert into alltypes select g, g % 32000, g*7, g/3.0, g/7.0, g*1.25, g*1.123456789, g%2=0, 'text ' || g || E'\n\t\\"''', 'vc' || g, 'c' || g % 10,
  ('\x00ff' || lpad(to_hex(g % 256), 2, '0'))::bytea, date '2020-01-01' + g, time '01:02:03.000456' + g * interval '1 s', timetz '01:02:03.456+02', timestamp '2020-01-01 00:00:00.123456' + g * interval '1 min',
  timestamp '2020-01-01 00:00:00.123' + g * interval '1 min', timestamptz '2021-01-01 00:00:00.5+01' + g * interval '1 hour', make_interval(days => g, hours => g), gen_random_uuid(),
  json_build_object('a', g), jsonb_build_object('b', g, 'c', null), '<a>1</a>', (array['sad', 'ok'])[1 + g % 2]::mood, (g % 32)::bit(5), B'101', point(g, -g), '10.0.0.1', array[g, null, 3],
  array['a"b', null, 'c,d'], int4range(g, g + 5) from generate_series(1, 700) g`,
			"insert into alltypes (id) values (5000)", "insert into pairs select g, 'k' || g, 'v' || g from generate_series(1, 700) g"},
		change: []string{"update alltypes set t = 'changed', n = n + 1, ai = '{}' where id % 3 = 0", "delete from alltypes where id % 7 = 0", "update pairs set b = 'moved' where a % 11 = 0",
			"alter table pairs add column extra numeric(12,3)", "insert into pairs select g, 'new', null, g / 8.0 from generate_series(1, 100) g", "delete from pairs where a % 5 = 0"}}
}

func chainMySQL(t *testing.T) *chainEnd {
	return chainMyOrMaria(t, testkit.MySQL(t), "mysql", "mysql.MySqlConnector")
}

func chainMariaDB(t *testing.T) *chainEnd {
	return chainMyOrMaria(t, testkit.MariaDB(t), "mariadb", "mariadb.MariaDbConnector")
}

// chainSQLite is only a target.
func chainSQLite(t *testing.T) *chainEnd {
	file := filepath.Join(t.TempDir(), "chain.db")
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &chainEnd{db: db, sink: map[string]string{"connection.url": "jdbc:sqlite:" + file}}
}

func chainMyOrMaria(t *testing.T, at testkit.Endpoint, dialect, class string) *chainEnd {
	name := testkit.Name("chain")
	dsn := at.User + ":" + at.Password + "@tcp(" + at.Host + ":" + at.Port + ")/"
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.Background(), "drop database "+name); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	own, err := sql.Open("mysql", dsn+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	return &chainEnd{db: own, sink: map[string]string{"connection.url": "jdbc:" + dialect + "://" + at.Host + ":" + at.Port + "/" + name, "connection.username": at.User, "connection.password": at.Password},
		source: map[string]string{"connector.class": "io.debezium.connector." + class, "database.hostname": at.Host, "database.port": at.Port, "database.user": at.User,
			"database.password": "", "database.include.list": name, "database.server.id": strconv.Itoa(200_000_000 + rand.IntN(1_000_000_000)), "topic.prefix": name,
			"schema.history.internal.kafka.topic": name + ".history"},
		make: `create table alltypes (id bigint primary key, ti tinyint, t1 tinyint(1), si smallint unsigned, mi mediumint, i int unsigned, bu bigint unsigned, f float, d double, n decimal(20,5), t longtext, vc varchar(30), ch char(5),
  by1 varbinary(20), bl blob, da date, tm time(6), dt datetime(6), dt0 datetime, ts timestamp(3) null, y year, j json, e enum('sad','ok'), s set('x','y'), b1 bit(1), b9 bit(9));
create table pairs (a int, b varchar(20), v text, primary key (a, b))`,
		fill: []string{`insert into alltypes with recursive g(n) as (select 1 union all select n + 1 from g where n < 700) select n, n % 100, n % 2, n * 3, -n, n * 5000000, 18446744073709551615 - n, n / 3, n / 7, n * 1.25,
  concat('text ', n, '\n\t\\"'''), concat('vc', n), concat('c', n % 10), unhex(concat('00ff', lpad(hex(n % 256), 2, '0'))), unhex('00'), date_add('2020-01-01', interval n day), '12:34:56.123456',
  date_add('2020-01-01 00:00:00.123456', interval n minute), date_add('2020-01-01', interval n minute), date_add('2021-01-01 00:00:00.5', interval n hour), 1990 + n % 50, json_object('a', n), if(n % 2, 'ok', 'sad'), 'x,y', n % 2, n % 512 from g`,
			"insert into alltypes (id) values (5000)", "insert into pairs with recursive g(n) as (select 1 union all select n + 1 from g where n < 700) select n, concat('k', n), concat('v', n) from g"},
		change: []string{"update alltypes set t = 'changed', n = n + 1 where id % 3 = 0", "delete from alltypes where id % 7 = 0", "update pairs set b = 'moved' where a % 11 = 0",
			"alter table pairs add column extra decimal(12,3)", "insert into pairs select id, 'new', null, id / 8 from alltypes where id < 100", "delete from pairs where a % 5 = 0"}}
}

// TestChain: all types, updates, deletes and DDL go from one database through Kafka
// into another; afterwards verify finds source and target equal, by the topics and by
// the source's tables, and finds what is spoilt.
func TestChain(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to func(*testing.T) *chainEnd
	}{{"postgres to postgres", chainPostgres, chainPostgres}, {"mysql to postgres", chainMySQL, chainPostgres}, {"postgres to mysql", chainPostgres, chainMySQL},
		{"mariadb to sqlite", chainMariaDB, chainSQLite}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			chain(t, c.from(t), c.to(t))
		})
	}
}

func chain(t *testing.T, from, to *chainEnd) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	boot, dir := cluster.ListenAddrs()[0], t.TempDir()
	prefix := from.source["topic.prefix"]
	if from.source["schema.history.internal.kafka.topic"] != "" {
		from.source["schema.history.internal.kafka.bootstrap.servers"] = boot
	}
	maps.Copy(to.sink, map[string]string{"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics.regex": prefix + `\..*\.(alltypes|pairs)`, "insert.mode": "upsert",
		"delete.enabled": "true", "primary.key.mode": "record_key", "schema.evolution": "basic", "consumer.override.metadata.max.age.ms": "200",
		"transforms": "name", "transforms.name.type": "org.apache.kafka.connect.transforms.RegexRouter", "transforms.name.regex": `.*\.(.*)`, "transforms.name.replacement": "copy_$1"})
	for _, q := range splitSQL(from.make) {
		from.exec(t, q)
	}
	for _, q := range from.fill {
		from.exec(t, q)
	}
	w := chainWorker(t, boot, dir)
	put := func(name string, config map[string]string) string {
		config["name"] = name
		if _, _, err := w.Put(t.Context(), name, store.FromStrings(config)); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"name": name, "config": config})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+".json")
		writeFile(t, file, string(text))
		return file
	}
	from.source["producer.override.metadata.max.age.ms"] = "200"
	source, sink := put(prefix+"-source", from.source), put(prefix+"-sink", to.sink)
	arrived := func(a int) {
		t.Helper()
		from.exec(t, fmt.Sprintf("insert into pairs (a, b) values (%d, 'mark')", a))
		eventually(t, func() error {
			var n int
			if err := to.db.QueryRowContext(t.Context(), fmt.Sprintf("select a from copy_pairs where a = %d", a)).Scan(&n); err != nil {
				return fmt.Errorf("mark %d: %w; sink: %s", a, err, trace(w, prefix+"-sink"))
			}
			return nil
		})
	}
	arrived(100001)
	for _, q := range from.change {
		from.exec(t, q)
	}
	arrived(100002)
	check := func(code int, files ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if got := realMain(t.Context(), append([]string{"verify", "--kafka", boot, "--wait", "2m"}, files...), &out, &errOut); got != code {
			t.Errorf("verify gives %d, want %d: %s%s", got, code, out.String(), errOut.String())
		}
		return out.String()
	}
	check(0, sink)
	check(0, sink, source)
	to.exec(t, "update copy_alltypes set t = 'spoilt' where id = 2")
	if out := check(1, sink, "--json"); !bytes.Contains([]byte(out), []byte(`"id": "2"`)) {
		t.Errorf("the spoilt key is not named: %s", out)
	}
	for _, name := range []string{prefix + "-sink", prefix + "-source"} {
		if err := w.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

// eventually waits for something that no one announces.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func trace(w *worker.Worker, name string) string {
	st, err := w.TaskStatus(name, 0)
	if err != nil {
		return err.Error()
	}
	return st.State + " " + st.Trace
}

func splitSQL(s string) (out []string) {
	for _, q := range bytes.Split([]byte(s), []byte(";\n")) {
		out = append(out, string(q))
	}
	return out
}

// chainWorker is a standalone worker in this process.
func chainWorker(t *testing.T, boot, dir string) *worker.Worker {
	jsonClass := "org.apache.kafka.connect.json.JsonConverter"
	c, err := worker.NewConfig(map[string]string{"bootstrap.servers": boot, "key.converter": jsonClass, "value.converter": jsonClass,
		"offset.storage.file.filename": filepath.Join(dir, "offsets"), "listeners": "http://127.0.0.1:8083", "offset.flush.interval.ms": "200"}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(c, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(&slog.LevelVar{}), testkit.Log(t))
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}
