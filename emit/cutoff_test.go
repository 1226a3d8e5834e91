package emit

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// waiting is a converter whose registry never answers.
type waiting struct {
	raw
	asked chan struct{}
}

func (w *waiting) Encoder(ctx context.Context, _ *record.Topic, _ *record.Schema) (convert.Encoder, error) {
	close(w.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestCutOff: a registry that does not answer cannot hold a task whose time to stop
// has run out.
func TestCutOff(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	w := &waiting{asked: make(chan struct{})}
	r := newRigUnstarted(t, client(t, props(addr(c))), func(cfg *Config) { cfg.Key = w })
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	r.Start(ctx)
	r.send(t, r.batch(at(1), topicA, "1", "x"))
	<-w.asked
	drained := make(chan error, 1)
	go func() { drained <- r.Drain(context.WithoutCancel(ctx)) }()
	select {
	case err := <-drained:
		t.Fatalf("ended before it was cut off: %v", err)
	default:
	}
	cut()
	if err := <-drained; err == nil {
		t.Error("a batch that was not sent counts as drained")
	}
}
