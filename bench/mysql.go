package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	driver "github.com/go-sql-driver/mysql"

	"millrace/internal/testkit"
	snapmysql "millrace/snapshot/mysql"
)

// mysqlBench is a server under measurement, and a database of its own there.
type mysqlBench struct {
	*bench
	label  string // MySQL, MariaDB
	class  string
	server testkit.Endpoint
	name   string
	db     *sql.DB
}

// mysqlOrders is the table of all measurements: ten columns of the usual types.
const mysqlOrders = `create table orders (
  id bigint auto_increment primary key, customer_id int not null, status varchar(20) not null, amount decimal(12,2) not null, note text,
  placed_at timestamp(6) not null default current_timestamp(6), ship_on date, qty smallint not null, weight double, gift boolean not null)`

// fillMySQL inserts a thousand rows from number %[1]d on, in one statement.
const fillMySQL = `insert into orders (customer_id, status, amount, note, ship_on, qty, weight, gift)
  select i %% 5000, concat('status', i %% 7), (%[1]d + i) * 1.25, concat('a note of some length about order ', %[1]d + i), '2026-01-01' + interval (i %% 365) day, i %% 100, i / 3, i %% 2 from seq`

const warmMySQL = "insert into orders (customer_id, status, amount, qty, gift) values (0, 'x', 0, 0, false)"

func (b *bench) mysql(ctx context.Context) error {
	return b.mysqlServer(ctx, "MySQL", "MILLRACE_TEST_MYSQL", "io.debezium.connector.mysql.MySqlConnector")
}

func (b *bench) mariadb(ctx context.Context) error {
	return b.mysqlServer(ctx, "MariaDB", "MILLRACE_TEST_MARIADB", "io.debezium.connector.mariadb.MariaDbConnector")
}

// mysqlServer makes the three measurements on the server that a variable names.
func (b *bench) mysqlServer(ctx context.Context, label, variable, class string) (err error) {
	m, done, err := b.openMySQL(ctx, label, variable, class)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for _, step := range []func(context.Context) error{m.drain, m.snapshot, m.latency} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openMySQL makes a database with the table of all measurements; done drops it and the
// topics that begin with its name.
func (b *bench) openMySQL(ctx context.Context, label, variable, class string) (m *mysqlBench, done func() error, err error) {
	u, err := url.Parse(os.Getenv(variable))
	if err != nil || u.Host == "" {
		return nil, nil, fmt.Errorf("%s must name a server, as mysql://user:password@host:port", variable)
	}
	password, _ := u.User.Password()
	m = &mysqlBench{bench: b, label: label, class: class, server: testkit.Endpoint{Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Password: password}, name: testkit.Name("bench")}
	conf := driver.NewConfig()
	conf.Net, conf.Addr, conf.User, conf.Passwd, conf.AllowNativePasswords = "tcp", net.JoinHostPort(m.server.Host, m.server.Port), m.server.User, password, true
	connector, err := driver.NewConnector(conf)
	if err != nil {
		return nil, nil, err
	}
	m.db = sql.OpenDB(connector)
	m.db.SetMaxOpenConns(1) // USE holds for all
	clean := context.WithoutCancel(ctx)
	done = func() error {
		_, err := m.db.ExecContext(clean, "drop database if exists "+m.name)
		return errors.Join(err, m.db.Close(), testkit.DeleteTopics(clean, b.kafka, m.name))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, done())
		}
	}()
	if err := m.exec(ctx, "create database "+m.name, "use "+m.name, mysqlOrders, "create table seq (i int primary key)", "insert into seq values (0)"); err != nil {
		return nil, nil, err
	}
	for n := 1; n < 1000; n *= 2 {
		if err := m.exec(ctx, fmt.Sprintf("insert ignore into seq select i + %d from seq where i + %d < 1000", n, n)); err != nil {
			return nil, nil, err
		}
	}
	var version string
	if m.db.QueryRowContext(ctx, "select version()").Scan(&version) == nil {
		b.report.notes = append(b.report.notes, label+" "+version)
	}
	return m, done, nil
}

func (m *mysqlBench) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := m.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (m *mysqlBench) count(ctx context.Context, from string) (n int64, err error) {
	err = m.db.QueryRowContext(ctx, "select count(*) from "+from).Scan(&n)
	return n, err
}

// config is the connector; tag names its topics.
func (m *mysqlBench) config(tag string, avro bool, mode string) map[string]string {
	c := m.bench.config(m.name, tag, avro, nil)
	for _, k := range []string{"plugin.name", "slot.name", "publication.name", "publication.autocreate.mode", "database.dbname"} {
		delete(c, k)
	}
	c["connector.class"], c["database.hostname"], c["database.port"] = m.class, m.server.Host, m.server.Port
	c["database.user"], c["database.password"] = m.server.User, m.server.Password
	c["database.server.id"] = strconv.Itoa(500_000 + int(time.Now().UnixMilli()%1_000_000))
	c["database.include.list"], c["table.include.list"] = m.name, m.name+".orders"
	c["include.schema.changes"], c["snapshot.mode"] = "false", mode
	c["schema.history.internal.kafka.bootstrap.servers"], c["schema.history.internal.kafka.topic"] = m.kafka, tag+"-history"
	c["schema.history.internal.store.only.captured.databases.ddl"] = "true"
	return c
}

