package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/store"
)

// debeziumQueue is the default of max.queue.size.
const debeziumQueue = 8192

// runningTask is one task's goroutine. The boundary is here: whatever happens
// inside, a panic included, ends this task only and shows as its trace.
type runningTask struct {
	s       *supervisor
	w       *Worker
	id      int
	config  *store.Map
	version string
	log     *slog.Logger

	done chan struct{}
	soft context.CancelFunc // asks to stop: drain, store offsets
	hard context.CancelFunc // cuts off; set by start

	stopping atomic.Bool // soft was called
	began    time.Time

	built  bool        // clients and plugins were made; before, no version is shown
	live   atomic.Bool // false: statuses and offsets of this task no longer count
	paused bool        // how it starts; sinks only
	sink   atomic.Pointer[SinkTask]
	signaled

	metrics atomic.Pointer[metrics.Task] // once it was built
	up      atomic.Bool                  // it was reported to run
}

func newTask(s *supervisor, id int, config *store.Map, paused bool) *runningTask {
	t := &runningTask{s: s, w: s.w, id: id, config: config, done: make(chan struct{}), paused: paused,
		log: s.w.logOf(s.name, id)}
	t.version = VersionOf(s.w.reg.Connector(className(config.Strings())))
	t.live.Store(true)
	return t
}

// start starts the goroutine; done is closed when it has ended.
func (t *runningTask) start() {
	cut, hard := context.WithCancel(context.Background())
	run, soft := context.WithCancel(cut)
	t.hard, t.began = hard, time.Now()
	t.w.counts.taskStarts.Add(1)
	t.soft = func() { t.stopping.Store(true); soft() }
	go t.main(run, cut)
}

func (t *runningTask) main(run, cut context.Context) {
	defer close(t.done)
	defer t.hard()
	err := t.guarded(run, cut)
	if m := t.metrics.Load(); m != nil {
		m.Running(false)
	}
	if err == nil || run.Err() != nil {
		if err != nil && t.live.Load() && !errors.Is(err, context.Canceled) {
			t.log.Warn("task ended with an error while it was stopped", "error", err)
		}
		return
	}
	if t.live.Load() {
		t.log.Error("task failed", "error", err)
		t.w.counts.taskFailures.Add(1)
		if !t.up.Load() {
			t.w.counts.taskStartFailures.Add(1)
		}
		if m := t.metrics.Load(); m != nil {
			m.Failed(time.Now())
		}
		version := t.version
		if !t.built {
			version = ""
		}
		t.w.statuses.PutTask(t.s.name, t.id, t.w.failed(err, version))
	}
	t.s.taskEnded(t, err)
}

// caught is deferred: it turns a panic of what is named into err and logs the stack.
func caught(log *slog.Logger, what string, err *error) {
	if r := recover(); r != nil {
		log.Error(what+" panicked; this is a bug of millrace", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		*err = &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("internal error: %v", r), Hint: "This is a bug of millrace; the log has the stack"}
	}
}

// guarded runs the task and turns a panic into an error.
func (t *runningTask) guarded(run, cut context.Context) (err error) {
	defer caught(t.log, "task", &err)
	raw := t.config.Strings()
	props, err := t.w.cfg.Providers.Resolve(raw)
	if err != nil {
		return &errs.Error{Java: errs.ConfigException, Msg: "the task's placeholders cannot be resolved", Cause: err}
	}
	p := t.w.reg.Connector(className(props))
	switch {
	case p == nil:
		return &errs.Error{Java: errs.ConnectException, Msg: t.w.noClass(className(props))}
	case p.NewSource != nil:
		return t.source(run, cut, p, props)
	case p.NewSink != nil:
		return t.sinkTask(run, p, props)
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "millrace knows the class " + p.Class + ", but cannot run it"}
}

// running reports the task RUNNING (or PAUSED, for a sink that starts paused).
func (t *runningTask) running() {
	if !t.live.Load() || t.stopping.Load() {
		return
	}
	if !t.up.Swap(true) {
		t.w.counts.tasksUp.Add(1)
	}
	if m := t.metrics.Load(); m != nil {
		m.Running(true)
	}
	if t.paused {
		t.w.metrics.Paused(t.s.name, strconv.Itoa(t.id), true)
		return // the supervisor reports PAUSED
	}
	t.w.statuses.PutTask(t.s.name, t.id, t.w.status(store.StateRunning, t.version))
}

// pause holds a sink; a source must be stopped instead (false).
func (t *runningTask) pause() bool {
	if s := t.sink.Load(); s != nil {
		s.SetPaused(true)
		return true
	}
	return false
}

// resume lets a held sink go on; false if there is nothing to resume.
func (t *runningTask) resume() bool {
	select {
	case <-t.done:
		return false
	default:
	}
	if s := t.sink.Load(); s != nil {
		s.SetPaused(false)
		return true
	}
	return false
}

func (t *runningTask) env(p *Plugin, props map[string]string) TaskEnv {
	m := t.w.metrics.Task(t.s.name, strconv.Itoa(t.id))
	i := metrics.Info{Kind: metrics.Kind(p.Kind)}
	if rest, ok := strings.CutPrefix(p.Class, "io.debezium.connector."); ok && p.Kind == KindSource {
		// Debezium's MBeans are in the domain debezium.<short name of the connector>.
		i.Plugin, _, _ = strings.Cut(rest, ".")
		if i.Plugin == "postgresql" {
			i.Plugin = "postgres"
		}
		i.Server = strings.TrimSpace(props["topic.prefix"])
		i.QueueSize = debeziumQueue
		if n, err := strconv.Atoi(strings.TrimSpace(props["max.queue.size"])); err == nil {
			i.QueueSize = n
		}
	}
	m.Describe(i)
	t.metrics.Store(m)
	return TaskEnv{Connector: t.s.name, Task: t.id, Props: props, Log: t.log, Metrics: m}
}

// topicUsed remembers that the task used a topic.
func (t *runningTask) topicUsed(topic string) {
	if t.w.cfg.TopicTracking && t.live.Load() {
		t.w.statuses.PutTopic(t.s.name, topic, t.id, time.Now().UnixMilli())
	}
}

// topicHook watches what a producer sends, so that a topic counts as used again
// after the connector's topics were reset. One goroutine produces.
type topicHook struct {
	t     *runningTask
	skip  string // the offset topic
	epoch uint64
	last  string
	known map[string]struct{}
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered. Records come
// in runs of one topic, whose name is mostly one and the same string.
func (h *topicHook) OnProduceRecordBuffered(r *kgo.Record) {
	epoch := h.t.w.statuses.TopicEpoch()
	if r.Topic == h.last && epoch == h.epoch || r.Topic == h.skip {
		return
	}
	if epoch != h.epoch || h.known == nil {
		h.epoch, h.known = epoch, map[string]struct{}{}
	}
	h.last = r.Topic
	if _, ok := h.known[r.Topic]; !ok {
		h.known[r.Topic] = struct{}{}
		h.t.topicUsed(r.Topic)
	}
}
