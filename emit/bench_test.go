package emit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/record"
	"millrace/internal/testkit"
)

// BenchmarkProduce sends records of about 430 bytes through the pipeline to the
// Kafka of MILLRACE_TEST_KAFKA, without a transform and with a converter that
// copies. It reports the processor time of this process per record.
//
// BenchmarkFloor is the same with the client alone, one slice per record: what is
// left when all of our own work is taken away.
func BenchmarkProduce(b *testing.B) {
	for _, rows := range []int{100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			addr := testkit.Kafka(b)
			topic := benchTopic(b, addr)
			r := newRig(b, client(b, benchProps(addr)), func(c *Config) { c.FlushInterval, c.QueueBytes = time.Second, 0 })
			r.pool.Max = 64
			val := strings.Repeat("abcdefghijklmnopqrstuvw", 19)[:420]
			begun := cpu()
			b.ResetTimer()
			b.ReportAllocs()
			for n := 0; n < b.N; {
				bt := r.pool.Get()
				for range min(rows, b.N-n) {
					k := bt.Append()
					k.Topic = topic
					k.KeySchema, k.ValueSchema = record.PlainString, record.PlainString
					k.Key, k.Value = bt.StringCell("12345678"), bt.StringCell(val)
					n++
				}
				bt.End = at(n)
				r.send(b, bt)
			}
			if err := r.Drain(context.Background()); err != nil {
				b.Fatal(err)
			}
			report(b, begun)
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	addr := testkit.Kafka(b)
	topic := benchTopic(b, addr)
	cl := client(b, benchProps(addr))
	val := strings.Repeat("abcdefghijklmnopqrstuvw", 19)[:420]
	done := make(chan struct{})
	acked := 0
	begun := cpu()
	b.ResetTimer()
	for n := range b.N {
		k := make([]byte, 8+len(val))
		copy(k, "12345678")
		copy(k[8:], val)
		for cl.BufferedProduceRecords() > 60000 && n%64 == 0 {
			time.Sleep(time.Millisecond)
		}
		cl.Produce(context.Background(), &kgo.Record{Topic: topic.Name, Key: k[:8], Value: k[8:], Partition: -1}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
			if acked++; acked == b.N {
				close(done)
			}
		})
	}
	<-done
	report(b, begun)
}

func benchProps(addr string) map[string]string {
	p := map[string]string{"bootstrap.servers": addr}
	for _, kv := range strings.Fields(os.Getenv("MILLRACE_BENCH_PRODUCER")) {
		k, v, _ := strings.Cut(kv, "=")
		p[k] = v
	}
	return p
}

func benchTopic(b *testing.B, addr string) *record.Topic {
	b.Helper()
	name := testkit.Name("emitbench")
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		b.Fatal(err)
	}
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(context.Background(), 1, 1, nil, name); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		defer cl.Close()
		if _, err := adm.DeleteTopic(context.Background(), name); err != nil {
			b.Error(err)
		}
	})
	return &record.Topic{Name: name}
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func report(b *testing.B, begun time.Duration) {
	b.Helper()
	b.ReportMetric(float64((cpu()-begun).Nanoseconds())/float64(b.N)/1000, "cpu-µs/record")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
