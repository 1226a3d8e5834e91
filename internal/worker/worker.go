package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/store"
)

// Worker runs connectors: it keeps what should run in the config store, lets one
// supervisor per connector run it, and answers what REST asks.
type Worker struct {
	cfg     *Config
	reg     *Registry
	log     *slog.Logger
	metrics *metrics.Set
	loggers *Loggers

	configs  *store.Configs
	offsets  *store.Offsets
	statuses *store.Statuses
	admin    *kgo.Client // shared, for topics, groups and the cluster id
	adm      *kadm.Client

	clusterID atomic.Pointer[string] // nil until Kafka has told
	started   chan struct{}

	member     *member // nil in standalone mode
	leaveGroup context.CancelFunc
	left       sync.WaitGroup // member and duties
	view       atomic.Pointer[groupView]
	lost       atomic.Bool   // the group went on without this worker: stop at once
	duties     chan struct{} // cap 1: look at the leader's duties
	claimed    atomic.Bool   // this worker has taken the right to write configs
	fencing    sync.Mutex    // one round of fencing at a time
	peers      *http.Client  // for requests to other workers
	counts     counts
	recent     recent
	past       pastRebalances

	mu       sync.Mutex
	sups     map[string]*supervisor
	assigned map[string]work // what the group gave to this worker
	ended    bool
}

// work is what of one connector is assigned to this worker.
type work struct {
	conn  bool
	tasks []int
}

// New makes a worker; nothing runs before Start.
func New(cfg *Config, reg *Registry, set *metrics.Set, loggers *Loggers, log *slog.Logger) *Worker {
	return &Worker{cfg: cfg, reg: reg, log: log, metrics: set, loggers: loggers, started: make(chan struct{}), sups: map[string]*supervisor{}, assigned: map[string]work{}, duties: make(chan struct{}, 1), peers: cfg.Client()}
}

// Start connects to Kafka, reads the storage to its end and starts what should
// run. Requests that need the storage wait for it.
func (w *Worker) Start(ctx context.Context) error {
	if err := w.openStores(); err != nil {
		return err
	}
	if w.cfg.Distributed {
		if err := w.makeMember(); err != nil {
			w.admin.Close()
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	read := make(chan struct{})
	waiting := make(chan struct{})
	go func() { defer close(waiting); w.complain(read) }()
	defer func() { close(read); <-waiting }()
	w.log.Debug("reading the storage", "bootstrap.servers", w.cfg.Props["bootstrap.servers"])
	g.Go(func() error {
		m, err := w.adm.BrokerMetadata(gctx)
		if err != nil {
			return fmt.Errorf("ask Kafka at %s for its cluster id: %w", w.cfg.Props["bootstrap.servers"], err)
		}
		w.clusterID.Store(&m.Cluster)
		return nil
	})
	g.Go(func() error { return w.offsets.Start(gctx) })
	g.Go(func() error { return w.statuses.Start(gctx) })
	// Config events may come while the others are still reading; supervisors are
	// made only afterwards, from what the store says then.
	g.Go(func() error { return w.configs.Start(gctx, w.onConfig) })
	if err := g.Wait(); err != nil {
		if w.member != nil {
			w.member.cl.Close()
		}
		w.admin.Close()
		return err
	}
	close(w.started)
	if w.cfg.Distributed {
		w.joinGroup()
		return nil
	}
	for _, name := range w.configs.Names() {
		w.send(name, func(ctx context.Context, s *supervisor) {
			s.configEvent(ctx, store.Event{Kind: store.ConnectorChanged, Connector: name})
		})
	}
	return nil
}

// complain says every few seconds that the start is waiting, until done.
func (w *Worker) complain(done <-chan struct{}) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			w.log.Warn("still waiting for Kafka: the storage topics are not read yet", "bootstrap.servers", w.cfg.Props["bootstrap.servers"])
		}
	}
}

