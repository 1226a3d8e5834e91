package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// TargetState is what a connector is told to be.
type TargetState string

// The target states of Connect.
const (
	Started TargetState = "STARTED"
	Paused  TargetState = "PAUSED"
	Stopped TargetState = "STOPPED"
)

// Event kinds of the config log.
type EventKind int

// What a config record changed.
const (
	ConnectorChanged EventKind = iota
	ConnectorRemoved
	TasksChanged
	TargetChanged
	RestartRequested
	LoggerChanged
	SessionKeyChanged
)

// Event is a change that was read from the config log after the start.
type Event struct {
	Kind      EventKind
	Connector string
	// Restart: what POST restart asked for.
	IncludeTasks, OnlyFailed bool
	// Logger: namespace and level.
	Namespace, Level string
}

// Connector is what the config log says about one connector. It is immutable.
type Connector struct {
	Name   string
	Config *Map
	Target TargetState
	// Tasks are the committed task configs, by task number.
	Tasks []*Map
	// Inconsistent: compaction left an incomplete set of task configs; they must
	// be made anew.
	Inconsistent bool
	// Applied is the connector config that Tasks were made from; nil unknown.
	Applied *Map
	// Fenced is the task count of the last fencing record, -1 none. Unfenced says
	// that task configs were committed since: tasks from before may still write.
	Fenced   int
	Unfenced bool
	// Extra is how many further task configs are remembered beyond Tasks, from
	// before the connector had fewer tasks. Connect knows them for ever.
	Extra int
}

// SessionKey signs requests between workers.
type SessionKey struct {
	Key       string // base64
	Algorithm string
	Created   int64 // ms
}

// Configs is the config store.
type Configs struct {
	log    Log
	logger *slog.Logger

	mu       sync.Mutex
	conns    map[string]*connState
	session  SessionKey
	offset   int64
	live     bool
	onEvent  func(Event)
	writeMax time.Duration
}

// connState is what the records of one connector add up to, also of a connector
// whose config was deleted while task and commit records stay behind.
type connState struct {
	config       *Map
	applied      *Map
	target       TargetState
	deferred     map[int]*Map
	tasks        map[int]*Map
	count        int
	inconsistent bool
	fenced       int
	unfenced     bool
}

// NewConfigs makes a config store over a log.
func NewConfigs(log Log, logger *slog.Logger) *Configs {
	return &Configs{log: log, logger: logger, conns: map[string]*connState{}, writeMax: 30 * time.Second}
}

// Start replays the log; changes that come later are told to onEvent, from one
// goroutine, which must not call methods of Configs that write.
func (c *Configs) Start(ctx context.Context, onEvent func(Event)) error {
	c.onEvent = onEvent
	if err := c.log.Start(ctx, c.apply); err != nil {
		return err
	}
	c.mu.Lock()
	c.live = true
	c.mu.Unlock()
	return nil
}

// Close stops reading.
func (c *Configs) Close(ctx context.Context) error { return c.log.Close(ctx) }

// Sync reads to the end of the log.
func (c *Configs) Sync(ctx context.Context) error { return c.log.Sync(ctx) }

