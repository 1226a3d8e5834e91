package worker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
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

// strangerFor is how long a topic may be known under another id: a new topic is for
// a moment, until all brokers have heard of it.
const strangerFor = 5 * time.Second

// strangerQuiet is how long no broker must have said so for a topic to be known
// again. While other topics are quiet a fetch comes back only every few seconds
// (fetch.max.wait.ms), so answers may be further apart than strangerFor.
const strangerQuiet = time.Minute

// stranger is a topic whose id the brokers do not know.
type stranger struct{ first, last time.Time }

// madeAnew is called with each answer that a topic's id is not known. A topic that
// was deleted and made again while it was read stays unknown to this client, which
// would ask for ever; a task that starts again reads it from its beginning.
func (t *SinkTask) madeAnew(topic string, now time.Time) error {
	s := t.strangers[topic]
	if s == nil || now.Sub(s.last) > strangerQuiet {
		if t.strangers == nil {
			t.strangers = map[string]*stranger{}
		}
		s = &stranger{first: now}
		t.strangers[topic] = s
		t.cfg.Log.Warn("the brokers do not know the topic by its id; if it was deleted and made again, the task starts anew in a moment", "group", t.cfg.Group, "topic", topic)
	}
	if s.last = now; now.Sub(s.first) < strangerFor {
		return nil
	}
	return &errs.Error{Java: errs.RetriableException, Msg: "The topic " + topic + " was deleted and made again while it was read; the task starts again and reads it from its beginning", Retriable: true}
}
