package sqlsink_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// diskSize is the size of a target's disk; a table filler takes half of it or more.
const diskSize = 12 << 20

// owner is the user whose server keeps its files at path. The test is skipped when the
// server is elsewhere.
func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("the server's files are not on this machine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// diskOf gives a target a small disk of its own that is filled to a half. room makes room
// on it; end must be called before the test ends.
func diskOf(t *testing.T, tg caseTarget) (room, end func()) {
	t.Helper()
	switch x := tg.(type) {
	case *postgresTarget:
		var data string
		if err := x.db.Connect(t).QueryRow(t.Context(), "show data_directory").Scan(&data); err != nil {
			t.Fatal(err)
		}
		uid := owner(t, data)
		space := "s" + x.db.Name
		dir := filepath.Join(filepath.Dir(data), space) // where the server is let in
		t.Cleanup(func() { _ = os.Remove(dir) })
		testkit.SmallDisk(t, dir, diskSize, uid)
		x.exec(t, "create tablespace "+space+" location '"+dir+"'")
		x.exec(t, "create table filler tablespace "+space+" as select repeat(md5(i::text), 30) x from generate_series(1, 6000) i")
		x.exec(t, "create table t(id int primary key using index tablespace "+space+", a varchar(2000) not null, b bytea, n int) tablespace "+space)
		end = func() {
			for _, q := range []string{"drop table t", "drop table if exists filler", "drop tablespace " + space} {
				x.exec(t, q)
			}
		}
	case *mysqlTarget:
		var data string
		if err := x.db.QueryRowContext(t.Context(), "select @@datadir").Scan(&data); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(data, x.name)                       // the database's tables are here
		testkit.SmallDisk(t, dir, diskSize+4<<20, owner(t, dir)) // InnoDB takes room by megabytes
		x.exec(t, "create table filler(x longblob); insert into filler values (repeat('x', 2000000))")
		x.exec(t, "create table t(id int primary key, a varchar(2000) not null, b blob, n int)")
		end = func() { x.exec(t, "drop table t; drop table if exists filler") }
	case *sqliteFile:
		dir := t.TempDir()
		testkit.SmallDisk(t, dir, diskSize, os.Geteuid())
		x.path = filepath.Join(dir, "target.db")
		x.exec(t, "create table t(id int primary key, a varchar(2000) not null, b blob, n int)")
		filler := filepath.Join(dir, "filler")
		if err := os.WriteFile(filler, make([]byte, diskSize/2), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}, func() {}
	}
	return func() { tg.exec(t, "drop table filler") }, end
}

// numbers reads n of table t by id.
func numbers(t *testing.T, tg caseTarget) map[int]int {
	t.Helper()
	var db *sql.DB
	switch x := tg.(type) {
	case *postgresTarget:
		rows, err := x.db.Connect(t).Query(t.Context(), "select id, n from t")
		if err != nil {
			t.Fatal(err)
		}
		out := map[int]int{}
		var id, n int
		if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { out[id] = n; return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	case *mysqlTarget:
		db = x.db
	case *sqliteFile:
		db = x.open(t)
	}
	rows, err := db.QueryContext(t.Context(), "select id, n from t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[int]int{}
	for rows.Next() {
		var id, n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		out[id] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDiskReallyFull: the target's disk runs full in the middle of a batch. No record is at
// fault and nothing is written by halves; once there is room the same batch goes in.
func TestDiskReallyFull(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		t.Parallel()
		room, end := diskOf(t, tg)
		defer end()
		k, err := start(t, upserts(tg, map[string]string{"errors.tolerance": "all"}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		rnd := rand.New(rand.NewPCG(1, 2))
		rows := 0
		var b *record.Batch
		for err = nil; err == nil; rows += 300 {
			if rows > 60_000 {
				t.Fatal("the disk has room without end")
			}
			b = &record.Batch{}
			for i := range 300 {
				flat(t, b, rows+i, map[string]any{"a": fmt.Sprintf("%x", rnd.Uint64()) + strings.Repeat("x", 1500), "n": i})
			}
			err = k.Put(t.Context(), b)
		}
		t.Logf("full after %d rows: %v", rows-300, err)
		for range 3 {
			if !errs.Retriable(err) {
				t.Fatalf("a full disk gives %v", err)
			}
			if got := len(numbers(t, tg)); got != rows-300 {
				t.Fatalf("%d rows are there, want the %d of the batches before", got, rows-300)
			}
			err = k.Put(t.Context(), b)
		}
		room()
		putUntil(t, k, b)
		got := numbers(t, tg)
		for i := range rows {
			if n, ok := got[i]; !ok || n != i%300 {
				t.Fatalf("row %d is %d (there: %v); %d rows, want %d", i, n, ok, len(got), rows)
			}
		}
	})
}
