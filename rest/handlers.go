package rest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// routes is the table of endpoints.
func (s *Server) routes() {
	add := s.rt.add
	if s.opt.OnlyAdmin {
		s.adminRoutes()
		return
	}
	add("GET", "/", s.root)
	add("GET", "/health", s.health)
	for _, r := range s.rt.routes {
		r.anyBody = true
	}
	add("GET", "/connectors", s.ready(s.list))
	add("POST", "/connectors", s.ready(s.onLeader(s.create)))
	add("GET", "/connectors/*", s.ready(s.info))
	add("DELETE", "/connectors/*", s.ready(s.onLeader(s.remove)))
	add("GET", "/connectors/*/config", s.ready(s.config))
	add("PUT", "/connectors/*/config", s.ready(s.onLeader(s.putConfig)))
	add("PATCH", "/connectors/*/config", s.ready(s.onLeader(s.patchConfig)))
	add("GET", "/connectors/*/status", s.ready(s.status))
	add("GET", "/connectors/*/tasks", s.ready(s.tasks))
	add("POST", "/connectors/*/tasks", s.ready(s.onLeader(s.putTasks)))
	add("PUT", "/connectors/*/fence", s.ready(s.onLeader(s.fence)))
	add("GET", "/connectors/*/tasks/*/status", s.ready(s.taskStatus))
	add("POST", "/connectors/*/tasks/*/restart", s.ready(s.restartTask))
	add("POST", "/connectors/*/restart", s.ready(s.restart))
	add("PUT", "/connectors/*/pause", s.ready(s.target(store.Paused)))
	add("PUT", "/connectors/*/resume", s.ready(s.target(store.Started)))
	add("PUT", "/connectors/*/stop", s.ready(s.onLeader(s.stop)))
	add("GET", "/connectors/*/topics", s.ready(s.topics))
	add("GET", "/connectors/*/topics/*/records", s.ready(s.records))
	add("PUT", "/connectors/*/topics/reset", s.ready(s.resetTopics))
	add("POST", "/connectors/*/signals", s.ready(s.signal))
	add("GET", "/connectors/*/log", s.ready(s.recentLog))
	add("GET", "/worker/rebalances", s.ready(s.rebalances))
	if s.opt.Doctor != nil {
		add("GET", "/connectors/*/doctor", s.ready(s.examineRunning))
		add("PUT", "/connector-plugins/*/config/doctor", s.examine)
	}
	add("GET", "/connectors/*/offsets", s.ready(s.offsets))
	add("PATCH", "/connectors/*/offsets", s.ready(s.onLeader(s.alterOffsets)))
	add("DELETE", "/connectors/*/offsets", s.ready(s.onLeader(s.resetOffsets)))
	add("GET", "/connector-plugins", s.plugins)
	add("GET", "/connector-plugins/*/config", s.pluginConfig)
	add("PUT", "/connector-plugins/*/config/validate", s.validate)
	if !s.opt.NoAdmin {
		s.adminRoutes()
	}
	if s.opt.Metrics != nil {
		add("GET", "/metrics", func(c *call) error { s.opt.Metrics.ServeHTTP(c.w, c.r); return nil })
		s.rt.routes[len(s.rt.routes)-1].plain = true
	}
}

func (s *Server) adminRoutes() {
	s.rt.add("GET", "/admin/loggers", s.loggers)
	s.rt.add("GET", "/admin/loggers/*", s.logger)
	s.rt.add("PUT", "/admin/loggers/*", s.ready(s.setLogger))
}

// ready waits until the worker has read its storage.
func (s *Server) ready(h handler) handler {
	return func(c *call) error {
		if err := s.b.Ready(c.r.Context()); err != nil {
			return err
		}
		return h(c)
	}
}

func (s *Server) root(c *call) error {
	return c.json(200, struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Cluster string `json:"kafka_cluster_id"`
	}{s.opt.Version, s.opt.Commit, s.b.ClusterID()})
}

type healthReply struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (s *Server) health(c *call) error {
	select {
	case <-readyNow(s.b, c):
		return c.json(200, healthReply{"healthy", "Worker has completed startup and is ready to handle requests."})
	default:
		return c.json(503, healthReply{"starting", "Worker is still starting up."})
	}
}

func (s *Server) list(c *call) error {
	q := query(c.r)
	if !q.Has("expand") {
		return c.json(200, s.b.Names())
	}
	type expanded struct {
		Info   *worker.ConnectorInfo       `json:"info,omitempty"`
		Status *worker.ConnectorStatusInfo `json:"status,omitempty"`
	}
	out := map[string]expanded{}
	for _, n := range s.b.Names() {
		var e expanded
		var err error
		for _, x := range q["expand"] {
			switch x {
			case "info":
				e.Info, err = s.b.Info(n)
			case "status":
				e.Status, err = s.b.Status(n)
			}
			if err != nil {
				break
			}
		}
		if err == nil { // not there any more, or no status yet: left out
			out[n] = e
		}
	}
	return c.json(200, out)
}

func (s *Server) create(c *call) error {
	req, err := parseCreate(c)
	if err != nil {
		return err
	}
	name := strings.TrimFunc(req.name, func(r rune) bool { return r <= ' ' }) // String.trim: control characters too
	if err := nameMatches(name, req.config); err != nil {
		return err
	}
	info, err := s.b.Create(c.r.Context(), name, req.config, req.initial)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", location(c.r, name))
	return c.json(201, info)
}

// nameMatches checks the name in the config against the one in the request and
// adds it if it is missing.
func nameMatches(name string, config *store.Map) error {
	n, ok := config.Get("name")
	switch {
	case !ok || config.IsNull("name"):
		config.Put("name", name)
	case n != name:
		return &worker.StatusError{Code: 400, Msg: "Connector name configuration (" + n + ") doesn't match connector name in the URL (" + name + ")"}
	}
	return nil
}