// mark begins a new file of the log and returns its name.
func (m *mysqlBench) mark(ctx context.Context) (file string, err error) {
	if err := m.exec(ctx, "flush binary logs"); err != nil {
		return "", err
	}
	rows, err := m.db.QueryContext(ctx, "show binary logs")
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return "", err
	}
	for rows.Next() {
		to := make([]any, len(cols))
		for i := range to {
			to[i] = &sql.RawBytes{}
		}
		if err := rows.Scan(to...); err != nil {
			return "", err
		}
		file = string(*to[0].(*sql.RawBytes))
	}
	return file, rows.Err()
}

// load makes the workload: n inserts, n updates, n/2 deletes, in statements of 1,000 rows.
func (m *mysqlBench) load(ctx context.Context) error {
	var last int64
	if err := m.db.QueryRowContext(ctx, "select max(id) from orders").Scan(&last); err != nil {
		return err
	}
	for i := 0; i < m.n; i += 1000 {
		if err := m.exec(ctx, fmt.Sprintf(fillMySQL, i)); err != nil {
			return err
		}
	}
	var end int64
	if err := m.db.QueryRowContext(ctx, "select max(id) from orders").Scan(&end); err != nil {
		return err
	}
	for i := last + 1; i <= end; i += 1000 {
		if err := m.exec(ctx, fmt.Sprintf("update orders set status = 'shipped', amount = amount + 1 where id between %d and %d", i, i+999)); err != nil {
			return err
		}
	}
	for i := last + 1; i <= end; i += 2000 {
		if err := m.exec(ctx, fmt.Sprintf("delete from orders where id between %d and %d", i, i+999)); err != nil {
			return err
		}
	}
	return nil
}

// drain empties the same log raw, by millrace in each format, and raw again.
func (m *mysqlBench) drain(ctx context.Context) (err error) {
	var formats []*format
	for _, avro := range m.avros() {
		f := &format{name: "JSON", tag: m.name + "_json"}
		if avro {
			f = &format{name: "Avro", tag: m.name + "_avro", avro: true}
		}
		formats = append(formats, f)
		perr := m.prepare(ctx, f)
		if f.stop != nil {
			defer func() { err = errors.Join(err, f.stop()) }()
		}
		if perr != nil {
			return perr
		}
	}
	first, err := m.mark(ctx)
	if err != nil {
		return err
	}
	m.logf("%s drain: writing %d changes", m.label, 5*m.n/2)
	before, err := m.count(ctx, "orders")
	if err != nil {
		return err
	}
	if err := m.load(ctx); err != nil {
		return err
	}
	left, err := m.count(ctx, "orders")
	if err != nil {
		return err
	}
	deletes := before + int64(m.n) - left
	changes := 2*int64(m.n) + deletes
	last, err := m.mark(ctx)
	if err != nil {
		return err
	}
	raw1, how, err := m.raw(ctx, first, last)
	if err != nil {
		return err
	}
	for i, f := range formats {
		// What the later formats let through first is in this log too.
		if err := f.measure(ctx, m.bench, changes+int64(len(formats)-1-i), deletes); err != nil {
			return err
		}
	}
	raw2, _, err := m.raw(ctx, first, last)
	if err != nil {
		return err
	}
	m.reportDrain(changes, raw1, raw2, how, formats)
	return nil
}

// prepare posts the connector, lets one change through, so that topic, offset and
// history exist, and stops it.
func (m *mysqlBench) prepare(ctx context.Context, f *format) (err error) {
	if f.d, f.stop, err = m.daemon(ctx); err != nil {
		return err
	}
	f.topic = f.tag + "." + m.name + ".orders"
	if err := m.post(ctx, f.d, f.tag, m.config(f.tag, f.avro, "no_data")); err != nil {
		return err
	}
	if err := m.warm(ctx, f.topic); err != nil {
		return err
	}
	if err := f.d.Do(ctx, http.MethodPut, "/connectors/"+f.tag+"/stop", nil, nil); err != nil {
		return err
	}
	if err := f.d.Stop(ctx); err != nil { // a fresh process, so that memory and CPU are the drain's alone
		return err
	}
	f.base = m.end(ctx, f.topic)
	return nil
}

func (m *mysqlBench) post(ctx context.Context, d *testkit.Daemon, name string, config map[string]string) error {
	return d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": config}, nil)
}

