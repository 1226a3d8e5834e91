package oracle

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Hub is one Kafka consumer that hands each record to the case it belongs to, by
// the run's prefix in the topic name. It is safe for concurrent use.
type Hub struct {
	cl   *kgo.Client
	done chan struct{}

	mu    sync.Mutex
	cases map[string]*Inbox // by prefix
}

// NewHub starts a consumer of every topic whose name holds one of the prefixes
// that begin with tag. Close joins it.
func NewHub(bootstrap, tag string) (*Hub, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics("^.*"+regexp.QuoteMeta(tag)+".*$"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond),
		kgo.MetadataMaxAge(250*time.Millisecond),
		kgo.AllowAutoTopicCreation(), // signal topics
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	h := &Hub{cl: cl, done: make(chan struct{}), cases: map[string]*Inbox{}}
	go h.poll()
	return h, nil
}

// Close stops the consumer and waits for it.
func (h *Hub) Close() {
	h.cl.Close()
	<-h.done
}

func (h *Hub) poll() {
	defer close(h.done)
	for {
		fs := h.cl.PollFetches(context.Background())
		if fs.IsClientClosed() {
			return
		}
		h.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			if strings.HasPrefix(r.Topic, "history.") {
				return
			}
			for prefix, in := range h.cases {
				if strings.Contains(r.Topic, prefix) {
					in.add(r)
				}
			}
		})
		h.mu.Unlock()
	}
}

// Inbox returns what lands in topics whose name holds prefix, from now on.
func (h *Hub) Inbox(prefix string) *Inbox {
	in := &Inbox{news: make(chan struct{}, 1)}
	h.mu.Lock()
	h.cases[prefix] = in
	h.mu.Unlock()
	return in
}

// Forget ends an inbox and deletes its topics.
func (h *Hub) Forget(ctx context.Context, prefix string) error {
	h.mu.Lock()
	delete(h.cases, prefix)
	h.mu.Unlock()
	adm := kadm.NewClient(h.cl)
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(all.Names(), func(n string) bool { return !strings.Contains(n, prefix) })
	if len(names) == 0 {
		return nil
	}
	_, err = adm.DeleteTopics(ctx, names...)
	return err
}

// Inbox collects the records of one case.
type Inbox struct {
	news chan struct{} // one token: something was added since it was taken

	mu      sync.Mutex
	records []*kgo.Record
	last    time.Time
}

func (in *Inbox) add(r *kgo.Record) {
	in.mu.Lock()
	in.records, in.last = append(in.records, r), time.Now()
	in.mu.Unlock()
	select {
	case in.news <- struct{}{}:
	default:
	}
}

// Records returns what has arrived so far.
func (in *Inbox) Records() []*kgo.Record {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.records)
}

var errNoMark = errors.New("marker did not arrive")

// Wait waits until a record holds mark in its key or value. check, if not nil, is
// asked every 3 s; its error ends the wait unless the marker has come by then.
func (in *Inbox) Wait(ctx context.Context, mark string, timeout time.Duration, check func() error) error {
	end := time.NewTimer(timeout)
	defer end.Stop()
	ask := time.NewTicker(3 * time.Second)
	defer ask.Stop()
	from := 0
	seen := func() bool {
		rs := in.Records()
		for _, r := range rs[from:] {
			if strings.Contains(string(r.Value), mark) || strings.Contains(string(r.Key), mark) {
				return true
			}
		}
		from = len(rs)
		return false
	}
	for !seen() {
		select {
		case <-in.news:
		case <-ask.C:
			if check == nil {
				continue
			}
			if err := check(); err != nil && !seen() {
				return err
			}
		case <-end.C:
			return fmt.Errorf("%w: %s, within %s; %d records so far", errNoMark, mark, timeout, len(in.Records()))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Settle returns once nothing has arrived for quiet.
func (in *Inbox) Settle(ctx context.Context, quiet time.Duration) {
	began := time.Now()
	for ctx.Err() == nil {
		in.mu.Lock()
		last := in.last
		in.mu.Unlock()
		if last.Before(began) {
			last = began
		}
		left := time.Until(last.Add(quiet))
		if left <= 0 {
			return
		}
		select {
		case <-in.news:
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
}
