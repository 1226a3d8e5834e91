package worker

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/store"
)

// makeMember makes the membership in the group of workers, before anything runs
// that looks at it.
func (w *Worker) makeMember() error {
	id := strings.TrimSpace(w.cfg.Props["client.id"])
	if id == "" {
		id = "connect-" + w.cfg.Advertised
	}
	opts, err := w.cfg.internalOpts(id)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("client of the group membership: %w", err)
	}
	c := w.cfg
	w.view.Store(&groupView{lost: true})
	m := &member{cl: cl, host: w, log: w.log, group: c.GroupID, url: c.AdvertisedURL, protos: c.Protocols,
		session: c.Session, beat: c.Heartbeat, limit: c.RebalanceTimeout, sync: c.SyncTimeout, unsync: c.UnsyncBackoff,
		assign: Assignor{Delay: c.RebalanceDelay}, rejoin: make(chan struct{}, 1), poke: make(chan struct{}, 1), generation: -1}
	w.member = m
	return nil
}

// joinGroup starts the membership and the leader's duties.
func (w *Worker) joinGroup() {
	m := w.member
	ctx, cancel := context.WithCancel(context.Background())
	w.leaveGroup = cancel
	w.left.Add(2)
	go func() { defer w.left.Done(); m.run(ctx) }()
	go func() { defer w.left.Done(); w.leaderDuties(ctx) }()
}

// regroup asks for a rebalance when the amount of work has changed: the leader
// joins again, the others look whether it did.
func (w *Worker) regroup(ev store.Event) {
	switch ev.Kind {
	case store.ConnectorChanged, store.ConnectorRemoved, store.TasksChanged:
	default:
		return
	}
	if v := w.view.Load(); v != nil && v.leader {
		if w.complete(v) {
			return
		}
		w.member.requestRejoin()
		return
	}
	w.member.requestBeat()
}

// complete reports whether all configured work has an owner and nothing else has.
func (w *Worker) complete(v *groupView) bool {
	units, _ := w.configured()
	if len(units) != len(v.owners) {
		return false
	}
	for _, u := range units {
		if _, ok := v.owners[u]; !ok {
			return false
		}
	}
	return true
}

// configured implements memberHost.
func (w *Worker) configured() ([]Unit, int64) {
	var out []Unit
	offset := w.configs.Offset()
	for _, n := range w.configs.Names() {
		c := w.configs.Get(n)
		if c == nil {
			continue
		}
		out = append(out, Unit{n, connectorUnit})
		for i := range c.Tasks {
			out = append(out, Unit{n, int32(i)})
		}
	}
	return out, offset
}

// catchUp implements memberHost.
func (w *Worker) catchUp(ctx context.Context, offset int64) error {
	if w.configs.Offset() >= offset {
		return nil
	}
	return w.configs.Sync(ctx)
}

// became implements memberHost.
func (w *Worker) became(v groupView) {
	before := w.view.Swap(&v)
	if !v.lost {
		w.counts.rebalances.Add(1)
		w.counts.lastRebalance.Store(time.Now().UnixMilli())
	}
	w.lost.Store(v.lost)
	if v.leader && !before.leader {
		w.configs.Yield() // what it holds from an earlier time as leader is void
		w.claimed.Store(false)
	}
	if v.leader {
		notify(w.duties)
		if !w.complete(&v) {
			w.member.requestRejoin() // configs came while the group was assigning
		}
	}
}

// apply implements memberHost: what is no longer owned stops, and only when it
// has stopped the rest starts.
func (w *Worker) apply(owned []Unit) {
	next := map[string]work{}
	for _, u := range owned {
		x := next[u.Connector]
		if u.Task == connectorUnit {
			x.conn = true
		} else {
			x.tasks = append(x.tasks, int(u.Task))
		}
		next[u.Connector] = x
	}
	w.mu.Lock()
	prev := w.assigned
	w.assigned = next
	w.mu.Unlock()
	var waits []<-chan struct{}
	for name, old := range prev {
		keep := overlap(old, next[name])
		if same(keep, old) {
			continue
		}
		done := make(chan struct{})
		if s := w.send(name, func(ctx context.Context, s *supervisor) {
			defer close(done)
			s.do(ctx, s.m.Assign(keep.conn, keep.tasks))
		}); s != nil {
			waits = append(waits, done)
		}
	}
	for _, d := range waits {
		<-d
	}
	for name, x := range next {
		if same(x, prev[name]) {
			continue
		}
		w.send(name, func(ctx context.Context, s *supervisor) {
			if s.m.Config() == nil {
				if c := w.configs.Get(name); c != nil {
					s.m.Assign(x.conn, x.tasks)
					s.do(ctx, s.m.Load(c))
				}
				return
			}
			s.do(ctx, s.m.Assign(x.conn, x.tasks))
		})
	}
}

func overlap(a, b work) work {
	out := work{conn: a.conn && b.conn}
	for _, t := range a.tasks {
		for _, u := range b.tasks {
			if t == u {
				out.tasks = append(out.tasks, t)
			}
		}
	}
	return out
}

func same(a, b work) bool {
	if a.conn != b.conn || len(a.tasks) != len(b.tasks) {
		return false
	}
	for i := range a.tasks {
		if a.tasks[i] != b.tasks[i] {
			return false
		}
	}
	return true
}

