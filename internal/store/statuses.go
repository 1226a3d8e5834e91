package store

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Status is the state of a connector or task as a worker reported it.
type Status struct {
	State      string
	Trace      string // "" prints as null
	WorkerID   string
	Generation int
	Version    string // "" prints as null
}

// The states that appear in statuses.
const (
	StateUnassigned = "UNASSIGNED"
	StateRunning    = "RUNNING"
	StatePaused     = "PAUSED"
	StateFailed     = "FAILED"
	StateRestarting = "RESTARTING"
	StateStopped    = "STOPPED"
	StateDestroyed  = "DESTROYED"
)

var allStates = []string{StateUnassigned, StateRunning, StatePaused, StateFailed, StateRestarting, StateStopped, StateDestroyed}

// Statuses is the status store: states of connectors and tasks, and the topics a
// connector has used. It is safe for concurrent use.
type Statuses struct {
	log    Log
	logger *slog.Logger

	mu     sync.Mutex
	conns  map[string]*Status
	tasks  map[string]map[int]*Status
	topics map[string]map[string]struct{}
	told   map[string]map[string]struct{} // topics already written by this worker
	epoch  atomic.Uint64                  // changes when topics were reset
}

// NewStatuses makes a status store over a log.
func NewStatuses(log Log, logger *slog.Logger) *Statuses {
	return &Statuses{log: log, logger: logger, conns: map[string]*Status{}, tasks: map[string]map[int]*Status{},
		topics: map[string]map[string]struct{}{}, told: map[string]map[string]struct{}{}}
}

// Start replays the log.
func (s *Statuses) Start(ctx context.Context) error { return s.log.Start(ctx, s.apply) }

// Close stops reading and writes what is left.
func (s *Statuses) Close(ctx context.Context) error { return s.log.Close(ctx) }

// Sync reads to the end.
func (s *Statuses) Sync(ctx context.Context) error { return s.log.Sync(ctx) }

// Connector returns the status of a connector, nil if none.
func (s *Statuses) Connector(name string) *Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[name]
}

// Task returns the status of a task, nil if none.
func (s *Statuses) Task(name string, task int) *Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[name][task]
}

// Tasks returns the numbers of a connector's tasks that have a status, sorted,
// and their statuses.
func (s *Statuses) Tasks(name string) ([]int, []*Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []int
	for i := range s.tasks[name] {
		ids = append(ids, i)
	}
	sort.Ints(ids)
	out := make([]*Status, len(ids))
	for i, id := range ids {
		out[i] = s.tasks[name][id]
	}
	return ids, out
}

// Topics returns the topics a connector has used, sorted.
func (s *Statuses) Topics(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.topics[name]))
	for t := range s.topics[name] {
		out = append(out, t)
	}
	sort.Strings(out)
	return out
}

// PutConnector reports the status of a connector.
func (s *Statuses) PutConnector(name string, st Status) {
	s.put("status-connector-"+name, AppendStatus(nil, st))
}

// PutTask reports the status of a task.
func (s *Statuses) PutTask(name string, task int, st Status) {
	s.put("status-task-"+name+"-"+strconv.Itoa(task), AppendStatus(nil, st))
}

// PutConnectorSafe reports a status unless another worker of the same or a later
// generation has reported since.
func (s *Statuses) PutConnectorSafe(name string, st Status) {
	if safe(s.Connector(name), st) {
		s.PutConnector(name, st)
	}
}

// PutTaskSafe is PutConnectorSafe for a task.
func (s *Statuses) PutTaskSafe(name string, task int, st Status) {
	if safe(s.Task(name, task), st) {
		s.PutTask(name, task, st)
	}
}

func safe(known *Status, st Status) bool {
	return known == nil || known.WorkerID == st.WorkerID || known.Generation <= st.Generation
}

// RemoveConnector writes a tombstone for a connector's status.
func (s *Statuses) RemoveConnector(name string) { s.put("status-connector-"+name, nil) }

// RemoveTask writes a tombstone for a task's status.
func (s *Statuses) RemoveTask(name string, task int) {
	s.put("status-task-"+name+"-"+strconv.Itoa(task), nil)
}

