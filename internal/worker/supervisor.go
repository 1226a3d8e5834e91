package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/errs"
	"millrace/internal/store"
)

// supervisor runs one connector: one goroutine that takes messages, asks the
// Machine what to do and does it. Nothing it does waits for another connector.
type supervisor struct {
	w    *Worker
	name string
	m    *Machine
	done chan struct{}

	tasks    map[int]*runningTask // only the supervisor's goroutine
	revivals map[int]*revival     // likewise

	mu    sync.Mutex
	queue []func(context.Context)
	wake  chan struct{}
	over  bool
}

// newSupervisor starts a supervisor; the caller holds w.mu.
func newSupervisor(w *Worker, name string) *supervisor {
	m := NewMachine(!w.cfg.Distributed)
	if own, ok := w.assigned[name]; ok {
		m.Assign(own.conn, own.tasks) // nothing is known yet, so nothing is to do
	}
	s := &supervisor{w: w, name: name, m: m, done: make(chan struct{}),
		tasks: map[int]*runningTask{}, revivals: map[int]*revival{}, wake: make(chan struct{}, 1)}
	go s.loop()
	return s
}

// post queues a message; messages run one after the other.
func (s *supervisor) post(f func(context.Context)) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *supervisor) loop() {
	defer close(s.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for !s.over {
		s.mu.Lock()
		q := s.queue
		s.queue = nil
		s.mu.Unlock()
		if len(q) == 0 {
			if s.m.Config() == nil && s.w.retire(s) {
				return
			}
			<-s.wake
			continue
		}
		for _, f := range q {
			if !s.over {
				f(ctx)
			}
		}
	}
}

// idle reports whether nothing is queued.
func (s *supervisor) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0
}

// shutdown stops everything of the connector and ends the supervisor.
func (s *supervisor) shutdown() {
	s.post(func(ctx context.Context) {
		s.do(ctx, s.m.Shutdown())
		s.over = true
	})
}

// configEvent takes a change of the config log.
func (s *supervisor) configEvent(ctx context.Context, ev store.Event) {
	c := s.w.configs.Get(s.name)
	if c == nil {
		// Gone by now: whatever the event was, nothing may run.
		if s.m.Config() != nil {
			s.do(ctx, s.m.Removed())
		}
		return
	}
	if ev.Kind == store.ConnectorRemoved && s.m.Config() != nil {
		s.do(ctx, s.m.Removed()) // and created again since
	}
	if s.m.Config() == nil {
		s.do(ctx, s.m.Load(c)) // no event before counts
		return
	}
	switch ev.Kind {
	case store.ConnectorChanged:
		if s.m.Config() != c.Config {
			s.do(ctx, s.m.ConfigChanged(c))
		}
	case store.TasksChanged:
		s.do(ctx, s.m.TasksChanged(c))
	case store.TargetChanged:
		s.do(ctx, s.m.TargetChanged(c.Target))
	case store.RestartRequested:
		s.do(ctx, s.m.Restart(s.w.restartPlan(s.name, ev.IncludeTasks, ev.OnlyFailed), true))
	}
}

// do carries out actions in order; some of them answer further ones.
func (s *supervisor) do(ctx context.Context, acts []Action) {
	for len(acts) > 0 {
		a := acts[0]
		acts = acts[1:]
		s.w.log.Debug("connector action", "connector", s.name, "action", a.String())
		acts = append(acts, s.one(ctx, a)...)
	}
}

func (s *supervisor) one(ctx context.Context, a Action) []Action {
	switch a.Kind {
	case StartConnector:
		return s.startConnector()
	case StopConnector:
		s.w.statuses.PutConnectorSafe(s.name, s.w.status(store.StateUnassigned, ""))
	case ConnectorStatus:
		version := s.version()
		if a.State == store.StateRestarting {
			version = ""
		}
		s.w.statuses.PutConnector(s.name, s.w.status(a.State, version))
	case Reconfigure:
		s.reconfigure(ctx)
	case StartTask:
		s.startTask(a.Tasks[0], false)
	case PauseTask:
		s.pauseTask(a.Tasks[0])
	case StopTasks:
		s.stopTasks(a.Tasks)
	case EndTasks:
		s.join(a.Tasks)
		s.retire(a.Tasks)
	case TaskStatus:
		s.w.statuses.PutTask(s.name, a.Tasks[0], s.w.status(a.State, ""))
	case ForgetTasks:
		for _, i := range a.Tasks {
			s.w.statuses.RemoveTask(s.name, i)
		}
	case ForgetConnector:
		s.w.statuses.ResetTopics(s.name)
		ids, _ := s.w.statuses.Tasks(s.name)
		for _, i := range ids {
			s.w.statuses.RemoveTask(s.name, i)
		}
		s.w.statuses.RemoveConnector(s.name)
		s.w.metrics.Forget(s.name)
		s.w.recent.forget(s.name)
	}
	return nil
}

