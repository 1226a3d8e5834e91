package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/internal/store"
)

// TaskID names a task.
type TaskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// ConnectorInfo is what GET /connectors/<c> answers.
type ConnectorInfo struct {
	Name   string     `json:"name"`
	Config *store.Map `json:"config"`
	Tasks  []TaskID   `json:"tasks"`
	Type   string     `json:"type"`
}

// TaskInfo is one entry of GET …/tasks.
type TaskInfo struct {
	ID     TaskID     `json:"id"`
	Config *store.Map `json:"config"`
}

// ConnectorState is the connector's part of a status.
type ConnectorState struct {
	State    string  `json:"state"`
	WorkerID string  `json:"worker_id"`
	Trace    string  `json:"trace,omitempty"`
	Version  *string `json:"version"`
}

// TaskStatus is a task's part of a status.
type TaskStatusInfo struct {
	ID       int     `json:"id"`
	State    string  `json:"state"`
	WorkerID string  `json:"worker_id"`
	Trace    string  `json:"trace,omitempty"`
	Version  *string `json:"version"`
}

// ConnectorStatusInfo is what GET …/status answers.
type ConnectorStatusInfo struct {
	Name      string           `json:"name"`
	Connector ConnectorState   `json:"connector"`
	Tasks     []TaskStatusInfo `json:"tasks"`
	Type      string           `json:"type"`
}

func version(st *store.Status) *string {
	if st.Version == "" {
		return nil
	}
	v := st.Version
	return &v
}

func className(props map[string]string) string { return props["connector.class"] }

func tasksMax(props map[string]string) int {
	n, err := strconv.Atoi(strings.TrimSpace(props["tasks.max"]))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

func (w *Worker) noClass(class string) string {
	var sb strings.Builder
	for i, p := range w.reg.List(KindSink, KindSource) {
		if i > 0 {
			sb.WriteString(", ")
		}
		fmt.Fprintf(&sb, "%s (%s)", p.Class, p.Kind)
	}
	return fmt.Sprintf("Failed to find any class that implements Connector and which name matches %s, available connectors are: %s", class, sb.String())
}

// Type is source, sink, or unknown for a class that is not here.
func (w *Worker) connectorType(config *store.Map) string {
	if p := w.reg.Connector(className(config.Strings())); p != nil {
		return string(p.Kind)
	}
	return "unknown"
}

// Names lists the connectors.
func (w *Worker) Names() []string { return w.configs.Names() }

// Info answers GET /connectors/<c>.
func (w *Worker) Info(name string) (*ConnectorInfo, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, notFound(name)
	}
	info := &ConnectorInfo{Name: name, Config: c.Config, Tasks: []TaskID{}, Type: w.connectorType(c.Config)}
	for i := range c.Tasks {
		info.Tasks = append(info.Tasks, TaskID{name, i})
	}
	return info, nil
}

// TaskInfos answers GET …/tasks.
func (w *Worker) TaskInfos(name string) ([]TaskInfo, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, notFound(name)
	}
	out := []TaskInfo{}
	for i, t := range c.Tasks {
		out = append(out, TaskInfo{TaskID{name, i}, t})
	}
	return out, nil
}

// Status answers GET …/status.
func (w *Worker) Status(name string) (*ConnectorStatusInfo, error) {
	st := w.statuses.Connector(name)
	if st == nil {
		return nil, statusErrorf(404, "No status found for connector %s", name)
	}
	out := &ConnectorStatusInfo{Name: name, Tasks: []TaskStatusInfo{}, Type: "unknown",
		Connector: ConnectorState{st.State, st.WorkerID, st.Trace, version(st)}}
	if c := w.configs.Get(name); c != nil {
		out.Type = w.connectorType(c.Config)
	}
	ids, sts := w.statuses.Tasks(name)
	for i, id := range ids {
		out.Tasks = append(out.Tasks, TaskStatusInfo{id, sts[i].State, sts[i].WorkerID, sts[i].Trace, version(sts[i])})
	}
	return out, nil
}

