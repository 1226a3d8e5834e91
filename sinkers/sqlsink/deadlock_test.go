package sqlsink_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// withNetwork runs a test on the servers that lock rows, with another session's way in.
func withNetwork(t *testing.T, f func(t *testing.T, tg caseTarget, db *sql.DB)) {
	targets(t, func(t *testing.T, tg caseTarget) {
		t.Parallel()
		switch x := tg.(type) {
		case *postgresTarget:
			db, err := sql.Open("pgx", fmt.Sprintf("postgres://%s:%s@%s:%s/%s?sslmode=disable", x.db.User, x.db.Password, x.db.Host, x.db.Port, x.db.Name))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			f(t, tg, db)
		case *mysqlTarget:
			f(t, tg, x.db)
		}
	})
}

// session is a connection of its own; statements end the test when they fail.
func session(t *testing.T, db *sql.DB, statements ...string) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, q := range statements {
		if _, err := c.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return c
}

func lockable(t *testing.T, tg caseTarget, db *sql.DB) {
	t.Helper()
	blob := "blob"
	if _, ok := tg.(*postgresTarget); ok {
		blob = "bytea"
	}
	session(t, db, "create table t(id int primary key, a varchar(40) not null, b "+blob+", n int)")
}

// TestDeadlock: another session locks rows in the other order. The server ends the sink's
// transaction; it is put again, and nothing is lost.
func TestDeadlock(t *testing.T) {
	withNetwork(t, func(t *testing.T, tg caseTarget, db *sql.DB) {
		lockable(t, tg, db)
		props := upserts(tg, map[string]string{"errors.tolerance": "all"})
		var patient []string // who looks for the deadlock, or weighs less, is its victim
		if _, ok := tg.(*postgresTarget); ok {
			props["connection.url"] += "?options=-c%20deadlock_timeout%3D10ms"
			patient = []string{"set deadlock_timeout = '1h'", "begin"}
		} else {
			rows := strings.TrimSuffix(strings.Repeat("(1),", 500), ",")
			patient = []string{"create table ballast(x int)", "begin", "insert into ballast values " + rows}
		}
		put, moved := make(chan error, 1), make(chan error, 1)
		// await ends when a query gives a number, or an error where that is the answer.
		await := func(query string, refused bool) {
			t.Helper()
			watch := session(t, db)
			for n := 0; n == 0; {
				select {
				case err := <-put:
					t.Fatalf("the sink did not wait: %v", err)
				case <-time.After(5 * time.Millisecond):
				}
				err := watch.QueryRowContext(t.Context(), query).Scan(&n)
				if refused {
					if n = 0; err != nil {
						return
					}
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
		session(t, db, "insert into t values (1, '', null, 0), (2, '', null, 0), (3, '', null, 0)")
		k, err := start(t, props)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		gate := session(t, db, "begin", "update t set n = 100 where id = 2")
		other := session(t, db, append(patient, "update t set n = 100 where id = 3")...)
		b := &record.Batch{}
		for i := 1; i <= 3; i++ {
			flat(t, b, i, map[string]any{"a": "x", "n": 7})
		}
		go func() { put <- k.Put(t.Context(), b) }()
		_, pg := tg.(*postgresTarget)
		const waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() and query like '%s'"
		if pg {
			await(fmt.Sprintf(waits, "INSERT INTO%"), false)
		} else {
			await("select id from t where id = 1 for update nowait", true) // the sink has it; looks at InnoDB's waits are a cache that looking keeps old
		}
		go func() {
			_, err := other.ExecContext(t.Context(), "update t set n = 101 where id = 1")
			moved <- err
		}()
		if pg { // who waits last looks for the deadlock, and that is to be the sink
			await(fmt.Sprintf(waits, "update t set n = 101%"), false)
		}
		if _, err := gate.ExecContext(t.Context(), "commit"); err != nil {
			t.Fatal(err)
		}
		if err := <-put; !errs.Retriable(err) || !strings.Contains(strings.ToLower(err.Error()), "deadlock") {
			t.Fatalf("a deadlock gives %v", err)
		}
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		if _, err := other.ExecContext(t.Context(), "commit"); err != nil {
			t.Fatal(err)
		}
		putUntil(t, k, b)
		if got := fmt.Sprint(numbers(t, tg)); got != "map[1:7 2:7 3:7]" {
			t.Errorf("got %s", got)
		}
	})
}

// TestDeadlocksOfLanes: while batches are divided over connections, another session
// changes the same rows in the other order.
func TestDeadlocksOfLanes(t *testing.T) {
	withNetwork(t, func(t *testing.T, tg caseTarget, db *sql.DB) {
		lockable(t, tg, db)
		props := upserts(tg, map[string]string{"write.lanes": "3"})
		if _, ok := tg.(*postgresTarget); ok {
			props["connection.url"] += "?options=-c%20deadlock_timeout%3D10ms"
		}
		k, err := start(t, props)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		batch := func(n int) *record.Batch {
			b := &record.Batch{}
			for i := range 1600 {
				flat(t, b, i, map[string]any{"a": "x", "n": n})
			}
			return b
		}
		putUntil(t, k, batch(0))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan [2]int)
		go func() {
			var did [2]int
			defer func() { done <- did }()
			for from := 1599; ctx.Err() == nil; from = (from*7 + 11) % 1600 {
				if backwards(ctx, db, from) == nil {
					did[0]++
				} else {
					did[1]++
				}
			}
		}()
		tries := 0
		for n := 1; n <= 5; n++ {
			tries += putUntil(t, k, batch(n))
		}
		cancel()
		did := <-done
		t.Logf("%d of the sink's batches were put again; of the other session's transactions %d went through, %d did not", tries, did[0], did[1])
		got := numbers(t, tg)
		for i := range 1600 {
			if got[i] != 5 {
				t.Fatalf("row %d is %d", i, got[i])
			}
		}
	})
}

// backwards changes some rows in one transaction, from one downwards, and not what is compared.
func backwards(ctx context.Context, db *sql.DB, from int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for i := from; i >= 0 && i > from-200; i -= 20 {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("update t set a = 'y' where id = %d", i)); err != nil {
			return err
		}
	}
	return tx.Commit()
}
