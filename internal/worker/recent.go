package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// LogLine is something that a connector's tasks said lately.
type LogLine struct {
	Time    time.Time         `json:"time"`
	Level   string            `json:"level"`
	Task    int               `json:"task"`
	Message string            `json:"message"`
	Details map[string]string `json:"details,omitempty"`
}

// recentKept is how many lines are kept of a connector.
const recentKept = 100

// recent keeps what the tasks of a connector said lately, since a task that tries
// again is RUNNING and has no trace that would say what is wrong.
type recent struct {
	mu    sync.Mutex
	lines map[string][]LogLine
}

func (r *recent) add(name string, l LogLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines == nil {
		r.lines = map[string][]LogLine{}
	}
	list := append(r.lines[name], l)
	if n := len(list) - recentKept; n > 0 {
		list = append(list[:0:0], list[n:]...)
	}
	r.lines[name] = list
}

func (r *recent) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lines, name)
}

// Log answers GET …/log: the newest lines of this worker's tasks of a connector,
// oldest first.
func (w *Worker) Log(name string) ([]LogLine, error) {
	if w.configs.Get(name) == nil {
		return nil, statusErrorf(404, "Unknown connector: %s", name)
	}
	w.recent.mu.Lock()
	defer w.recent.mu.Unlock()
	return append([]LogLine{}, w.recent.lines[name]...), nil
}

// listener is a slog.Handler that keeps what is worth knowing and passes everything on.
type listener struct {
	slog.Handler
	r    *recent
	name string
	task int
	with []slog.Attr
}

// logOf is the logger of a task.
func (w *Worker) logOf(name string, task int) *slog.Logger {
	return slog.New(&listener{Handler: w.log.With("connector", name, "task", task).Handler(), r: &w.recent, name: name, task: task})
}

// Enabled implements slog.Handler: what is kept does not depend on the log's level.
func (l *listener) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || l.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *listener) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelInfo {
		line := LogLine{Time: rec.Time, Level: levelName(rec.Level), Task: l.task, Message: rec.Message}
		put := func(a slog.Attr) bool {
			if line.Details == nil {
				line.Details = map[string]string{}
			}
			line.Details[a.Key] = a.Value.Resolve().String()
			return true
		}
		for _, a := range l.with {
			put(a)
		}
		rec.Attrs(put)
		l.r.add(l.name, line)
	}
	if !l.Handler.Enabled(ctx, rec.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, rec)
}

// WithAttrs implements slog.Handler.
func (l *listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *l
	c.Handler, c.with = l.Handler.WithAttrs(attrs), append(append([]slog.Attr{}, l.with...), attrs...)
	return &c
}

// WithGroup implements slog.Handler.
func (l *listener) WithGroup(name string) slog.Handler {
	c := *l
	c.Handler = l.Handler.WithGroup(name)
	return &c
}