func (s *supervisor) plugin() *Plugin {
	c := s.m.Config()
	if c == nil {
		return nil
	}
	return s.w.reg.Connector(className(c.Strings()))
}

func (s *supervisor) version() string { return VersionOf(s.plugin()) }

// startConnector checks that the connector can run. The check of the outside
// world is the tasks' business; here a bad config fails the connector.
func (s *supervisor) startConnector() []Action {
	err := s.checkConnector()
	s.w.counts.connectorStarts.Add(1)
	if err != nil {
		s.w.counts.connectorFailures.Add(1)
		s.w.log.Error("connector cannot start", "connector", s.name, "error", err)
		s.w.statuses.PutConnector(s.name, s.w.failed(err, s.version()))
	} else if names := s.w.ignored(s.plugin(), s.m.Config().Strings()); len(names) > 0 {
		s.w.log.Warn("settings of the connector that have no effect", "connector", s.name, "settings", strings.Join(names, ", "))
	}
	return s.m.ConnectorStarted(err != nil)
}

func (s *supervisor) checkConnector() error {
	props := s.m.Config().Strings()
	if s.w.reg.Connector(className(props)) == nil {
		return &errs.Error{Java: errs.ConnectException, Msg: s.w.noClass(className(props))}
	}
	if _, err := s.w.cfg.Providers.Resolve(props); err != nil {
		return &errs.Error{Java: errs.ConfigException, Msg: "the connector's placeholders cannot be resolved", Cause: err}
	}
	return nil
}

// reconfigure makes the task configs and writes them if they changed.
func (s *supervisor) reconfigure(ctx context.Context) {
	c := s.w.configs.Get(s.name)
	if c == nil {
		return
	}
	p := s.w.reg.Connector(className(c.Config.Strings()))
	if p == nil {
		return
	}
	want, err := s.w.taskConfigs(p, c.Config)
	if err != nil {
		s.w.log.Error("cannot make task configs", "connector", s.name, "error", err)
		s.w.statuses.PutConnector(s.name, s.w.failed(err, VersionOf(p)))
		s.m.ConnectorStarted(true)
		return
	}
	if !c.Inconsistent && sameTasks(c.Tasks, want) {
		return
	}
	if err := s.w.writeTasks(ctx, s.name, want); err != nil && ctx.Err() == nil {
		// Not in a loop here: what the group or an operator wants must get through
		// meanwhile.
		s.w.log.Warn("cannot write task configs; trying again", "connector", s.name, "error", err)
		time.AfterFunc(retryTasks, func() {
			s.post(func(ctx context.Context) {
				if s.m.conn == store.StateRunning {
					s.reconfigure(ctx)
				}
			})
		})
	}
}

// retryTasks is the pause before task configs are written again.
const retryTasks = 500 * time.Millisecond

func sameTasks(a, b []*store.Map) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

// startTask starts the goroutine of a task, or lets a paused one go on.
func (s *supervisor) startTask(i int, paused bool) {
	if t := s.tasks[i]; t != nil {
		if t.resume() {
			s.w.metrics.Paused(s.name, strconv.Itoa(i), false)
			s.w.statuses.PutTask(s.name, i, s.w.status(store.StateRunning, t.version))
			return
		}
		s.stopTasks([]int{i})
	}
	t := newTask(s, i, s.m.running[i].config, paused)
	s.tasks[i] = t
	t.start()
}