// leaderDuties keeps the key that signs requests between workers young.
func (w *Worker) leaderDuties(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.duties:
		case <-tick.C:
		}
		if v := w.view.Load(); v == nil || !v.leader {
			continue
		}
		if !w.claimed.Load() {
			if err := w.configs.Claim(ctx); err != nil {
				if ctx.Err() == nil {
					w.log.Error("cannot claim the right to write configs; trying again", "error", err)
					time.AfterFunc(time.Second, func() { notify(w.duties) })
				}
				continue
			}
			w.claimed.Store(true)
		}
		if now := time.Now(); w.cfg.signing.stale(w.configs.Session(), now) {
			if err := w.configs.PutSessionKey(ctx, w.cfg.signing.newKey(now)); err != nil && ctx.Err() == nil {
				w.log.Error("cannot write a new session key", "error", err)
			}
		}
	}
}

// Leader tells whether this worker decides about configs, and if not, the address
// of the one that does ("" while nobody is known).
func (w *Worker) Leader() (self bool, url string) {
	if w.member == nil {
		return true, ""
	}
	v := w.view.Load()
	if v.lost {
		return false, ""
	}
	return v.leader, v.leaderURL
}

// Owner tells whether a connector (task -1) or task runs here, and if this worker
// leads, the address of the one where it does.
func (w *Worker) Owner(name string, task int) (self bool, url string) {
	if w.member == nil {
		return true, ""
	}
	w.mu.Lock()
	x := w.assigned[name]
	w.mu.Unlock()
	if task == connectorUnit && x.conn {
		return true, ""
	}
	for _, t := range x.tasks {
		if t == task {
			return true, ""
		}
	}
	return false, w.view.Load().owners[Unit{name, int32(task)}]
}

// SyncConfigs reads the configs to their end.
func (w *Worker) SyncConfigs(ctx context.Context) error { return w.configs.Sync(ctx) }

// writeTasks commits task configs, through the leader if that is another worker.
func (w *Worker) writeTasks(ctx context.Context, name string, tasks []*store.Map) error {
	self, leader := w.Leader()
	if self {
		return w.configs.PutTasks(ctx, name, tasks)
	}
	if leader == "" {
		return fmt.Errorf("the group has no leader at the moment")
	}
	body := []byte{'['}
	for i, t := range tasks {
		if i > 0 {
			body = append(body, ',')
		}
		body = store.AppendMap(body, t)
	}
	body = append(body, ']')
	return w.internalCall(ctx, http.MethodPost, leader, "/connectors/"+url.PathEscape(name)+"/tasks", body)
}

// internalCall sends a signed request to the leader.
func (w *Worker) internalCall(ctx context.Context, method, leader, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(leader, "/")+path, strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("request to the leader: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if sig := w.sign(body); sig != "" {
		req.Header.Set("X-Connect-Authorization", sig)
		req.Header.Set("X-Connect-Request-Signature-Algorithm", w.cfg.signing.algorithm)
	}
	res, err := w.peers.Do(req)
	if err != nil {
		return fmt.Errorf("request to the leader: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return statusErrorf(res.StatusCode, "the leader %s refused %s %s: %s", leader, method, path, text)
	}
	return nil
}

func (w *Worker) sign(body []byte) string {
	return base64.StdEncoding.EncodeToString(mac(w.configs.Session(), w.cfg.signing.algorithm, body))
}

// VerifyInternal checks the signature of a request between workers.
func (w *Worker) VerifyInternal(header http.Header, body []byte) error {
	if w.member == nil {
		return statusErrorf(404, "HTTP 404 Not Found")
	}
	if v := w.view.Load(); !v.lost && !v.sessioned {
		return nil // some member is too old to sign
	}
	const noSignature = "Internal request missing required signature"
	auths, algs := header["X-Connect-Authorization"], header["X-Connect-Request-Signature-Algorithm"]
	if len(auths) == 0 || len(algs) == 0 {
		return statusErrorf(400, noSignature)
	}
	alg := algs[0]
	if !javaMAC(alg) {
		return statusErrorf(400, "Algorithm %s not available", alg)
	}
	sig, problem := javaBase64(auths[0])
	if problem != "" {
		return statusErrorf(400, "%s", problem)
	}
	if !slices.Contains(w.cfg.signing.accepted, alg) {
		return statusErrorf(400, "This worker does not support the '%s' key signing algorithm used by other workers. This worker is currently configured to use: %v. Check that all workers' configuration files permit the same set of signature algorithms, and correct any misconfigured worker and restart it.", alg, w.cfg.signing.accepted)
	}
	want := mac(w.configs.Session(), alg, body)
	if want == nil {
		return statusErrorf(503, "This worker is still starting up and has not been able to read a session key from the config topic yet")
	}
	if !hmac.Equal(want, sig) {
		return statusErrorf(403, "Internal request contained invalid signature.")
	}
	return nil
}

// PutTasks answers the internal POST …/tasks of a worker that owns the connector.
func (w *Worker) PutTasks(ctx context.Context, name string, tasks []*store.Map) error {
	if w.configs.Get(name) == nil {
		return notFound(name)
	}
	return w.configs.PutTasks(ctx, name, tasks)
}
