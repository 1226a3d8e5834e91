package store

import (
	"context"
	"sync"
)

// Record is one entry of a Log. A nil Value is a tombstone.
type Record struct {
	Key, Value []byte
	// Partition and Offset are where it lay; set by the log on reading.
	Partition int32
	Offset    int64
}

// Log is an append-only keyed log that is read back by its writers.
type Log interface {
	// Start replays the log from its beginning and returns when apply has seen
	// everything that was there; later records go to apply as they appear. apply
	// is called from one goroutine at a time and must not call the log.
	Start(ctx context.Context, apply func(Record)) error
	// Append writes the records in order, waits until they are durable and until
	// apply has seen them.
	Append(ctx context.Context, recs ...Record) error
	// AppendAsync hands a record over and returns; done (may be nil) is told when
	// it is durable or lost for good. Records of one key keep their order.
	AppendAsync(rec Record, done func(error))
	// Sync returns when apply has seen everything that was in the log at the call.
	Sync(ctx context.Context) error
	// Close ends reading and waits for what AppendAsync took.
	Close(ctx context.Context) error
}

// MemoryLog is a Log that forgets everything at the end of the process: the
// configs and statuses of standalone mode.
type MemoryLog struct {
	mu    sync.Mutex
	apply func(Record)
	next  int64
}

// NewMemoryLog makes an empty log.
func NewMemoryLog() *MemoryLog { return &MemoryLog{} }

// Start implements Log.
func (l *MemoryLog) Start(_ context.Context, apply func(Record)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply = apply
	return nil
}

// Append implements Log.
func (l *MemoryLog) Append(_ context.Context, recs ...Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range recs {
		r.Offset = l.next
		l.next++
		l.apply(r)
	}
	return nil
}

// AppendAsync implements Log.
func (l *MemoryLog) AppendAsync(rec Record, done func(error)) {
	err := l.Append(context.Background(), rec)
	if done != nil {
		done(err)
	}
}

// Sync implements Log.
func (l *MemoryLog) Sync(context.Context) error { return nil }

// Close implements Log.
func (l *MemoryLog) Close(context.Context) error { return nil }
