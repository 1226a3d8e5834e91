package objectstore

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"millrace/internal/record"
)

// wide is a row of ten columns, as the benchmarks of the sources have it.
var wide = &record.Schema{Type: record.Struct, Name: "orders", Fields: []record.Field{
	{Name: "id", Schema: record.PlainInt64}, {Name: "customer_id", Schema: record.PlainInt32}, {Name: "status", Schema: record.PlainString}, {Name: "amount", Schema: record.OptionalFloat64},
	{Name: "note", Schema: record.OptionalString}, {Name: "placed_at", Schema: record.PlainString}, {Name: "ship_on", Schema: record.OptionalInt32}, {Name: "qty", Schema: record.PlainInt16},
	{Name: "weight", Schema: record.OptionalFloat64}, {Name: "gift", Schema: record.PlainBoolean}}}

func wideRow(i int64) map[string]any {
	return map[string]any{"id": i, "customer_id": i % 5000, "status": fmt.Sprint("status", i%7), "amount": 1.25 * float64(i), "note": fmt.Sprint("a note of some length about order ", i),
		"placed_at": "2026-01-01T00:00:00.123456Z", "ship_on": 20454 + i%365, "qty": i % 100, "weight": float64(i) / 3, "gift": i%2 == 0}
}

// cpu is the processor time of the process in nanoseconds: on a busy machine it
// tells more than the clock.
func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkFormats puts records of ten columns into files of 100,000 records.
func BenchmarkFormats(b *testing.B) {
	for _, class := range formatClasses[:3] {
		b.Run(class, func(b *testing.B) {
			s := confluentSink(b, b.TempDir(), map[string]string{"format.class": formats + class, "flush.size": "100000"})
			const per = 5000
			in := batch(b, 0, per, wide, wideRow)
			at := int64(0)
			before := cpu()
			b.ResetTimer()
			for b.Loop() {
				for i := range in.Records {
					in.Records[i].Origin.Offset = at
					at++
				}
				must(b, s.Put(context.Background(), in))
			}
			must(b, s.Flush(context.Background()))
			b.ReportMetric(float64(cpu()-before)/float64(at), "cpu-ns/record")
		})
	}
}
