//go:build java

package handover

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver
	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"millrace/internal/testkit"
)

// database is where the rows come from, with one connection for the writer.
type database struct {
	kind, name string
	server     testkit.Endpoint
	db         *sql.DB
	kafka      string
}

func open(t *testing.T, kind, tag string) database {
	t.Helper()
	d := database{kind: kind, name: tag, kafka: testkit.Kafka(t)}
	if kind == "postgres" {
		p := testkit.NewDatabase(t, tag)
		d.server, d.name = p.Endpoint, p.Name
		d.connect(t, "pgx", p.URL)
	} else {
		d.server = testkit.MySQL(t)
		if kind == "mariadb" {
			d.server = testkit.MariaDB(t)
		}
		dsn := func(name string) string {
			return fmt.Sprintf("%s:%s@tcp(%s:%s)/%s", d.server.User, d.server.Password, d.server.Host, d.server.Port, name)
		}
		admin, err := sql.Open("mysql", dsn(""))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = admin.Exec("drop database if exists " + tag)
			_ = admin.Close()
		})
		if _, err := admin.ExecContext(t.Context(), "create database "+tag); err != nil {
			t.Fatal(err)
		}
		d.connect(t, "mysql", dsn(tag))
	}
	for _, s := range []string{"create table seq (id bigint primary key, v varchar(100))", "create table other (id int primary key, v int)", "insert into other values (1, 0)"} {
		if err := d.exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *database) connect(t *testing.T, driver, dsn string) {
	t.Helper()
	var err error
	if d.db, err = sql.Open(driver, dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.db.Close() })
}

func (d *database) exec(ctx context.Context, s string) error {
	_, err := d.db.ExecContext(ctx, s)
	return err
}

func (d *database) transaction(ctx context.Context, statements []string) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			_ = tx.Rollback()
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return tx.Commit()
}

func (d *database) topic(prefix string) string {
	if d.kind == "postgres" {
		return prefix + ".public.seq"
	}
	return prefix + "." + d.name + ".seq"
}

func (d *database) config(tag string) map[string]string {
	c := map[string]string{"database.hostname": d.server.Host, "database.port": d.server.Port, "database.user": d.server.User, "database.password": d.server.Password}
	slot := strings.ReplaceAll(tag, "-", "_")
	switch d.kind {
	case "postgres":
		c["connector.class"] = "io.debezium.connector.postgresql.PostgresConnector"
		c["database.dbname"], c["plugin.name"], c["slot.name"], c["publication.name"] = d.name, "pgoutput", slot, slot
		return c
	case "mysql":
		c["connector.class"] = "io.debezium.connector.mysql.MySqlConnector"
	case "mariadb":
		c["connector.class"] = "io.debezium.connector.mariadb.MariaDbConnector"
	}
	c["database.server.id"] = strconv.Itoa(1_000_000 + rand.IntN(1_000_000_000))
	c["database.include.list"] = d.name
	c["schema.history.internal.kafka.topic"] = tag + "-history"
	c["schema.history.internal.kafka.bootstrap.servers"] = d.kafka
	// One statement that Debezium cannot parse, made by anyone on the server, would stop it.
	c["schema.history.internal.skip.unparseable.ddl"] = "true"
	return c
}
