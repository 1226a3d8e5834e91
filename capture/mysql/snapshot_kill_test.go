package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// gate is a sink that stops taking batches once it has so many rows, until it is
// opened.
type gate struct {
	*sink
	after int
	shut  chan struct{} // gets a value when it stops
	open  chan struct{}
}

func (g *gate) Send(ctx context.Context, b *record.Batch, idle func() error) error {
	if len(g.records()) >= g.after {
		select {
		case g.shut <- struct{}{}:
		default:
		}
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.sink.Send(ctx, b, idle)
}

// When the server ends the connection that reads the rows, the snapshot goes on
// behind the last row that was read.
func TestKilledReader(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.exec("create table a (id int primary key, v text); insert into a select n, repeat('x', 16000) from " + many)
		out := &gate{sink: newSink(), after: 100, shut: make(chan struct{}, 1), open: make(chan struct{})}
		r.props["snapshot.mode"], r.props["max.batch.size"], r.props["max.queue.size"] = "initial", "50", "100"
		src, err := NewSource(r.flavor, "cap", 0, r.props, testkit.Log(t), metrics.New().Task("cap", "0"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- src.run(ctx, nil, out, nil) }()
		defer func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("the source did not end")
			}
		}()
		select {
		case <-out.shut:
		case <-time.After(patience):
			t.Fatal("no rows came")
		}
		var id int64
		if err := r.db.QueryRow("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND INFO LIKE 'SELECT %FORCE INDEX%'", r.name).Scan(&id); err != nil {
			t.Fatalf("no connection reads rows: %v", err)
		}
		r.exec(fmt.Sprintf("KILL %d", id))
		close(out.open)
		out.wait(t, 2500)
		r.exec("insert into a values (5000, 'end')")
		rs := out.wait(t, 2501)
		for i, g := range rs[:2500] {
			want := "true"
			switch i {
			case 0:
				want = "first"
			case 2499:
				want = "last"
			}
			if g.Key != fmt.Sprintf("{id:%d}", i) || g.Op != "r" || g.Snapshot != want {
				t.Fatalf("record %d is %s %s, marked %s", i, g.Op, g.Key, g.Snapshot)
			}
		}
		if g := rs[2500]; g.Op != "c" || !strings.Contains(g.Key, "5000") {
			t.Errorf("after the snapshot came %s %s", g.Op, g.Key)
		}
	})
}
