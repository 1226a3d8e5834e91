package emit

import (
	"context"

	"millrace/internal/record"
)

// Pipeline takes batches through transforms and converters to Kafka and stores
// offsets behind them. Send is called by one goroutine (the source's reader).
type Pipeline struct {
	cfg Config
}

// New makes a pipeline; nothing runs before Start.
func New(cfg Config) *Pipeline { return &Pipeline{cfg: cfg} }

// Start starts the encode+produce goroutine and the commit timer. They are joined
// by Drain or Abort.
func (p *Pipeline) Start(ctx context.Context) { panic("contract only") }

// Send hands a batch over; the pipeline releases it. While the queue is full it
// calls idle about once a second, so that the reader can answer keepalives; an
// error of idle, the end of ctx or the death of the pipeline ends the wait.
func (p *Pipeline) Send(ctx context.Context, b *record.Batch, idle func() error) error {
	panic("contract only")
}

// Err is closed when the pipeline died; Cause tells why.
func (p *Pipeline) Err() <-chan struct{} { panic("contract only") }

// Cause returns the error the pipeline died of, or nil.
func (p *Pipeline) Cause() error { panic("contract only") }

// Stored is the newest position whose offset is durable, nil if none yet: the
// only thing a source may confirm to its log. Safe from any goroutine.
func (p *Pipeline) Stored() record.Position { panic("contract only") }

// Drain ends cleanly: waits until everything sent is acknowledged, stores the
// last offset, stops the goroutines and closes the client. Bounded by ctx.
func (p *Pipeline) Drain(ctx context.Context) error { panic("contract only") }

// Abort stops at once without storing anything more.
func (p *Pipeline) Abort() { panic("contract only") }