// warm writes until a change arrives: what is written before the connector has
// found its place in the log is not captured.
func (m *mysqlBench) warm(ctx context.Context, topic string) (err error) {
	for range 30 {
		if err = m.exec(ctx, warmMySQL); err != nil {
			return err
		}
		if _, _, err = m.arrive(ctx, topic, 0, 1, time.Second); err == nil {
			return nil
		}
	}
	return err
}

// raw reads the files of the log from first up to last into nothing: by mysqlbinlog
// where there is one that knows the server, else by the frames alone.
func (m *mysqlBench) raw(ctx context.Context, first, last string) (took time.Duration, how string, err error) {
	if tool, lerr := exec.LookPath("mysqlbinlog"); lerr == nil {
		args := []string{"--read-from-remote-server", "--raw", "-r", filepath.Join(m.dir, "raw-"), "-h", m.server.Host, "-P", m.server.Port, "-u", m.server.User}
		cmd := exec.CommandContext(ctx, tool, append(args, first)...)
		cmd.Env = append(os.Environ(), "MYSQL_PWD="+m.server.Password)
		began := time.Now()
		if cmd.Run() == nil {
			return time.Since(began), "mysqlbinlog --raw", nil
		}
	}
	port, err := strconv.ParseUint(m.server.Port, 10, 16)
	if err != nil {
		return 0, "", err
	}
	h := &untilFile{file: last}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{ServerID: uint32(700_000 + time.Now().UnixMilli()%1_000_000), Flavor: strings.ToLower(m.label),
		Host: m.server.Host, Port: uint16(port), User: m.server.User, Password: m.server.Password, RawModeEnabled: true, DisableRetrySync: true, SynchronousEventHandler: h, Logger: slog.New(slog.DiscardHandler)})
	defer syncer.Close()
	began := time.Now()
	s, err := syncer.StartSync(mysql.Position{Name: first, Pos: 4})
	if err != nil {
		return 0, "", err
	}
	if _, err = s.GetEvent(ctx); err != nil && !strings.Contains(err.Error(), errReached.Error()) {
		return 0, "", err
	}
	return time.Since(began), "the log's frames", nil
}

var errReached = errors.New("the end was reached")

// untilFile ends a raw reading where a file of the log begins.
type untilFile struct{ file string }

func (h *untilFile) HandleEvent(e *replication.BinlogEvent) error {
	if e.Header.EventType == replication.ROTATE_EVENT && strings.Contains(string(e.RawData[min(len(e.RawData), 19):]), h.file) {
		return errReached
	}
	return nil
}

// snapshot reads a table of 500,000 rows by a plain SELECT and by millrace.
func (m *mysqlBench) snapshot(ctx context.Context) error {
	m.logf("%s snapshot: writing %d rows", m.label, m.n*5/2)
	if err := m.exec(ctx, "truncate table orders"); err != nil {
		return err
	}
	for i := 0; i < m.n*5/2; i += 1000 {
		if err := m.exec(ctx, fmt.Sprintf(fillMySQL, i)); err != nil {
			return err
		}
	}
	rows, err := m.count(ctx, "orders")
	if err != nil {
		return err
	}
	c, err := snapmysql.Open(ctx, &snapmysql.Config{Addr: net.JoinHostPort(m.server.Host, m.server.Port), User: m.server.User, Password: m.server.Password, Timeout: time.Minute})
	if err != nil {
		return err
	}
	began := time.Now()
	err = c.Query(ctx, "select * from "+m.name+".orders", nil, func([]byte) error { return nil })
	plain := time.Since(began)
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	for _, avro := range m.avros() {
		if err := m.snapshotOnce(ctx, rows, avro, plain); err != nil {
			return err
		}
	}
	return nil
}

func (m *mysqlBench) snapshotOnce(ctx context.Context, rows int64, avro bool, plain time.Duration) (err error) {
	d, stop, err := m.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	name, tag := "JSON", m.name+"_sjson"
	if avro {
		name, tag = "Avro", m.name+"_savro"
	}
	if err := m.touch(); err != nil {
		return err
	}
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := m.post(ctx, d, tag, m.config(tag, avro, "initial")); err != nil {
		return err
	}
	_, last, err := m.arrive(ctx, tag+"."+m.name+".orders", 0, rows, 5*time.Minute)
	if err != nil {
		return err
	}
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	rss, err := peakMiB(d.PID())
	took := last.Sub(began)
	m.reportSnapshot(name, rows, took, plain, float64((cpu1-cpu0).Microseconds())/float64(rows), rss)
	m.logf("%s snapshot: %s %.2f s, SELECT %.2f s", m.label, name, took.Seconds(), plain.Seconds())
	if err != nil {
		return err
	}
	return d.Do(ctx, http.MethodDelete, "/connectors/"+tag, nil, nil)
}
