package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latency commits single-row transactions at a steady rate and measures, for each,
// the time from the commit's return to an ordinary consumer.
func (b *bench) latency(ctx context.Context) (err error) {
	db, conn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	tag := db.Name
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": tag, "config": b.config(tag, tag, false, map[string]string{"snapshot.mode": "no_data"})}, nil); err != nil {
		return err
	}
	if err := waitSlot(ctx, conn, tag, true); err != nil {
		return err
	}
	const insert = "insert into orders (customer_id, status, amount, note, qty, gift) values (1, 'new', 9.99, $1, 1, false)"
	topic := tag + ".public.orders"
	if err := b.warm(ctx, conn, topic); err != nil {
		return err
	}
	n := b.rate * b.secs
	seen := newArrivals(n)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.kafka), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { seen.consume(cl) }) // ends when the client is closed
	defer func() { cl.Close(); wg.Wait() }()
	if err := seen.wait(ctx, "warm", 30*time.Second); err != nil {
		return err
	}
	b.logf("latency: %d transactions at %d/s", n, b.rate)
	got, err := paced(ctx, d.PID(), seen, n, b.rate, func(i int) error {
		_, err := conn.Exec(ctx, insert, fmt.Sprint("n", i))
		return err
	})
	if err != nil {
		return err
	}
	b.report.addLatency(b.rate, got.lat, got.share, got.rss)
	return nil
}

// paceResult is what a steady rate of changes took: the time of each from its
// commit to a consumer, sorted, percent of a core, and the peak memory in MiB.
type paceResult struct {
	lat        []time.Duration
	share, rss float64
}

// paced makes n changes at rate per second and waits until the last has arrived.
func paced(ctx context.Context, pid int, seen *arrivals, n, rate int, change func(i int) error) (r paceResult, err error) {
	cpu0, err := cpuTime(pid)
	if err != nil {
		return r, err
	}
	sent := make([]time.Time, n)
	began := time.Now()
	for i := range n {
		if w := time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))); w > 0 {
			time.Sleep(w)
		}
		if err := change(i); err != nil {
			return r, err
		}
		sent[i] = time.Now()
	}
	if err := seen.wait(ctx, fmt.Sprint("n", n-1), 30*time.Second); err != nil {
		return r, err
	}
	cpu1, err := cpuTime(pid)
	if err != nil {
		return r, err
	}
	lat, lost := seen.latencies(sent)
	if lost > 0 {
		return r, fmt.Errorf("%d of %d transactions never arrived", lost, n)
	}
	slices.Sort(lat)
	r.lat, r.share = lat, (cpu1-cpu0).Seconds()/time.Since(began).Seconds()*100
	r.rss, err = peakMiB(pid)
	return r, err
}

// arrivals notes when each note was first seen by a consumer. It is safe for concurrent use.
type arrivals struct {
	mu   sync.Mutex
	at   map[string]time.Time
	news chan struct{}
}

func newArrivals(n int) *arrivals {
	return &arrivals{at: make(map[string]time.Time, n), news: make(chan struct{}, 1)}
}

func (a *arrivals) consume(cl *kgo.Client) {
	for {
		fs := cl.PollFetches(context.Background())
		if fs.IsClientClosed() {
			return
		}
		now := time.Now()
		a.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			var v struct {
				After struct{ Note string } `json:"after"`
			}
			if json.Unmarshal(r.Value, &v) != nil {
				return
			}
			if _, twice := a.at[v.After.Note]; !twice {
				a.at[v.After.Note] = now
			}
		})
		a.mu.Unlock()
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
}

// wait waits until a note has been seen.
func (a *arrivals) wait(ctx context.Context, note string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		a.mu.Lock()
		_, ok := a.at[note]
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return fmt.Errorf("change %q did not arrive: %w", note, ctx.Err())
		}
	}
}

// latencies pairs what was sent with what was seen.
func (a *arrivals) latencies(sent []time.Time) (lat []time.Duration, lost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, t := range sent {
		at, ok := a.at[fmt.Sprint("n", i)]
		if !ok {
			lost++
			continue
		}
		lat = append(lat, max(0, at.Sub(t)))
	}
	return lat, lost
}
