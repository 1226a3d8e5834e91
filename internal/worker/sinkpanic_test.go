package worker

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// broken is a sink with a bug.
type broken struct{ Sink }

func (broken) Put(context.Context, *record.Batch) error { panic("a bug") }

// TestPanicOfPut: a sink's bug ends its task, with the words of the panic, and not the worker.
func TestPanicOfPut(t *testing.T) {
	task := NewSinkTask(SinkConfig{Connector: "c", Log: slog.New(slog.DiscardHandler)}, broken{})
	if err := task.putGuarded(t.Context(), &record.Batch{}); err == nil || errs.Retriable(err) || !strings.Contains(err.Error(), "a bug") {
		t.Errorf("a panic gives %v", err)
	}
}
