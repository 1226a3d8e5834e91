package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latency commits single-row transactions at a steady rate and measures, for each,
// the time from the commit's return to an ordinary consumer.
func (m *mysqlBench) latency(ctx context.Context) (err error) {
	d, stop, err := m.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	tag := m.name + "_lat"
	topic := tag + "." + m.name + ".orders"
	if err := m.post(ctx, d, tag, m.config(tag, false, "no_data")); err != nil {
		return err
	}
	if err := m.warm(ctx, topic); err != nil {
		return err
	}
	n := m.rate * m.secs
	seen := newArrivals(n)
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.kafka), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { seen.consume(cl) }) // ends when the client is closed
	defer func() { cl.Close(); wg.Wait() }()
	const insert = "insert into orders (customer_id, status, amount, note, qty, gift) values (1, 'new', 9.99, '%s', 1, false)"
	if err := m.exec(ctx, fmt.Sprintf(insert, "warm")); err != nil {
		return err
	}
	if err := seen.wait(ctx, "warm", 30*time.Second); err != nil {
		return err
	}
	m.logf("%s latency: %d transactions at %d/s", m.label, n, m.rate)
	got, err := paced(ctx, d.PID(), seen, n, m.rate, func(i int) error { return m.exec(ctx, fmt.Sprintf(insert, fmt.Sprint("n", i))) })
	if err != nil {
		return err
	}
	m.reportLatency(got.lat, got.share, got.rss)
	return nil
}
