package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver of the writer's connection

	"millrace/internal/testkit"
)

// existingMySQL are so many rows that a kill often hits the snapshot, which then
// goes on.
const existingMySQL = 30_000

func TestKillLoopMySQL(t *testing.T) {
	killLoopMySQL(t, testkit.MySQL(t), "io.debezium.connector.mysql.MySqlConnector")
}

func TestKillLoopMariaDB(t *testing.T) {
	killLoopMySQL(t, testkit.MariaDB(t), "io.debezium.connector.mariadb.MariaDbConnector")
}

func killLoopMySQL(t *testing.T, at testkit.Endpoint, class string) {
	name := testkit.Name("kill")
	testkit.DropTopics(t, name)
	dsn := at.User + ":" + at.Password + "@tcp(" + net.JoinHostPort(at.Host, at.Port) + ")/"
	admin := open(t, dsn)
	exec(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name); err != nil {
			t.Errorf("dropping database %s: %v", name, err)
		}
	})
	db := open(t, dsn+name+"?interpolateParams=true")
	exec(t, db, "create table t (id int primary key, seq bigint not null, note text)")
	exec(t, db, "create table d (i int primary key)")
	exec(t, db, "insert into d values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
	exec(t, db, "insert into t select 1 + a.i + 10 * b.i + 100 * c.i + 1000 * e.i + 10000 * f.i as n, 1, 'there before' from d a, d b, d c, d e, d f having n <= "+strconv.Itoa(existingMySQL))
	w := newWriter(existingMySQL, func(ops []op, commit bool) error { return writeMySQL(db, ops, commit) })
	config := map[string]string{
		"connector.class": class, "tasks.max": "1", "database.hostname": at.Host, "database.port": at.Port, "database.user": at.User, "database.password": at.Password,
		"database.server.id": fmt.Sprint(1_000_000 + hexOf(name)), "topic.prefix": name, "table.include.list": name + ".t", "snapshot.max.threads": "2",
		"schema.history.internal.kafka.bootstrap.servers": testkit.Kafka(t), "schema.history.internal.kafka.topic": name + "-history",
		"schema.history.internal.store.only.captured.databases.ddl": "true", "database.include.list": name,
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}
	n := kills()
	if n < 10 {
		n = (n + 1) / 2 // there are two of these servers
	}
	killLoop(t, w, name, name+"."+name+".t", config, n)
}

// hexOf is the number that a name made by testkit.Name ends with: server ids must
// differ between tests that run at once.
func hexOf(name string) int64 {
	n, err := strconv.ParseInt(name[len(name)-6:], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func writeMySQL(db *sql.DB, ops []op, commit bool) error {
	ctx := context.Background() // a commit that was begun is finished
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, o := range ops {
		text := "update t set seq = ?, note = ? where id = ?"
		if o.insert {
			text = "insert into t (seq, note, id) values (?, ?, ?)"
		}
		if _, err := tx.ExecContext(ctx, text, o.seq, o.note, o.id); err != nil {
			return err
		}
	}
	if !commit {
		return tx.Rollback()
	}
	return tx.Commit()
}
