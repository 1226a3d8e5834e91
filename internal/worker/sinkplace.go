package worker

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/internal/metrics"
)

// placeEvery is how often a sink task asks where its partitions end.
const placeEvery = 5 * time.Second

// sinkPlace tells the metrics where a sink task is in its partitions. It asks the
// brokers by itself: a task whose target is away reads nothing, and then above all it
// matters how the topics grow.
type sinkPlace struct {
	t     *SinkTask
	adm   *kadm.Client
	place *metrics.Place
	parts map[partitionID]partPlace
	begin map[partitionID]int64 // where reading begins, for partitions that nothing was read of yet
}

type partitionID struct {
	topic     string
	partition int32
}

// partPlace is the next offset to read and to write of a partition; -1 unknown.
type partPlace struct{ consumed, written int64 }

// watchPlace starts the watch, which ends with ctx; wg joins it.
func (t *SinkTask) watchPlace(ctx context.Context, wg *sync.WaitGroup) {
	w := &sinkPlace{t: t, adm: kadm.NewClient(t.cl), place: t.cfg.Metrics.SinkPlace()}
	wg.Go(func() {
		defer w.place.Unknown()
		for wait := time.Second; sleep(ctx, wait); wait = placeEvery {
			if err := w.look(ctx); err != nil && ctx.Err() == nil {
				w.place.Unknown()
				t.cfg.Log.Debug("ask for the ends of the partitions", "error", err)
			}
		}
	})
}

// refresh reads where the task is. While a batch is put again the task is not asked:
// it stands where it stood.
func (w *sinkPlace) refresh() (changed bool) {
	t := w.t
	if !t.mu.TryLock() {
		return false
	}
	defer t.mu.Unlock()
	before := w.parts
	w.parts = map[partitionID]partPlace{}
	for topic, ps := range t.assigned {
		for p, part := range ps {
			x := partPlace{max(part.next, part.read), part.next}
			if t.positioned != nil { // what it holds back is not written
				x.written = part.committed
			}
			id := partitionID{topic, p}
			w.parts[id] = x
			if _, was := before[id]; !was {
				changed = true
			}
		}
	}
	return changed || len(before) != len(w.parts)
}

// look asks once.
func (w *sinkPlace) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, placeEvery)
	defer cancel()
	changed := w.refresh()
	if len(w.parts) == 0 {
		w.place.Unknown()
		return nil
	}
	topics := map[string]bool{}
	var names []string
	for id := range w.parts {
		if !topics[id.topic] {
			topics[id.topic] = true
			names = append(names, id.topic)
		}
	}
	if changed || w.begin == nil {
		if err := w.begins(ctx, names); err != nil {
			return err
		}
	}
	ends, err := w.adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return err
	}
	var head, consumed, written, most int64
	for id, x := range w.parts {
		end, ok := ends.Lookup(id.topic, id.partition)
		if !ok || end.Err != nil {
			continue
		}
		head += end.Offset
		most = max(most, end.Offset-max(w.begin[id], x.consumed))
		consumed += min(end.Offset, max(w.begin[id], x.consumed))
		written += min(end.Offset, max(w.begin[id], x.written))
	}
	w.t.cfg.Metrics.LagMax(most)
	w.place.Set(time.Now(), uint64(head), metrics.Reached{Stage: metrics.StageConsumed, At: uint64(consumed)}, metrics.Reached{Stage: metrics.StageWritten, At: uint64(written)})
	return nil
}

// begins asks where reading begins: at the group's committed offset, or at the first
// record. Sums over other partitions than before count anew.
func (w *sinkPlace) begins(ctx context.Context, topics []string) error {
	first, err := w.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	committed, err := w.adm.FetchOffsetsForTopics(ctx, w.t.cfg.Group, topics...)
	if err != nil {
		return err
	}
	w.begin = map[partitionID]int64{}
	for id := range w.parts {
		if o, ok := first.Lookup(id.topic, id.partition); ok && o.Err == nil {
			w.begin[id] = o.Offset
		}
		if o, ok := committed.Lookup(id.topic, id.partition); ok && o.Err == nil {
			w.begin[id] = max(w.begin[id], o.At)
		}
	}
	w.place.Restart()
	return nil
}
