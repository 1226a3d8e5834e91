package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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

// onFetched learns where the group begins to read: it tells an Informed sink of
// partitions without a stored offset, and notes the place of the others, so that a
// commit names every partition, as Connect's does. It runs in the client's goroutine
// behind onAssigned, before anything is read.
func (t *SinkTask) onFetched(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	t.mu.Lock()
	cl := t.member
	t.mu.Unlock()
	start, _ := cl.OptValue(kgo.ConsumeStartOffset).(kgo.Offset)
	informed, _ := t.sink.(Informed)
	places := map[partitionID]int64{}
	var open []partitionID // without a stored offset
	for topic, ps := range offsets {
		for p, o := range ps {
			if o == start {
				open = append(open, partitionID{topic, p})
			} else {
				places[partitionID{topic, p}] = o.EpochOffset().Offset
			}
		}
	}
	if start == kgo.NewOffset().AtCommitted() && len(open) > 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.failed = noOffset(open)
		return offsets, nil
	}
	t.noteStored(places)
	if informed != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, id := range open {
			informed.Anew(id.topic, id.partition)
		}
		return offsets, nil // what it knows of them must not be forgotten by a commit
	}
	for id, at := range t.beginnings(ctx, cl, start, open) {
		offsets[id.topic][id.partition] = kgo.NewOffset().At(at)
	}
	return offsets, nil
}

// noteStored notes the stored offsets of partitions that were assigned.
func (t *SinkTask) noteStored(places map[partitionID]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, at := range places {
		if part := t.assigned[id.topic][id.partition]; part != nil {
			part.next, part.committed = at, at
		}
	}
}

// beginnings asks where partitions without a stored offset begin and notes it; those
// that it cannot tell are left to the client.
func (t *SinkTask) beginnings(ctx context.Context, cl *kgo.Client, start kgo.Offset, open []partitionID) map[partitionID]int64 {
	adm := kadm.NewClient(cl)
	list := adm.ListStartOffsets
	switch {
	case len(open) == 0:
		return nil
	case start == kgo.NewOffset().AtStart():
	case start == kgo.NewOffset().AtEnd():
		if list = adm.ListEndOffsets; cl.OptValue(kgo.FetchIsolationLevel) == int8(1) { // read_committed
			list = adm.ListCommittedOffsets
		}
	default:
		return nil
	}
	topics := map[string]bool{}
	for _, id := range open {
		topics[id.topic] = true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := list(ctx, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		t.cfg.Log.Debug("ask where partitions begin", "error", err)
	}
	out := map[partitionID]int64{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range open {
		o, ok := found.Lookup(id.topic, id.partition)
		if !ok || o.Err != nil || o.Offset < 0 {
			continue
		}
		out[id] = o.Offset
		if part := t.assigned[id.topic][id.partition]; part != nil {
			part.next = o.Offset
		}
	}
	return out
}

// noOffset is what auto.offset.reset=none says of partitions that no offset is stored of.
func noOffset(open []partitionID) error {
	names := make([]string, len(open))
	for i, id := range open {
		names[i] = fmt.Sprintf("%s-%d", id.topic, id.partition)
	}
	slices.Sort(names)
	return &errs.Error{Java: "org.apache.kafka.clients.consumer.NoOffsetForPartitionException", Msg: "Undefined offset with no reset policy for partitions: [" + strings.Join(names, ", ") + "]",
		Hint: "Stop the connector and store where it shall begin (PATCH /connectors/{name}/offsets), or set consumer.override.auto.offset.reset to earliest or latest"}
}

// outOfRange is what auto.offset.reset=none says of a stored offset that the topic has no more, or not yet.
func outOfRange(topic string, partition int32) error {
	return &errs.Error{Java: "org.apache.kafka.clients.consumer.OffsetOutOfRangeException", Msg: fmt.Sprintf("Fetch position is out of range for partition %s-%d", topic, partition),
		Hint: "The stored offset is not among the topic's records. Stop the connector and store where it shall begin (PATCH /connectors/{name}/offsets), or set consumer.override.auto.offset.reset to earliest or latest"}
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
