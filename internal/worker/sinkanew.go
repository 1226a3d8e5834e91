package worker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Informed is a Sink that wants to know which partitions are read from where no
// stored offset says: from their beginning, or wherever the consumer's settings put
// a new group. It is told before their first record; calls never overlap those of
// Sink.
type Informed interface {
	Anew(topic string, partition int32)
}

// onFetched tells an Informed sink of partitions without a stored offset. It runs
// in the client's goroutine behind onAssigned, before anything is read.
func (t *SinkTask) onFetched(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	sink, ok := t.sink.(Informed)
	if !ok {
		return offsets, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, ps := range offsets {
		for p, o := range ps {
			if o.EpochOffset().Offset < 0 {
				sink.Anew(topic, p)
			}
		}
	}
	return offsets, nil
}