func (w *Worker) openStores() error {
	opts, err := w.cfg.internalOpts(w.cfg.InternalClientID("shared-admin"))
	if err != nil {
		return err
	}
	if w.admin, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("worker client: %w", err)
	}
	w.adm = kadm.NewClient(w.admin)
	if !w.cfg.Distributed {
		w.configs = store.NewConfigs(store.NewMemoryLog(), w.log)
		w.statuses = store.NewStatuses(store.NewMemoryLog(), w.log)
		w.offsets = store.NewOffsets(store.NewFileLog(w.cfg.OffsetFile), w.log)
		return nil
	}
	mk := func(role, topic, property string, partitions int32, one bool) (*store.KafkaLog, error) {
		o, err := w.cfg.internalOpts(w.cfg.InternalClientID(role))
		if err != nil {
			return nil, err
		}
		spec := w.cfg.topicSpec(topic, property, partitions, one)
		if one {
			spec.LeaderID = w.cfg.leaderID()
		}
		return store.NewKafkaLog(spec, w.log, o...), nil
	}
	c, err := mk("configs", w.cfg.ConfigTopic, "config.storage.topic", 1, true)
	if err != nil {
		return err
	}
	o, err := mk("offsets", w.cfg.OffsetTopic, "offset.storage.topic", w.cfg.int32("offset.storage.partitions", 25), false)
	if err != nil {
		return err
	}
	s, err := mk("statuses", w.cfg.StatusTopic, "status.storage.topic", w.cfg.int32("status.storage.partitions", 5), false)
	if err != nil {
		return err
	}
	w.configs, w.offsets, w.statuses = store.NewConfigs(c, w.log), store.NewOffsets(o, w.log), store.NewStatuses(s, w.log)
	return nil
}

// Ready returns when the storage was read; REST calls it before it answers.
func (w *Worker) Ready(ctx context.Context) error {
	select {
	case <-w.started:
		return nil
	default:
	}
	select {
	case <-w.started:
		return nil
	case <-ctx.Done():
		return statusErrorf(500, "Request timed out. The worker is currently starting up and reads its storage topics.")
	}
}

// onConfig routes an event of the config log to the connector's supervisor. It
// runs in the log's goroutine.
func (w *Worker) onConfig(ev store.Event) {
	switch ev.Kind {
	case store.LoggerChanged:
		w.loggers.Set(ev.Namespace, ev.Level)
		return
	case store.SessionKeyChanged:
		return
	}
	if w.member != nil {
		defer w.regroup(ev)
	}
	select {
	case <-w.started:
	default:
		return // Start makes the supervisors from the store
	}
	w.send(ev.Connector, func(ctx context.Context, s *supervisor) { s.configEvent(ctx, ev) })
}

// send queues a message for a connector's supervisor, which is made if needed;
// nil when the worker is stopping.
func (w *Worker) send(name string, f func(context.Context, *supervisor)) *supervisor {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	s := w.sups[name]
	if s == nil {
		s = newSupervisor(w, name)
		w.sups[name] = s
	}
	s.post(func(ctx context.Context) { f(ctx, s) })
	return s
}

// retire ends a supervisor without connector, unless something was queued since.
func (w *Worker) retire(s *supervisor) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || !s.idle() {
		return false
	}
	delete(w.sups, s.name)
	w.metrics.Forget(s.name) // the worker that deletes it has, others may have run its tasks before
	return true
}

// Stop stops all tasks within the graceful timeout, writes the last statuses and
// closes the storage.
func (w *Worker) Stop() error {
	select {
	case <-w.started:
	default:
		return nil
	}
	if w.leaveGroup != nil {
		w.leaveGroup() // stops all work, then leaves
		w.left.Wait()
		w.member.cl.Close()
	}
	w.mu.Lock()
	w.ended = true
	sups := make([]*supervisor, 0, len(w.sups))
	for _, s := range w.sups {
		sups = append(sups, s)
	}
	w.mu.Unlock()
	for _, s := range sups {
		s.shutdown()
	}
	for _, s := range sups {
		<-s.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := errors.Join(w.statuses.Close(ctx), w.offsets.Close(ctx), w.configs.Close(ctx))
	w.admin.Close()
	w.peers.CloseIdleConnections()
	return err
}

// ClusterID is the id of the Kafka cluster; "" while it is not known yet.
func (w *Worker) ClusterID() string {
	if id := w.clusterID.Load(); id != nil {
		return *id
	}
	return ""
}

// ID is the worker_id in statuses.
func (w *Worker) ID() string { return w.cfg.Advertised }

// generation of the group membership, as statuses carry it.
func (w *Worker) generation() int {
	if v := w.view.Load(); v != nil {
		return v.generation
	}
	return 0
}

func (w *Worker) status(state, version string) store.Status {
	return store.Status{State: state, WorkerID: w.cfg.Advertised, Generation: w.generation(), Version: version}
}

// failed is the status of what ended with err, whose trace everybody may read.
func (w *Worker) failed(err error, version string) store.Status {
	st := w.status(store.StateFailed, version)
	st.Trace = withoutSecrets(errs.Trace(err))
	return st
}
