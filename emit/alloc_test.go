package emit

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/internal/record"
)

// TestNoAllocationPerRecord sends warm batches of 1000 records to a fake broker
// that throws them away. What remains belongs to the client, the broker (it runs
// in this process) and the batch as a whole: far below one allocation per record.
func TestNoAllocationPerRecord(t *testing.T) {
	const rows = 1000
	c := fake(t, kfake.SeedTopics(1, "a"), kfake.BlackholeProduce())
	r := newRig(t, client(t, props(addr(c))), func(c *Config) { c.FlushInterval = time.Hour })
	val := strings.Repeat("x", 300)
	n := 0
	send := func() {
		b := r.pool.Get()
		for range rows {
			k := b.Append()
			k.Topic, k.KeySchema, k.ValueSchema, k.CommitUs = topicA, record.PlainString, record.PlainString, time.Now().UnixMicro()
			k.Key, k.Value = b.StringCell("12345678"), b.StringCell(val)
			if len(b.Records) == 1 {
				b.AddHeader(k, record.Header{Key: "h", Schema: record.PlainString, Value: b.StringCell("v")})
			} else {
				b.ShareHeaders(k, &b.Records[0])
			}
		}
		n++
		b.End = at(n)
		r.send(t, b)
		for acked := false; !acked; {
			<-r.advanced // in place of the committer, which does not run dry here
			r.mu.Lock()
			end, _ := r.ledger.Committable()
			acked = end == at(n)
			r.mu.Unlock()
		}
	}
	close(r.comStop) // the test waits on advanced itself
	<-r.comDone
	for range 5 {
		send()
	}
	got := testing.AllocsPerRun(20, send)
	t.Logf("%.0f allocations per batch of %d records", got, rows)
	if got > 150 {
		t.Errorf("%.0f allocations per batch of %d records", got, rows)
	}
	r.comStop = make(chan struct{})
	r.drain(t)
}
