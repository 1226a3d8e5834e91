package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// TestExactlyOnce kills the daemon at random moments of streaming with
// exactly.once.source.support=enabled: a reader of committed records gets every
// change once. (A snapshot that is killed begins again, as under Connect, so the
// kills begin behind it.)
func TestExactlyOnce(t *testing.T) {
	db := testkit.NewDatabase(t, "once")
	testkit.DropTopics(t, db.Name)
	db.Exec(t, fmt.Sprintf(`create table t (id int primary key, seq bigint not null, note text);
		insert into t select g, 1, 'there before' from generate_series(1, %d) g`, existing))
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "200", "exactly.once.source.support": "enabled"})
	post(t, d, db.Name, postgresConfig(db))
	topic := db.Name + ".public.t"
	conn := db.Connect(t)
	w := newWriter(existing, func(ops []op, commit bool) error { return writePostgres(conn, ops, commit) })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	awaitStream(t, topic)
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	n := kills()
	for i := range n {
		if i > 0 {
			if err := d.Spawn(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(30+rnd.IntN(2500)) * time.Millisecond) // the moment of the kill is meant to be blind
		d.Kill()
	}
	if err := d.Spawn(); err != nil {
		t.Fatal(err)
	}
	stop()
	wg.Wait()
	if w.err != nil {
		t.Fatalf("the writer: %v", w.err)
	}
	w.end(t)
	if repeated := check(t, topic, w.committed, n, kgo.ReadCommitted()); repeated > 0 {
		t.Errorf("%d records came twice", repeated)
	}
}

// awaitStream returns when the first change that was streamed is committed.
func awaitStream(t *testing.T, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for found := false; !found; {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatal("nothing was streamed")
		}
		fs.EachRecord(func(r *kgo.Record) {
			found = found || strings.Contains(string(r.Value), `"op":"u"`) || strings.Contains(string(r.Value), `"op":"c"`)
		})
	}
}
