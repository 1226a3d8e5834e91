package worker

import (
	"fmt"
	"sort"
	"strings"

	"millrace/internal/store"
)

// Machine decides what of one connector should be running here. It is pure: the
// supervisor feeds it events and carries out the actions it answers, in order.
// There is one Machine per connector, so that no connector waits for another.
type Machine struct {
	config *store.Map
	target store.TargetState
	tasks  []*store.Map

	ownConn  bool
	ownTasks map[int]bool // nil: all

	conn    string // state of the connector here: "", RUNNING, PAUSED, STOPPED, FAILED
	running map[int]*taskState
}

type taskState struct {
	config *store.Map
	state  string // RUNNING, PAUSED, FAILED
}

// ActionKind says what the supervisor must do.
type ActionKind string

// The actions.
const (
	// StartConnector checks the config; the outcome is told by ConnectorStarted.
	StartConnector ActionKind = "start-connector"
	// StopConnector forgets the connector here; its status becomes UNASSIGNED.
	StopConnector ActionKind = "stop-connector"
	// ConnectorStatus writes the connector's status.
	ConnectorStatus ActionKind = "connector-status"
	// Reconfigure makes task configs and writes them if they changed.
	Reconfigure ActionKind = "reconfigure"
	// StartTask starts a task that counts as RUNNING once it says so.
	StartTask ActionKind = "start-task"
	// StopTasks stops tasks and waits; their statuses become UNASSIGNED.
	StopTasks ActionKind = "stop-tasks"
	// EndTasks stops tasks and waits, without a status.
	EndTasks ActionKind = "end-tasks"
	// PauseTask stops a task, keeps its place and writes PAUSED.
	PauseTask ActionKind = "pause-task"
	// TaskStatus writes a task's status.
	TaskStatus ActionKind = "task-status"
	// ForgetTasks writes tombstones for statuses of tasks that are gone.
	ForgetTasks ActionKind = "forget-tasks"
	// ForgetConnector writes tombstones for everything about the connector.
	ForgetConnector ActionKind = "forget-connector"
)

// Action is one thing to do.
type Action struct {
	Kind  ActionKind
	Tasks []int
	State string
}

func (a Action) String() string {
	s := string(a.Kind)
	for _, t := range a.Tasks {
		s += fmt.Sprintf(" %d", t)
	}
	if a.State != "" {
		s += " " + a.State
	}
	return s
}

// NewMachine makes the machine of a connector that nothing is known of yet. own
// says that everything is assigned to this worker.
func NewMachine(own bool) *Machine {
	m := &Machine{ownConn: own, running: map[int]*taskState{}}
	if !own {
		m.ownTasks = map[int]bool{}
	}
	return m
}

// Config returns the connector's config, nil when it was deleted.
func (m *Machine) Config() *store.Map { return m.config }

// Running returns the numbers of the tasks that run or are paused here, sorted.
func (m *Machine) Running() []int { return sortedKeys(m.running) }

func sortedKeys(ts map[int]*taskState) []int {
	out := make([]int, 0, len(ts))
	for i := range ts {
		out = append(out, i)
	}
	sort.Ints(out)
	return out
}

func (m *Machine) owns(task int) bool { return m.ownTasks == nil || m.ownTasks[task] }

// stateFor is the state that a target state gives a connector or task.
func stateFor(t store.TargetState) string {
	switch t {
	case store.Paused:
		return store.StatePaused
	case store.Stopped:
		return store.StateStopped
	}
	return store.StateRunning
}

// Load takes what the config log says at the start of the worker.
func (m *Machine) Load(c *store.Connector) []Action {
	if c == nil {
		return nil
	}
	m.take(c)
	var out []Action
	if m.ownConn {
		out = append(out, Action{Kind: StartConnector})
	}
	return append(out, m.startMissing()...)
}

func (m *Machine) take(c *store.Connector) {
	m.config, m.target, m.tasks = nil, store.Started, nil
	if c != nil {
		m.config, m.target, m.tasks = c.Config, c.Target, c.Tasks
	}
}

// ConfigChanged takes a connector's new config.
func (m *Machine) ConfigChanged(c *store.Connector) []Action {
	m.config, m.target = c.Config, c.Target
	if !m.ownConn {
		return nil
	}
	var out []Action
	if m.conn != "" {
		out = append(out, Action{Kind: StopConnector})
	}
	return append(out, Action{Kind: StartConnector})
}

// ConnectorStarted tells how StartConnector went. Task configs are made only
// when the connector is to run.
func (m *Machine) ConnectorStarted(failed bool) []Action {
	m.conn = stateFor(m.target)
	if failed {
		m.conn = store.StateFailed
		return nil // the supervisor wrote the trace
	}
	out := []Action{{Kind: ConnectorStatus, State: m.conn}}
	if m.target == store.Started {
		out = append(out, Action{Kind: Reconfigure})
	}
	return out
}

// TasksChanged takes newly committed task configs: what is different stops and
// starts again, what is gone is forgotten.
func (m *Machine) TasksChanged(c *store.Connector) []Action {
	m.take(c)
	var stop, gone []int
	for _, i := range m.Running() {
		if i >= len(m.tasks) {
			gone = append(gone, i)
			stop = append(stop, i)
		} else if m.tasks[i] != m.running[i].config {
			stop = append(stop, i)
		}
	}
	for _, i := range stop {
		delete(m.running, i)
	}
	var out []Action
	if len(stop) > 0 {
		out = append(out, Action{Kind: StopTasks, Tasks: stop})
	}
	if len(gone) > 0 {
		out = append(out, Action{Kind: ForgetTasks, Tasks: gone})
	}
	return append(out, m.startMissing()...)
}

