package sqlsink_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit/fault"
	"millrace/sinkers/sqlsink"
)

// proxied puts a proxy before the target, with a socketTimeout of five seconds: long
// enough for every write of a slow machine, so that only faults reach it.
func proxied(t *testing.T, tg caseTarget, props map[string]string) *fault.Proxy {
	t.Helper()
	u, err := url.Parse(strings.TrimPrefix(props["connection.url"], "jdbc:"))
	if err != nil {
		t.Fatal(err)
	}
	p := fault.New(t, u.Host)
	times := "?socketTimeout=5000&connectTimeout=5000" // ms
	if _, ok := tg.(*postgresTarget); ok {
		times = "?socketTimeout=5&connectTimeout=5" // s
	}
	props["connection.url"] = strings.Replace(props["connection.url"], u.Host, p.Addr(), 1) + times
	return p
}

// putUntil puts a batch until it is taken, as the runner does; every error on the way must be retriable.
func putUntil(t *testing.T, k *sqlsink.Sink, b *record.Batch) (failed int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; failed++ {
		err := k.Put(t.Context(), b)
		if err == nil {
			return failed
		}
		if !errs.Retriable(err) {
			t.Fatalf("a fault of the network gives %v", err)
		}
		if time.Now().After(end) {
			t.Fatalf("still %v", err)
		}
		time.Sleep(20 * time.Millisecond) // the runner waits flush.retry.delay.ms
	}
}

// TestNetworkFaults: whatever happens to the connection, each batch is written in the
// end and each row is what its last record says.
func TestNetworkFaults(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		if _, ok := tg.(*sqliteFile); ok {
			return // a file has no network
		}
		t.Parallel()
		blob := "blob"
		if _, ok := tg.(*postgresTarget); ok {
			blob = "bytea"
		}
		tg.exec(t, "create table t(id int primary key, a varchar(2000) not null, b "+blob+", n int)")
		props := upserts(tg, nil)
		p := proxied(t, tg, props)
		k, err := start(t, props)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		round := 0
		batch := func() *record.Batch {
			round++
			b := &record.Batch{}
			for i := range 1100 {
				flat(t, b, i, map[string]any{"a": strings.Repeat("x", 200), "n": round})
			}
			for i := 0; i < 1100; i += 10 {
				flat(t, b, i, nil)
			}
			return b
		}
		putUntil(t, k, batch())
		for _, f := range []struct {
			kind       string
			down       bool
			attributes map[string]int
			heals      bool // by itself: every new connection works a while
		}{
			{fault.LimitData, false, map[string]int{"bytes": 60_000}, false},
			{fault.Timeout, true, map[string]int{"timeout": 0}, false},
			{fault.Timeout, false, map[string]int{"timeout": 0}, false},
			{fault.Reset, true, map[string]int{"timeout": 0}, false},
			{fault.Bandwidth, false, map[string]int{"rate": 20_000}, true},
			{fault.Latency, true, map[string]int{"latency": 20, "jitter": 10}, true},
			{fault.Slicer, true, map[string]int{"average_size": 3, "delay": 10}, true},
		} {
			p.Add(f.kind, f.down, f.attributes)
			b := batch()
			if !f.heals {
				if err := k.Put(t.Context(), b); !errs.Retriable(err) {
					t.Fatalf("%s gives %v", f.kind, err)
				}
				p.Heal()
			}
			putUntil(t, k, b)
			p.Heal()
		}
		p.Cut()
		b := batch()
		if err := k.Put(t.Context(), b); !errs.Retriable(err) {
			t.Fatalf("a server that is gone gives %v", err)
		}
		p.Mend()
		putUntil(t, k, b)
		rows := tg.read(t)["t"].Rows
		wrong := 0
		for _, r := range rows {
			if fmt.Sprint(r[3]) != fmt.Sprint(round) {
				wrong++
			}
		}
		if len(rows) != 990 || wrong > 0 {
			t.Errorf("%d rows, want 990; %d are old", len(rows), wrong)
		}
	})
}

