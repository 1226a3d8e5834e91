package rest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// Texts of a request that cannot be answered at the moment; clients try again.
var (
	errNoLeader = &worker.StatusError{Code: 409, Msg: "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway."}
	errConflict = &worker.StatusError{Code: 409, Msg: "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"}
)

// onLeader answers on the leader and forwards from every other worker.
func (s *Server) onLeader(h handler) handler {
	return func(c *call) error {
		self, url := s.leader(c)
		if self {
			return h(c)
		}
		return s.forward(c, url)
	}
}

// leader waits a while for the group to have one: during a rebalance requests
// wait, as in Connect, instead of failing.
func (s *Server) leader(c *call) (self bool, url string) {
	for end := time.Now().Add(leaderWait); ; time.Sleep(10 * time.Millisecond) {
		if self, url = s.b.Leader(); self || url != "" || c.r.Context().Err() != nil || time.Now().After(end) {
			return self, url
		}
	}
}

// leaderWait is how long a request waits for a leader before it answers 409.
const leaderWait = 15 * time.Second

// elsewhere forwards a restart to where the connector or task runs; only the
// leader knows where that is. true: answered.
func (s *Server) elsewhere(c *call, name string, task int) (bool, error) {
	if _, err := s.b.Info(name); err != nil {
		return false, nil // the answer is a 404, here as anywhere
	}
	self, owner := s.b.Owner(name, task)
	if self {
		return false, nil
	}
	leads, leader := s.leader(c)
	if !leads {
		return true, s.forward(c, leader)
	}
	if owner == "" {
		// Nobody runs it: unknown, or the group is still assigning.
		return false, nil
	}
	return true, s.forward(c, owner)
}

// forward sends a request to another worker and passes its answer on. Two hops at
// most: the first says forward=true, the second forward=false.
func (s *Server) forward(c *call, to string) error {
	if to == "" {
		return errNoLeader
	}
	q := query(c.r)
	next := "true"
	switch {
	case flag(q, "forward"):
		next = "false"
	case q.Has("forward"):
		return errConflict
	}
	q.Set("forward", next)
	body, err := c.bytes()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(c.r.Context(), c.r.Method, strings.TrimSuffix(to, "/")+rawPath(c.r)+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		return &worker.StatusError{Code: 500, Msg: "IO Error trying to forward REST request: " + err.Error()}
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	passAuthorization(req, c.r)
	res, err := s.client.Do(req)
	if err != nil {
		return &worker.StatusError{Code: 500, Msg: "IO Error trying to forward REST request: " + err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return &worker.StatusError{Code: 500, Msg: "IO Error trying to forward REST request: " + err.Error()}
	}
	if res.StatusCode/100 == 2 {
		// What was written must be readable here when the client hears of it.
		if err := s.b.SyncConfigs(c.r.Context()); err != nil {
			s.opt.Log.Warn("cannot read the configs after a forwarded request", "error", err)
		}
	}
	if l := res.Header.Get("Location"); l != "" {
		c.w.Header().Set("Location", location(c.r, created(l)))
	}
	if ct := res.Header.Get("Content-Type"); len(answer) > 0 && strings.HasPrefix(ct, jsonType) {
		c.w.Header().Set("Content-Type", c.answer)
	} else if ct != "" && len(answer) > 0 {
		c.w.Header().Set("Content-Type", ct)
	}
	c.w.WriteHeader(res.StatusCode)
	_, err = c.w.Write(answer)
	return err
}

// passAuthorization has a request to another worker made as who asked here.
func passAuthorization(to, from *http.Request) {
	for _, h := range []string{"Authorization", "X-Connect-Authorization", "X-Connect-Request-Signature-Algorithm"} {
		if v := from.Header.Get(h); v != "" {
			to.Header.Set(h, v)
		}
	}
}

// created is the name in another worker's Location.
func created(l string) string {
	_, name, _ := strings.Cut(l, "/connectors/")
	return name // encoded already, and location leaves that alone
}

// putTasks is how the worker that owns a connector commits its task configs.
func (s *Server) putTasks(c *call) error {
	b, err := c.bytes()
	if err != nil {
		return err
	}
	v, err := document(b)
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok && (v != nil || len(b) == 0) {
		return bodyError("the body must be a list of task configs")
	}
	tasks := make([]*store.Map, 0, len(list))
	for _, e := range list {
		o, ok := e.(*store.Object)
		if e == nil {
			o, ok = &store.Object{}, true // as Connect takes it: no properties
		}
		if !ok {
			return bodyError("a task config must be a JSON object")
		}
		m, err := store.StringMap(o)
		if err != nil {
			return bodyError(err.Error())
		}
		tasks = append(tasks, store.HashOf(m))
	}
	if err := s.b.VerifyInternal(c.r.Header, b); err != nil {
		return err
	}
	if err := s.b.PutTasks(c.r.Context(), c.args[0], tasks); err != nil {
		return err
	}
	return c.empty(204)
}

// fence is how a worker that is about to start a task has the leader fence those
// before it.
func (s *Server) fence(c *call) error {
	b, err := c.bytes()
	if err != nil {
		return err
	}
	if err := s.b.VerifyInternal(c.r.Header, b); err != nil {
		return err
	}
	if err := s.b.FenceTasks(c.r.Context(), c.args[0]); err != nil {
		return err
	}
	return c.empty(204)
}