// startMissing starts the tasks that should be here and are not.
func (m *Machine) startMissing() []Action {
	var out []Action
	if m.config == nil || m.target == store.Stopped {
		return nil
	}
	for i, t := range m.tasks {
		if m.running[i] == nil && m.owns(i) {
			out = append(out, m.start(i, t))
		}
	}
	return out
}

func (m *Machine) start(i int, t *store.Map) Action {
	m.running[i] = &taskState{config: t, state: stateFor(m.target)}
	if m.target == store.Paused {
		return Action{Kind: PauseTask, Tasks: []int{i}}
	}
	return Action{Kind: StartTask, Tasks: []int{i}}
}

// TargetChanged takes a new target state.
func (m *Machine) TargetChanged(t store.TargetState) []Action {
	m.target = t
	var out []Action
	if m.conn != "" && (m.conn != store.StateFailed) {
		m.conn = stateFor(t)
		out = append(out, Action{Kind: ConnectorStatus, State: m.conn})
	}
	switch t {
	case store.Stopped:
		// Task configs are erased before, and with them the tasks. What is still here
		// was stopped by a record that did not come through REST: it ends without a
		// status, as in Connect.
		if ts := m.Running(); len(ts) > 0 {
			out = append(out, Action{Kind: EndTasks, Tasks: ts})
			m.running = map[int]*taskState{}
		}
		return out
	case store.Paused:
		for _, i := range m.Running() {
			if s := m.running[i]; s.state == store.StateRunning {
				s.state = store.StatePaused
				out = append(out, Action{Kind: PauseTask, Tasks: []int{i}})
			}
		}
		return out
	}
	for _, i := range m.Running() {
		if s := m.running[i]; s.state == store.StatePaused {
			s.state = store.StateRunning
			out = append(out, Action{Kind: StartTask, Tasks: []int{i}})
		}
	}
	out = append(out, m.startMissing()...)
	if m.conn == store.StateRunning {
		out = append(out, Action{Kind: Reconfigure})
	}
	return out
}

// TaskFailed tells that a task ended with an error; its status was written.
func (m *Machine) TaskFailed(i int) {
	if s := m.running[i]; s != nil {
		s.state = store.StateFailed
	}
}

// Revive starts a failed task again, if it is still to run here.
func (m *Machine) Revive(i int) []Action {
	s := m.running[i]
	if s == nil || s.state != store.StateFailed || m.target != store.Started {
		return nil
	}
	s.state = store.StateRunning
	return []Action{{Kind: StartTask, Tasks: []int{i}}}
}

// RestartPlan is what a restart request covers.
type RestartPlan struct {
	Connector bool
	Tasks     []int
}

// Restart restarts the connector and tasks of a plan that are here.
func (m *Machine) Restart(p RestartPlan, marked bool) []Action {
	var out []Action
	var tasks []int
	for _, i := range p.Tasks {
		if i < len(m.tasks) && m.owns(i) {
			tasks = append(tasks, i)
		}
	}
	restartConn := p.Connector && m.ownConn && m.config != nil
	if restartConn && m.conn != "" {
		out = append(out, Action{Kind: StopConnector})
	}
	if restartConn && marked {
		out = append(out, Action{Kind: ConnectorStatus, State: store.StateRestarting})
	}
	if len(tasks) > 0 {
		out = append(out, Action{Kind: StopTasks, Tasks: tasks})
	}
	for _, i := range tasks {
		delete(m.running, i)
		if marked {
			out = append(out, Action{Kind: TaskStatus, Tasks: []int{i}, State: store.StateRestarting})
		}
	}
	if restartConn {
		m.conn = ""
		out = append(out, Action{Kind: StartConnector})
	}
	if m.target == store.Stopped {
		return out
	}
	for _, i := range tasks {
		out = append(out, m.start(i, m.tasks[i]))
	}
	return out
}

// Removed stops everything of a deleted connector.
func (m *Machine) Removed() []Action {
	out := m.Shutdown()
	m.take(nil)
	return append(out, Action{Kind: ForgetConnector})
}

// Shutdown stops everything that is here.
func (m *Machine) Shutdown() []Action {
	var out []Action
	if ts := m.Running(); len(ts) > 0 {
		out = append(out, Action{Kind: StopTasks, Tasks: ts})
		m.running = map[int]*taskState{}
	}
	if m.conn != "" {
		out = append(out, Action{Kind: StopConnector})
		m.conn = ""
	}
	return out
}

// Assign takes what the group assigned to this worker: whether the connector
// itself is here, and which tasks. Revoked work stops before new work starts.
func (m *Machine) Assign(conn bool, tasks []int) []Action {
	m.ownTasks = map[int]bool{}
	for _, t := range tasks {
		m.ownTasks[t] = true
	}
	var out []Action
	var stop []int
	for _, i := range m.Running() {
		if !m.ownTasks[i] {
			stop = append(stop, i)
			delete(m.running, i)
		}
	}
	if len(stop) > 0 {
		out = append(out, Action{Kind: StopTasks, Tasks: stop})
	}
	had := m.ownConn
	m.ownConn = conn
	if had && !conn && m.conn != "" {
		m.conn = ""
		out = append(out, Action{Kind: StopConnector})
	}
	if conn && m.conn == "" && m.config != nil {
		out = append(out, Action{Kind: StartConnector})
	}
	return append(out, m.startMissing()...)
}

// String prints the state for script tests and the health page.
func (m *Machine) String() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "connector=%s target=%s", m.conn, m.target)
	for _, i := range m.Running() {
		fmt.Fprintf(&sb, " %d=%s", i, m.running[i].state)
	}
	return sb.String()
}