// location is the absolute address of a connector, at the address that was asked.
func location(r *http.Request, name string) string {
	host := r.Host
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + host + "/connectors/" + escape(name)
}

// escape encodes a path segment as Jersey does.
func escape(s string) string {
	const plain = "-._~!$&'()*+,;=:@"
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			sb.WriteByte(c)
			continue
		}
		if c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			sb.WriteByte(c) // what looks encoded is taken as encoded
			continue
		}
		const hex = "0123456789ABCDEF"
		sb.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return sb.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *Server) info(c *call) error {
	info, err := s.b.Info(c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, info)
}

func (s *Server) remove(c *call) error {
	if err := s.b.Delete(c.r.Context(), c.args[0]); err != nil {
		return err
	}
	return c.empty(204)
}

func (s *Server) config(c *call) error {
	info, err := s.b.Info(c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, info.Config)
}

func (s *Server) putConfig(c *call) error {
	config, err := parseConfig(c)
	if err != nil {
		return err
	}
	name := c.args[0]
	if err := nameMatches(name, config); err != nil {
		return err
	}
	info, created, err := s.b.Put(c.r.Context(), name, config)
	if err != nil {
		return err
	}
	if created {
		c.w.Header().Set("Location", location(c.r, name))
		return c.json(201, info)
	}
	return c.json(200, info)
}

func (s *Server) patchConfig(c *call) error {
	b, err := c.body()
	if err != nil {
		return err
	}
	if _, err := s.b.Info(c.args[0]); err != nil && (len(strings.TrimSpace(string(b))) == 0 || strings.TrimSpace(string(b)) == "null") {
		return err
	}
	patch, err := configOf(b)
	if err != nil {
		return err
	}
	info, err := s.b.Patch(c.r.Context(), c.args[0], patch)
	if err != nil {
		return err
	}
	return c.json(200, info)
}

func (s *Server) status(c *call) error {
	st, err := s.b.Status(c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, st)
}

func (s *Server) tasks(c *call) error {
	ts, err := s.b.TaskInfos(c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, ts)
}

func taskNumber(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, &worker.StatusError{Code: 404, Msg: httpText(404)}
	}
	return int(n), nil
}

func (s *Server) taskStatus(c *call) error {
	n, err := taskNumber(c.args[1])
	if err != nil {
		return err
	}
	st, err := s.b.TaskStatus(c.args[0], n)
	if err != nil {
		return err
	}
	return c.json(200, st)
}

func (s *Server) restartTask(c *call) error {
	n, err := taskNumber(c.args[1])
	if err != nil {
		return err
	}
	if there, err := s.elsewhere(c, c.args[0], n); there || err != nil {
		return err
	}
	if err := s.b.RestartTask(c.r.Context(), c.args[0], n); err != nil {
		return err
	}
	return c.empty(204)
}

func (s *Server) restart(c *call) error {
	q := query(c.r)
	include, failed := flag(q, "includeTasks"), flag(q, "onlyFailed")
	if !include && !failed {
		if there, err := s.elsewhere(c, c.args[0], -1); there || err != nil {
			return err
		}
		if err := s.b.Restart(c.r.Context(), c.args[0]); err != nil {
			return err
		}
		return c.empty(204)
	}
	return s.onLeader(func(c *call) error {
		st, err := s.b.RestartMany(c.r.Context(), c.args[0], include, failed)
		if err != nil {
			return err
		}
		return c.json(202, st)
	})(c)
}

// flag reads a query parameter as Java's Boolean.valueOf does.
func flag(q url.Values, name string) bool { return strings.EqualFold(q.Get(name), "true") }

func (s *Server) target(t store.TargetState) handler {
	return func(c *call) error {
		if err := s.b.SetTarget(c.r.Context(), c.args[0], t); err != nil {
			return err
		}
		return c.empty(202)
	}
}

func (s *Server) stop(c *call) error {
	if err := s.b.StopConnector(c.r.Context(), c.args[0]); err != nil {
		return err
	}
	return c.empty(204)
}

func (s *Server) topics(c *call) error {
	ts, err := s.b.Topics(c.args[0])
	if err != nil {
		return err
	}
	type list struct {
		Topics []string `json:"topics"`
	}
	return c.json(200, map[string]list{c.args[0]: {ts}})
}

func (s *Server) resetTopics(c *call) error {
	if err := s.b.ResetTopics(c.args[0]); err != nil {
		return err
	}
	return c.empty(202)
}

func (s *Server) loggers(c *call) error { return c.json(200, s.b.Loggers().All()) }

func (s *Server) logger(c *call) error {
	l, ok := s.b.Loggers().Get(c.args[0])
	if !ok {
		return &worker.StatusError{Code: 404, Msg: "Logger " + c.args[0] + " not found."}
	}
	return c.json(200, l)
}

func (s *Server) setLogger(c *call) error {
	b, err := c.body()
	if err != nil {
		return err
	}
	m, err := configOf(b)
	if err != nil {
		return err
	}
	level, ok := m.Get("level")
	if !ok || m.IsNull("level") {
		return &worker.StatusError{Code: 400, Msg: "Desired 'level' parameter was not specified in request."}
	}
	if _, ok := worker.ParseLevel(level); !ok {
		return &worker.StatusError{Code: 404, Msg: "invalid log level '" + level + "'."}
	}
	level = strings.ToUpper(level)
	cluster := strings.EqualFold(query(c.r).Get("scope"), "cluster")
	changed, err := s.b.SetLogger(c.r.Context(), c.args[0], level, cluster)
	if err != nil {
		return err
	}
	if cluster {
		return c.empty(204)
	}
	return c.json(200, changed)
}