// TaskStatus answers GET …/tasks/<n>/status.
func (w *Worker) TaskStatus(name string, task int) (*TaskStatusInfo, error) {
	st := w.statuses.Task(name, task)
	if st == nil {
		return nil, statusErrorf(404, "No status found for task %s-%d", name, task)
	}
	return &TaskStatusInfo{task, st.State, st.WorkerID, st.Trace, version(st)}, nil
}

// Create answers POST /connectors: validates, then writes.
func (w *Worker) Create(ctx context.Context, name string, config *store.Map, initial store.TargetState) (*ConnectorInfo, error) {
	if err := w.check(ctx, config); err != nil {
		return nil, err
	}
	if w.configs.Get(name) != nil {
		return nil, statusErrorf(409, "Connector %s already exists", name)
	}
	info := w.written(name, config)
	if err := w.configs.PutConnector(ctx, name, config, initial); err != nil {
		return nil, err
	}
	return info, nil
}

// written is the answer to a write: the config as it is given, with the tasks
// from before.
func (w *Worker) written(name string, config *store.Map) *ConnectorInfo {
	info := &ConnectorInfo{Name: name, Config: config, Tasks: []TaskID{}, Type: w.connectorType(config)}
	if c := w.configs.Get(name); c != nil {
		for i := range c.Tasks {
			info.Tasks = append(info.Tasks, TaskID{name, i})
		}
	}
	return info
}

// Put answers PUT …/config.
func (w *Worker) Put(ctx context.Context, name string, config *store.Map) (info *ConnectorInfo, created bool, err error) {
	if err := w.check(ctx, config); err != nil {
		return nil, false, err
	}
	created = w.configs.Get(name) == nil
	before := w.written(name, config)
	if err := w.configs.PutConnector(ctx, name, config, ""); err != nil {
		return nil, false, err
	}
	return before, created, nil
}

// Patch answers PATCH …/config: null removes a key.
func (w *Worker) Patch(ctx context.Context, name string, patch *store.Map) (*ConnectorInfo, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, notFound(name)
	}
	config := store.HashCopy(c.Config)
	for _, e := range patch.Entries() {
		if patch.IsNull(e.Key) {
			config.Delete(e.Key)
		} else {
			config.Put(e.Key, e.Value)
		}
	}
	info, _, err := w.Put(ctx, name, config)
	return info, err
}

// Delete answers DELETE /connectors/<c>.
func (w *Worker) Delete(ctx context.Context, name string) error {
	if w.configs.Get(name) == nil {
		return notFound(name)
	}
	return w.configs.RemoveConnector(ctx, name)
}

// SetTarget answers PUT pause and resume.
func (w *Worker) SetTarget(ctx context.Context, name string, t store.TargetState) error {
	if w.configs.Get(name) == nil {
		return statusErrorf(404, "Unknown connector %s", name)
	}
	return w.configs.PutTarget(ctx, name, t)
}

// StopConnector answers PUT stop: the task configs are erased, then the target
// state is written.
func (w *Worker) StopConnector(ctx context.Context, name string) error {
	if w.configs.Get(name) == nil {
		return statusErrorf(404, "Unknown connector %s", name)
	}
	if err := w.configs.PutTasks(ctx, name, nil); err != nil {
		return err
	}
	return w.configs.PutTarget(ctx, name, store.Stopped)
}

// restartPlan says what a restart with flags covers, by the statuses of now.
func (w *Worker) restartPlan(name string, includeTasks, onlyFailed bool) RestartPlan {
	var p RestartPlan
	if st := w.statuses.Connector(name); st != nil {
		p.Connector = !onlyFailed || st.State == store.StateFailed
	}
	if includeTasks {
		ids, sts := w.statuses.Tasks(name)
		for i, id := range ids {
			if !onlyFailed || sts[i].State == store.StateFailed {
				p.Tasks = append(p.Tasks, id)
			}
		}
	}
	return p
}

