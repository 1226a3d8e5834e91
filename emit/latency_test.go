package emit

import (
	"slices"
	"testing"
	"time"

	"millrace/internal/record"
	"millrace/internal/testkit"
)

// BenchmarkLatency sends a batch of one record every 5 ms and reports the time
// until Kafka has acknowledged it.
func BenchmarkLatency(b *testing.B) {
	addr := testkit.Kafka(b)
	topic := benchTopic(b, addr)
	r := newRig(b, client(b, benchProps(addr)), func(c *Config) { c.FlushInterval = time.Minute })
	close(r.comStop)
	<-r.comDone
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	took := make([]time.Duration, 0, b.N)
	begun := cpu()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		bt := r.pool.Get()
		k := bt.Append()
		k.Topic, k.KeySchema, k.ValueSchema = topic, record.PlainString, record.PlainString
		k.Key, k.Value = bt.StringCell("12345678"), bt.StringCell("value")
		bt.End = at(i + 1)
		t0 := time.Now()
		r.send(b, bt)
		<-r.advanced
		took = append(took, time.Since(t0))
	}
	b.StopTimer()
	report(b, begun)
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	r.comStop = make(chan struct{})
	if err := r.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
}