// pauseTask stops a source where it is, or holds a sink without leaving its group.
func (s *supervisor) pauseTask(i int) {
	version := s.version()
	if t := s.tasks[i]; t != nil {
		version = t.version
		if !t.pause() {
			s.join([]int{i})
		}
	} else if p := s.plugin(); p != nil && p.Kind == KindSink {
		s.startTask(i, true)
	}
	s.w.metrics.Paused(s.name, strconv.Itoa(i), true)
	s.w.statuses.PutTask(s.name, i, s.w.status(store.StatePaused, version))
}

// retire takes away the series of tasks that this worker no longer has: a place or a
// lag that nobody follows any more would be shown for ever.
func (s *supervisor) retire(ids []int) {
	for _, i := range ids {
		s.w.metrics.Retire(s.name, strconv.Itoa(i))
	}
}

// stopTasks stops tasks and reports them UNASSIGNED.
func (s *supervisor) stopTasks(ids []int) {
	s.join(ids)
	s.retire(ids)
	for _, i := range ids {
		s.w.statuses.PutTaskSafe(s.name, i, s.w.status(store.StateUnassigned, ""))
	}
}

// join asks tasks to stop and waits for them, all together no longer than the
// graceful timeout; then their pipelines are cut, and what is still there after
// that is left behind: it can no longer report or store anything.
func (s *supervisor) join(ids []int) {
	for _, i := range ids {
		if t := s.tasks[i]; t != nil {
			t.soft()
		}
	}
	graceful := s.w.cfg.StopTimeout
	if s.w.lost.Load() {
		graceful = 0 // others may run these tasks by now
	}
	limit := time.NewTimer(graceful)
	defer limit.Stop()
	for _, i := range ids {
		t := s.tasks[i]
		if t == nil {
			continue
		}
		delete(s.tasks, i)
		select {
		case <-t.done:
			continue
		case <-limit.C:
			limit.Reset(0)
		}
		t.live.Store(false)
		t.hard()
		select {
		case <-t.done:
			s.w.log.Warn("task did not stop in time and was cut off; its last offsets may be stored again", "connector", s.name, "task", i)
		case <-time.After(2 * time.Second):
			s.w.log.Error("task does not stop; it is left behind and its writes no longer count", "connector", s.name, "task", i)
		}
	}
}

// taskEnded is told by a task that ended by itself.
func (s *supervisor) taskEnded(t *runningTask, err error) {
	s.post(func(context.Context) {
		if s.tasks[t.id] == t {
			delete(s.tasks, t.id)
			s.m.TaskFailed(t.id)
			s.reviveLater(t, err)
		}
	})
}

// taskConfigs makes the task configs of a connector. Values that came from a
// config provider are written as their placeholders.
func (w *Worker) taskConfigs(p *Plugin, config *store.Map) ([]*store.Map, error) {
	raw := config.Strings()
	props, err := w.cfg.Providers.Resolve(raw)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "the connector's placeholders cannot be resolved", Cause: err}
	}
	limit := tasksMax(props)
	var parts []map[string]string
	switch {
	case p.TaskConfigs != nil:
		parts = p.TaskConfigs(props, limit)
	case p.Kind == KindSource:
		parts = []map[string]string{props}
	default:
		for range limit {
			parts = append(parts, props)
		}
	}
	if len(parts) > limit {
		return nil, &errs.Error{Java: "org.apache.kafka.connect.errors.TooManyTasksException",
			Msg: fmt.Sprintf("The connector %s has generated %d tasks, which is greater than %d, the maximum number of tasks it is configured to create.", raw["name"], len(parts), limit)}
	}
	out := make([]*store.Map, len(parts))
	for i, part := range parts {
		base := store.NewHash()
		for _, e := range config.Entries() {
			v, ok := part[e.Key]
			switch {
			case !ok:
			case v == props[e.Key]:
				base.Put(e.Key, e.Value)
			default:
				base.Put(e.Key, v)
			}
		}
		var added []store.Entry
		for k, v := range part {
			if _, ok := config.Get(k); !ok {
				added = append(added, store.Entry{Key: k, Value: v})
			}
		}
		out[i] = store.TaskConfig(base, added, p.TaskClass)
	}
	return out, nil
}