// TestLostCommit: the connection breaks while the server commits, so nobody says
// whether it did. The rows are put again and do not fail over themselves.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, `create table t(id int primary key, a varchar(40) not null, b bytea, n int);
create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$;
create constraint trigger slow after insert on t deferrable initially deferred for each row when (new.n = 1) execute function slow()`)
	props := upserts(p, map[string]string{"insert.mode": "insert"})
	proxy := proxied(t, p, props)
	props["connection.url"] = strings.Replace(props["connection.url"], "socketTimeout=5&", "", 1)
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	for i := 1; i <= 5; i++ {
		flat(t, b, i, map[string]any{"a": "x", "n": i})
	}
	watch := p.db.Connect(t)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for busy := false; !busy; {
			if err := watch.QueryRow(t.Context(), "select exists (select from pg_stat_activity where datname = $1 and wait_event = 'PgSleep')", p.db.Name).Scan(&busy); err != nil {
				return
			}
		}
		proxy.Cut()
	}()
	err = k.Put(t.Context(), b)
	<-cut
	if !errs.Retriable(err) {
		t.Fatalf("a lost COMMIT gives %v", err)
	}
	proxy.Mend()
	flat(t, b, 6, map[string]any{"a": "x", "n": 6})
	putUntil(t, k, b)
	if got := len(p.read(t)["t"].Rows); got != 6 {
		t.Errorf("%d rows, want 6", got)
	}
	// Later records are plain inserts again: what is there is refused.
	b = &record.Batch{}
	flat(t, b, 6, map[string]any{"a": "x", "n": 7})
	b.Records[0].Origin.Offset = 1000
	var bad *errs.RecordError
	if err := k.Put(t.Context(), b); !errors.As(err, &bad) {
		t.Errorf("a repeated insert gives %v", err)
	}
}

// TestSetupIsNoRecordsFault: a target that refuses everything does not send the
// records to the dead letter queue.
func TestSetupIsNoRecordsFault(t *testing.T) {
	t.Parallel()
	p := newPostgresTarget(t).(*postgresTarget)
	role := "r" + p.db.Name
	p.exec(t, "create role "+role+" login; create table t(id int primary key, a varchar(40) not null, b bytea, n int); grant select on t to "+role)
	defer p.exec(t, "drop owned by "+role+"; drop role "+role)
	k, err := start(t, upserts(p, map[string]string{"errors.tolerance": "all", "connection.username": role}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	for i := range 10 {
		flat(t, b, i, map[string]any{"a": "x", "n": i})
	}
	err = k.Put(t.Context(), b)
	var bad *errs.RecordError
	if err == nil || errors.As(err, &bad) || !strings.Contains(err.Error(), "permission denied") {
		t.Fatalf("missing rights give %v", err)
	}
	p.exec(t, "grant insert, update, delete on t to "+role)
	if err := k.Put(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// TestDiskFull: a server without room on its disk is waited for; no record is at fault.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, `create table t(id int primary key, a varchar(40) not null, b bytea, n int);
create function full_disk() returns trigger language plpgsql as $$ begin raise 'could not extend file: No space left on device' using errcode = '53100'; end $$;
create trigger full_disk before insert on t for each row when (new.id = 7) execute function full_disk()`)
	k, err := start(t, upserts(p, map[string]string{"errors.tolerance": "all"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	for i := range 20 {
		flat(t, b, i, map[string]any{"a": "x", "n": i})
	}
	if err := k.Put(t.Context(), b); !errs.Retriable(err) {
		t.Fatalf("a full disk gives %v", err)
	}
	p.exec(t, "drop trigger full_disk on t")
	if err := k.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := len(p.read(t)["t"].Rows); got != 20 {
		t.Errorf("%d rows, want 20", got)
	}
}