// RestartMany answers POST …/restart with flags: the status with the covered
// parts shown as RESTARTING.
func (w *Worker) RestartMany(ctx context.Context, name string, includeTasks, onlyFailed bool) (*ConnectorStatusInfo, error) {
	if w.configs.Get(name) == nil {
		return nil, statusErrorf(404, "Unknown connector: %s", name)
	}
	st, err := w.Status(name)
	if err != nil {
		return nil, statusErrorf(404, "Status for connector %s not found", name)
	}
	p := w.restartPlan(name, includeTasks, onlyFailed)
	if p.Connector {
		st.Connector.State = store.StateRestarting
	}
	for _, id := range p.Tasks {
		for i := range st.Tasks {
			if st.Tasks[i].ID == id {
				st.Tasks[i].State = store.StateRestarting
			}
		}
	}
	if err := w.configs.PutRestart(ctx, name, includeTasks, onlyFailed); err != nil {
		return nil, err
	}
	sctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = w.inSupervisor(sctx, name, func(context.Context, *supervisor) {}) // only to wait for it
	return st, nil
}

// Restart answers POST …/restart without flags.
func (w *Worker) Restart(ctx context.Context, name string) error {
	if w.configs.Get(name) == nil {
		return statusErrorf(404, "Unknown connector: %s", name)
	}
	return w.inSupervisor(ctx, name, func(ctx context.Context, s *supervisor) {
		s.do(ctx, s.m.Restart(RestartPlan{Connector: true}, false))
	})
}

// RestartTask answers POST …/tasks/<n>/restart.
func (w *Worker) RestartTask(ctx context.Context, name string, task int) error {
	c := w.configs.Get(name)
	if c == nil {
		return statusErrorf(404, "Unknown connector: %s", name)
	}
	if task < 0 || task >= len(c.Tasks) {
		if w.configs.KnowsTask(name, task) {
			return statusErrorf(409, "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.")
		}
		return statusErrorf(404, "Unknown task: %s-%d", name, task)
	}
	return w.inSupervisor(ctx, name, func(ctx context.Context, s *supervisor) {
		s.do(ctx, s.m.Restart(RestartPlan{Tasks: []int{task}}, false))
	})
}

// inSupervisor runs f in the connector's supervisor and waits for it.
func (w *Worker) inSupervisor(ctx context.Context, name string, f func(context.Context, *supervisor)) error {
	done := make(chan struct{})
	s := w.send(name, func(ctx context.Context, s *supervisor) { defer close(done); f(ctx, s) })
	if s == nil {
		return statusErrorf(503, "The worker is shutting down.")
	}
	select {
	case <-done:
		// The next look at the status should not find the one from before; what is
		// late shows up by itself.
		sctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = w.statuses.Sync(sctx)
		return nil
	case <-s.done:
		return statusErrorf(503, "The worker is shutting down.")
	case <-ctx.Done():
		return statusErrorf(500, "Request timed out. The worker is currently restarting connector %s.", name)
	}
}

// Topics answers GET …/topics.
func (w *Worker) Topics(name string) ([]string, error) {
	if !w.cfg.TopicTracking {
		return nil, statusErrorf(403, "Topic tracking is disabled.")
	}
	return w.statuses.Topics(name), nil
}

// ResetTopics answers PUT …/topics/reset.
func (w *Worker) ResetTopics(name string) error {
	if !w.cfg.TopicTracking {
		return statusErrorf(403, "Topic tracking is disabled.")
	}
	if !w.cfg.TopicReset {
		return statusErrorf(403, "Topic tracking reset is disabled.")
	}
	w.statuses.ResetTopics(name)
	return nil
}

// SetLogger answers PUT /admin/loggers/<l>; the names that changed, nil for the
// whole cluster.
func (w *Worker) SetLogger(ctx context.Context, ns, level string, cluster bool) ([]string, error) {
	if cluster {
		return nil, w.configs.PutLogger(ctx, ns, level)
	}
	return w.loggers.Set(ns, level), nil
}

// Loggers gives the registry of log levels.
func (w *Worker) Loggers() *Loggers { return w.loggers }