// PutTopic remembers that a connector's task used a topic; at is in ms.
func (s *Statuses) PutTopic(connector, topic string, task int, at int64) {
	s.mu.Lock()
	_, known := s.told[connector][topic]
	if !known {
		if s.told[connector] == nil {
			s.told[connector] = map[string]struct{}{}
		}
		s.told[connector][topic] = struct{}{}
	}
	s.mu.Unlock()
	if known {
		return
	}
	v := AppendJSONString([]byte(`{"topic":{"name":`), topic)
	v = AppendJSONString(append(v, `,"connector":`...), connector)
	v = append(strconv.AppendInt(append(v, `,"task":`...), int64(task), 10), `,"discoverTimestamp":`...)
	s.put("status-topic-"+topic+":connector-"+connector, append(strconv.AppendInt(v, at, 10), "}}"...))
}

// KnowsTopic reports whether the topic counts as used by the connector.
func (s *Statuses) KnowsTopic(connector, topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.told[connector][topic]
	return ok
}

// ResetTopics forgets the topics of a connector.
func (s *Statuses) ResetTopics(connector string) {
	for _, t := range s.Topics(connector) {
		s.put("status-topic-"+t+":connector-"+connector, nil)
	}
	s.mu.Lock()
	delete(s.told, connector)
	s.mu.Unlock()
	s.epoch.Add(1)
}

// TopicEpoch changes whenever topics were reset: whoever remembers that it has
// told a topic must tell it again then.
func (s *Statuses) TopicEpoch() uint64 { return s.epoch.Load() }

func (s *Statuses) put(key string, value []byte) {
	s.log.AppendAsync(Record{Key: []byte(key), Value: value}, func(err error) {
		if err != nil {
			s.logger.Error("cannot write a status", "key", key, "error", err)
		}
	})
}

// AppendStatus appends the JSON of a status record.
func AppendStatus(dst []byte, st Status) []byte {
	str := func(name, v string) {
		dst = append(dst, name...)
		if v == "" {
			dst = append(dst, "null"...)
		} else {
			dst = AppendJSONString(dst, v)
		}
	}
	str(`{"state":`, st.State)
	str(`,"trace":`, st.Trace)
	str(`,"worker_id":`, st.WorkerID)
	dst = strconv.AppendInt(append(dst, `,"generation":`...), int64(st.Generation), 10)
	str(`,"version":`, st.Version)
	return append(dst, '}')
}

// ParseStatus reads a status record; nil if it is none: as in Connect it must have a
// state that there is, and a generation.
func ParseStatus(value []byte) *Status {
	v, err := ParseJSON(value)
	o, _ := v.(*Object)
	if err != nil || o == nil {
		return nil
	}
	str := func(name string) string { x, _ := o.Get(name); s, _ := x.(string); return s }
	st := &Status{State: str("state"), Trace: str("trace"), WorkerID: str("worker_id"), Version: str("version")}
	g, _ := o.Get("generation")
	n, ok := g.(json.Number)
	i, err := n.Int64()
	if !ok || err != nil || !slices.Contains(allStates, st.State) {
		return nil
	}
	st.Generation = int(i)
	return st
}

func (s *Statuses) apply(r Record) {
	key := string(r.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := strings.CutPrefix(key, "status-connector-"); ok {
		s.conns[name] = take(s.conns[name], r.Value)
		if s.conns[name] == nil {
			delete(s.conns, name)
		}
		return
	}
	if rest, ok := strings.CutPrefix(key, "status-task-"); ok {
		i := strings.LastIndexByte(rest, '-')
		if i < 0 {
			return
		}
		n, err := strconv.Atoi(rest[i+1:])
		if err != nil {
			return
		}
		name := rest[:i]
		st := take(s.tasks[name][n], r.Value)
		if st == nil {
			delete(s.tasks[name], n)
			return
		}
		if s.tasks[name] == nil {
			s.tasks[name] = map[int]*Status{}
		}
		s.tasks[name][n] = st
		return
	}
	if rest, ok := strings.CutPrefix(key, "status-topic-"); ok {
		topic, conn, ok := strings.Cut(rest, ":connector-")
		if !ok {
			return
		}
		if r.Value == nil {
			delete(s.topics[conn], topic)
			return
		}
		if s.topics[conn] == nil {
			s.topics[conn] = map[string]struct{}{}
		}
		s.topics[conn][topic] = struct{}{}
	}
}

// take decides between a known status and a record: an UNASSIGNED that is older
// than what another worker reported since is dropped, and one of the same generation
// when that is RUNNING, since work starts only after its former worker has let go.
func take(known *Status, value []byte) *Status {
	if value == nil {
		return nil
	}
	st := ParseStatus(value)
	if st == nil {
		return known
	}
	if known != nil && st.State == StateUnassigned && known.WorkerID != st.WorkerID &&
		(known.Generation > st.Generation || known.Generation == st.Generation && known.State == StateRunning) {
		return known
	}
	return st
}
