package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // the driver by which the sink's file is read
)

// window is the stretch of time that rates and latencies are taken over.
const window = 5 * time.Second

// watcher is an ordinary consumer of the demo's topics. It is safe for concurrent use.
type watcher struct {
	cl   *kgo.Client
	done chan struct{}
	show func(*kgo.Record, envelope)
	// inserts: the log has whole seconds only, so the latency is taken from when an
	// order says that it was placed.
	inserts bool

	mu      sync.Mutex
	changes int      // envelopes other than of the snapshot
	seen    int      // all envelopes
	recent  []sample // of the last window
}

type sample struct {
	at      time.Time
	latency time.Duration // commit to consumer; -1 not known
}

// envelope is what the demo reads of a record.
type envelope struct {
	Op     string `json:"op"`
	Source struct {
		TsUs  int64  `json:"ts_us"`
		Table string `json:"table"`
	} `json:"source"`
	After struct {
		PlacedAt time.Time `json:"placed_at"`
	} `json:"after"`
}

// watch starts consuming; show is called for each envelope, from one goroutine.
func watch(bootstrap, prefix, space string, inserts bool, show func(*kgo.Record, envelope)) (*watcher, error) {
	topics := make([]string, len(tables))
	for i, t := range tables {
		topics[i] = prefix + "." + space + "." + t
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond), kgo.ClientID("millrace-demo"),
		// Topics appear when the connector makes them.
		kgo.UnknownTopicRetries(-1))
	if err != nil {
		return nil, fmt.Errorf("consuming from %s: %w", bootstrap, err)
	}
	w := &watcher{cl: cl, done: make(chan struct{}), show: show, inserts: inserts}
	go w.loop() // joined by close
	return w, nil
}

func (w *watcher) close() error {
	w.cl.Close()
	<-w.done
	return nil
}

func (w *watcher) loop() {
	defer close(w.done)
	for {
		fs := w.cl.PollFetches(context.Background())
		if fs.IsClientClosed() {
			return
		}
		now := time.Now()
		fs.EachRecord(func(r *kgo.Record) { w.take(r, now) })
	}
}

func (w *watcher) take(r *kgo.Record, now time.Time) {
	var x struct {
		Payload envelope `json:"payload"`
	}
	if json.Unmarshal(r.Value, &x) != nil || x.Payload.Op == "" {
		return // a tombstone
	}
	w.show(r, x.Payload)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	if x.Payload.Op == "r" {
		return
	}
	w.changes++
	since := sample{now, now.Sub(time.UnixMicro(x.Payload.Source.TsUs))}
	if w.inserts {
		if since.latency = -1; x.Payload.Op == "c" && !x.Payload.After.PlacedAt.IsZero() {
			since.latency = now.Sub(x.Payload.After.PlacedAt)
		}
	}
	w.recent = append(w.recent, since)
}

// stats are the figures of the live line.
type stats struct {
	Changes  int     `json:"changes"`
	PerS     float64 `json:"changes_per_s"`
	P50Ms    float64 `json:"commit_to_kafka_p50_ms"`
	P99Ms    float64 `json:"commit_to_kafka_p99_ms"`
	SinkRows int64   `json:"sink_rows"`
}

// stats sums up the last window.
func (w *watcher) stats(now time.Time) stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, _ := slices.BinarySearchFunc(w.recent, now.Add(-window), func(s sample, t time.Time) int { return s.at.Compare(t) })
	w.recent = slices.Delete(w.recent, 0, old)
	s := stats{Changes: w.changes}
	if len(w.recent) == 0 {
		return s
	}
	if d := now.Sub(w.recent[0].at).Seconds(); d > 0.5 {
		s.PerS = math.Round(float64(len(w.recent))/d*10) / 10
	}
	var l []time.Duration
	for _, x := range w.recent {
		if x.latency >= 0 {
			l = append(l, x.latency)
		}
	}
	if len(l) == 0 {
		return s
	}
	slices.Sort(l)
	ms := func(q float64) float64 {
		return float64(l[min(len(l)-1, int(q*float64(len(l))))].Microseconds()) / 1000
	}
	s.P50Ms, s.P99Ms = ms(.5), ms(.99)
	return s
}

// sqlite is the sink's file, read only.
type sqlite struct{ db *sql.DB }

func openSQLite(file string) (*sqlite, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(1000)")
	if err != nil {
		return nil, err
	}
	return &sqlite{db}, nil
}

// rows counts the rows of the demo's tables; 0 while the sink has made none.
func (s *sqlite) rows(ctx context.Context) int64 {
	var sum int64
	for _, t := range tables {
		var n int64
		if s.db.QueryRowContext(ctx, "select count(*) from "+t).Scan(&n) == nil {
			sum += n
		}
	}
	return sum
}

// checked are the queries whose results must be the same in both databases.
var checked = []string{
	"select id, first_name, last_name, email from customers order by id",
	"select id, name, weight from products order by id",
	"select id, purchaser, product_id, quantity, status from orders order by id",
}

// lines reads a query's rows as text.
func (s *sqlite) lines(ctx context.Context, query string) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []string
	vals := make([]any, len(cols))
	for i := range vals {
		vals[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(vals...); err != nil {
			return nil, err
		}
		out = append(out, line(vals))
	}
	return out, rows.Err()
}

func line(vals []any) string {
	var sb strings.Builder
	for _, v := range vals {
		if p, ok := v.(*any); ok {
			v = *p
		}
		fmt.Fprintf(&sb, "%v|", v)
	}
	return sb.String()
}

// lines reads a query's rows as text.
func (s *shop) lines(ctx context.Context, query string) ([]string, error) {
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		vals, err := rows.Values()
		if err != nil {
			return nil, err
		}
		out = append(out, line(vals))
	}
	return out, rows.Err()
}

// compare counts the rows that are in one database and not in the other.
func compare(ctx context.Context, a database, b *sqlite) (equal, different int, err error) {
	for _, q := range checked {
		x, err := a.lines(ctx, q)
		if err != nil {
			return 0, 0, err
		}
		y, err := b.lines(ctx, q)
		if err != nil {
			return equal, different + len(x), err
		}
		in := map[string]int{}
		for _, l := range x {
			in[l]++
		}
		for _, l := range y {
			if in[l] > 0 {
				in[l]--
				equal++
			} else {
				different++
			}
		}
		for _, n := range in {
			different += n
		}
	}
	return equal, different, nil
}