// Offset is the next offset of the config topic, 0 before the first record.
func (c *Configs) Offset() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Names lists the connectors that have a config, sorted.
func (c *Configs) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.conns))
	for n, s := range c.conns {
		if s.config != nil {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

// Get returns a connector; nil when it has no config.
func (c *Configs) Get(name string) *Connector {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.conns[name]
	if s == nil || s.config == nil {
		return nil
	}
	out := &Connector{Name: name, Config: s.config, Target: s.target, Inconsistent: s.inconsistent, Applied: s.applied, Fenced: s.fenced, Unfenced: s.unfenced}
	if out.Target == "" {
		out.Target = Started
	}
	for i := 0; i < s.count && !s.inconsistent; i++ {
		out.Tasks = append(out.Tasks, s.tasks[i])
	}
	for i := range s.tasks {
		if i >= len(out.Tasks) {
			out.Extra++
		}
	}
	return out
}

// KnowsTask reports whether a config of that task is remembered, also from a
// time when the connector had more tasks.
func (c *Configs) KnowsTask(name string, task int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.conns[name]
	return s != nil && s.tasks[task] != nil
}

// Session returns the newest session key.
func (c *Configs) Session() SessionKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// ---- writing

func (c *Configs) write(ctx context.Context, recs ...Record) error {
	ctx, cancel := context.WithTimeout(ctx, c.writeMax)
	defer cancel()
	if err := c.log.Append(ctx, recs...); err != nil {
		return fmt.Errorf("write to the config storage: %w", err)
	}
	return nil
}

// PutConnector writes a connector's config, and before it the target state if
// one is given.
func (c *Configs) PutConnector(ctx context.Context, name string, config *Map, target TargetState) error {
	var recs []Record
	if target != "" {
		recs = append(recs, Record{Key: []byte("target-state-" + name), Value: targetJSON(target)})
	}
	v := append(AppendMap([]byte(`{"properties":`), config), '}')
	return c.lead(ctx, append(recs, Record{Key: []byte("connector-" + name), Value: v})...)
}

// RemoveConnector writes tombstones for the config and the target state.
func (c *Configs) RemoveConnector(ctx context.Context, name string) error {
	return c.lead(ctx, Record{Key: []byte("connector-" + name)}, Record{Key: []byte("target-state-" + name)})
}

// PutTasks writes the task configs of a connector and commits them.
func (c *Configs) PutTasks(ctx context.Context, name string, tasks []*Map) error {
	recs := make([]Record, 0, len(tasks)+1)
	for i, t := range tasks {
		recs = append(recs, Record{Key: []byte("task-" + name + "-" + strconv.Itoa(i)), Value: append(AppendMap([]byte(`{"properties":`), t), '}')})
	}
	// The commit comes only after its tasks were read back.
	if len(recs) > 0 {
		if err := c.lead(ctx, recs...); err != nil {
			return err
		}
	}
	return c.lead(ctx, Record{Key: []byte("commit-" + name), Value: []byte(`{"tasks":` + strconv.Itoa(len(tasks)) + `}`)})
}

// PutTarget writes a target state.
func (c *Configs) PutTarget(ctx context.Context, name string, s TargetState) error {
	return c.write(ctx, Record{Key: []byte("target-state-" + name), Value: targetJSON(s)})
}

func targetJSON(s TargetState) []byte {
	old := s
	if s == Stopped {
		old = Paused // workers that do not know STOPPED
	}
	return []byte(`{"state":"` + string(old) + `","state.v2":"` + string(s) + `"}`)
}

// PutRestart asks the owners of a connector and its tasks to restart them.
func (c *Configs) PutRestart(ctx context.Context, name string, includeTasks, onlyFailed bool) error {
	return c.lead(ctx, Record{Key: []byte("restart-connector-" + name), Value: fmt.Appendf(nil, `{"include-tasks":%t,"only-failed":%t}`, includeTasks, onlyFailed)})
}

// PutLogger tells all workers a log level.
func (c *Configs) PutLogger(ctx context.Context, namespace, level string) error {
	v := append(AppendJSONString([]byte(`{"level":`), level), '}')
	return c.write(ctx, Record{Key: []byte("logger-cluster-" + namespace), Value: v})
}

// PutSessionKey writes the key that signs requests between workers.
func (c *Configs) PutSessionKey(ctx context.Context, k SessionKey) error {
	v := AppendJSONString([]byte(`{"key":`), k.Key)
	v = AppendJSONString(append(v, `,"algorithm":`...), k.Algorithm)
	return c.lead(ctx, Record{Key: []byte("session-key"), Value: fmt.Appendf(v, `,"creation-timestamp":%d}`, k.Created)})
}

// PutFencing writes how many tasks were fenced.
func (c *Configs) PutFencing(ctx context.Context, name string, tasks int) error {
	return c.lead(ctx, Record{Key: []byte("tasks-fencing-" + name), Value: fmt.Appendf(nil, `{"task-count":%d}`, tasks)})
}

// ---- reading

// apply takes one record of the log. Broken records are logged and skipped.
func (c *Configs) apply(r Record) {
	c.mu.Lock()
	c.offset = r.Offset + 1
	ev, ok, err := c.applyLocked(string(r.Key), r.Value)
	live := c.live
	c.mu.Unlock()
	if err != nil {
		c.logger.Error("skip a record of the config storage that cannot be read", "key", string(r.Key), "error", err)
	}
	if ok && live && c.onEvent != nil {
		c.onEvent(ev)
	}
}

func (c *Configs) state(name string) *connState {
	s := c.conns[name]
	if s == nil {
		s = &connState{fenced: -1}
		c.conns[name] = s
	}
	return s
}

// applyLocked tries the prefixes in Connect's order.
func (c *Configs) applyLocked(key string, value []byte) (Event, bool, error) {
	var doc *Object
	if value != nil {
		v, err := ParseJSON(value)
		if err != nil {
			return Event{}, false, err
		}
		doc, _ = v.(*Object)
		if doc == nil {
			return Event{}, false, fmt.Errorf("the value is no JSON object")
		}
	}
	if name, ok := strings.CutPrefix(key, "target-state-"); ok {
		return c.applyTarget(name, doc)
	}
	if name, ok := strings.CutPrefix(key, "connector-"); ok {
		return c.applyConnector(name, doc)
	}
	if rest, ok := strings.CutPrefix(key, "task-"); ok {
		return Event{}, false, c.applyTask(rest, doc)
	}
	if name, ok := strings.CutPrefix(key, "commit-"); ok {
		return c.applyCommit(name, doc)
	}
	if name, ok := strings.CutPrefix(key, "restart-connector-"); ok && doc != nil {
		it, _ := doc.Get("include-tasks")
		of, _ := doc.Get("only-failed")
		return Event{Kind: RestartRequested, Connector: name, IncludeTasks: it == true, OnlyFailed: of == true}, true, nil
	}
	if name, ok := strings.CutPrefix(key, "tasks-fencing-"); ok && doc != nil {
		n, err := intField(doc, "task-count")
		if err == nil {
			s := c.state(name)
			s.fenced, s.unfenced = n, false
		}
		return Event{}, false, err
	}
	if key == "session-key" && doc != nil {
		k, _ := doc.Get("key")
		a, _ := doc.Get("algorithm")
		ks, ok1 := k.(string)
		as, ok2 := a.(string)
		t, err := int64Field(doc, "creation-timestamp")
		if !ok1 || !ok2 || err != nil {
			return Event{}, false, fmt.Errorf("incomplete session key")
		}
		c.session = SessionKey{ks, as, t}
		return Event{Kind: SessionKeyChanged}, true, nil
	}
	if ns, ok := strings.CutPrefix(key, "logger-cluster-"); ok && doc != nil {
		l, _ := doc.Get("level")
		s, ok := l.(string)
		return Event{Kind: LoggerChanged, Namespace: ns, Level: s}, ok, nil
	}
	return Event{}, false, nil // unknown keys stay where they are
}

func (c *Configs) applyTarget(name string, doc *Object) (Event, bool, error) {
	s := c.state(name)
	if doc == nil {
		s.target = ""
		if s.config != nil {
			s.target = Started
		}
		return Event{}, false, nil // the removal of the connector tells the worker
	}
	v, _ := doc.Get("state.v2")
	text, ok := v.(string)
	if !ok { // of an older worker, or broken
		v, _ = doc.Get("state")
		text, _ = v.(string)
	}
	t := TargetState(text)
	if t != Started && t != Paused && t != Stopped {
		return Event{}, false, fmt.Errorf("unknown target state %q", text)
	}
	changed := s.target != t
	s.target = t
	return Event{Kind: TargetChanged, Connector: name}, changed && s.config != nil, nil
}

func (c *Configs) applyConnector(name string, doc *Object) (Event, bool, error) {
	s := c.state(name)
	if doc == nil {
		had := s.config != nil
		s.config, s.applied = nil, nil
		s.deferred, s.tasks, s.count, s.inconsistent = nil, nil, 0, false
		return Event{Kind: ConnectorRemoved, Connector: name}, had, nil
	}
	p, err := properties(doc)
	if err != nil {
		return Event{}, false, err
	}
	s.config = p
	if s.target == "" {
		s.target = Started
	}
	return Event{Kind: ConnectorChanged, Connector: name}, true, nil
}

func (c *Configs) applyTask(rest string, doc *Object) error {
	i := strings.LastIndexByte(rest, '-')
	if i < 0 {
		return fmt.Errorf("no task number")
	}
	n, err := strconv.Atoi(rest[i+1:])
	if err != nil || n < 0 {
		return fmt.Errorf("no task number")
	}
	if doc == nil {
		return fmt.Errorf("a task config without value")
	}
	p, err := properties(doc)
	if err != nil {
		return err
	}
	s := c.state(rest[:i])
	if s.deferred == nil {
		s.deferred = map[int]*Map{}
	}
	s.deferred[n] = p
	return nil
}

// applyCommit makes the task configs since the last commit the valid ones.
func (c *Configs) applyCommit(name string, doc *Object) (Event, bool, error) {
	if doc == nil {
		return Event{}, false, fmt.Errorf("a commit without value")
	}
	n, err := intField(doc, "tasks")
	if err != nil {
		return Event{}, false, err
	}
	s := c.state(name)
	if s.config == nil {
		s.deferred = nil
		return Event{}, false, nil // left over from a deleted connector
	}
	complete := true
	for i := 0; i < n; i++ {
		if s.deferred[i] == nil {
			complete = false
		}
	}
	s.inconsistent = !complete
	if complete {
		// Compaction may keep records of more tasks than the last commit has; they stay
		// known, as those of a connector that had more tasks before.
		if s.tasks == nil {
			s.tasks = map[int]*Map{}
		}
		for i, t := range s.deferred {
			s.tasks[i] = t
		}
		s.applied = s.config
	}
	s.deferred, s.count, s.unfenced = nil, n, true
	return Event{Kind: TasksChanged, Connector: name}, true, nil
}

// properties reads {"properties":{…}} into a map of Java's reading order.
func properties(doc *Object) (*Map, error) {
	v, _ := doc.Get("properties")
	o, ok := v.(*Object)
	if !ok {
		return nil, fmt.Errorf(`no "properties"`)
	}
	m, err := StringMap(o)
	if err != nil {
		return nil, err
	}
	return HashOf(m), nil
}

func intField(doc *Object, name string) (int, error) {
	n, err := int64Field(doc, name)
	return int(n), err
}

func int64Field(doc *Object, name string) (int64, error) {
	v, _ := doc.Get(name)
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%q is no number", name)
	}
	i, err := n.Int64()
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", name)
	}
	return i, nil
}

// TaskConfig makes the config of a task: the connector's properties, what the
// connector adds for this task, and task.class, in the order Java writes them.
func TaskConfig(config *Map, added []Entry, taskClass string) *Map {
	t := HashCopy(HashOf(config))
	for _, e := range added {
		t.Put(e.Key, e.Value)
	}
	if len(added) > 0 {
		t = HashCopy(t)
	}
	if taskClass != "" {
		t.Put("task.class", taskClass)
	}
	return HashCopy(t)
}
