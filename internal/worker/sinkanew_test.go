package worker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// TestTopicMadeAnewWhileRead: a topic whose id stays unknown starts the task again; a
// moment of it, as of a new topic, does not. Answers that come as seldom as fetches do
// beside quiet topics belong together.
func TestTopicMadeAnewWhileRead(t *testing.T) {
	s := NewSinkTask(SinkConfig{Connector: "c", Log: slog.New(slog.DiscardHandler)}, nil)
	at := time.Now()
	for _, step := range []struct {
		after time.Duration
		ends  bool
	}{{0, false}, {strangerFor - time.Millisecond, false}, {2 * strangerQuiet, false}, {strangerFor + time.Millisecond, true}} {
		at = at.Add(step.after)
		err := s.madeAnew("t", at)
		if (err != nil) != step.ends || err != nil && (!errs.Retriable(err) || !transient(err)) {
			t.Errorf("after %v: %v", step.after, err)
		}
	}
	if err := s.fetchError(kgo.FetchError{Topic: "u", Err: kerr.UnknownTopicID}); err != nil {
		t.Errorf("the first answer: %v", err)
	}
}

// informed is a sink that keeps what it is told.
type informed struct{ anew map[string][]int32 }

func (informed) Start(context.Context) error              { return nil }
func (informed) Put(context.Context, *record.Batch) error { return nil }
func (informed) Flush(context.Context) error              { return nil }
func (informed) Stop() error                              { return nil }
func (i informed) Anew(topic string, p int32)             { i.anew[topic] = append(i.anew[topic], p) }

// TestAnew: a sink is told of partitions without a stored offset, and of no others.
func TestAnew(t *testing.T) {
	sink := informed{map[string][]int32{}}
	s := NewSinkTask(SinkConfig{Connector: "c", Log: slog.New(slog.DiscardHandler)}, sink)
	offsets := map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(0), 1: kgo.NewOffset().AtStart(), 2: kgo.NewOffset().At(7)}, "u": {3: kgo.NewOffset().AtEnd()}}
	if got, err := s.onFetched(t.Context(), offsets); err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if len(sink.anew) != 2 || len(sink.anew["t"]) != 1 || sink.anew["t"][0] != 1 || len(sink.anew["u"]) != 1 || sink.anew["u"][0] != 3 {
		t.Errorf("told of %v", sink.anew)
	}
}
