package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// Reader is what REST reads about connectors.
type Reader interface {
	Names() []string
	Info(name string) (*worker.ConnectorInfo, error)
	TaskInfos(name string) ([]worker.TaskInfo, error)
	Status(name string) (*worker.ConnectorStatusInfo, error)
	TaskStatus(name string, task int) (*worker.TaskStatusInfo, error)
}

// Writer changes what connectors there are.
type Writer interface {
	Create(ctx context.Context, name string, config *store.Map, initial store.TargetState) (*worker.ConnectorInfo, error)
	Put(ctx context.Context, name string, config *store.Map) (info *worker.ConnectorInfo, created bool, err error)
	Patch(ctx context.Context, name string, patch *store.Map) (*worker.ConnectorInfo, error)
	Delete(ctx context.Context, name string) error
}

// Runner changes what connectors do.
type Runner interface {
	SetTarget(ctx context.Context, name string, t store.TargetState) error
	StopConnector(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	RestartMany(ctx context.Context, name string, includeTasks, onlyFailed bool) (*worker.ConnectorStatusInfo, error)
	RestartTask(ctx context.Context, name string, task int) error
}

// OffsetKeeper reads and changes the offsets of connectors, and their topics.
type OffsetKeeper interface {
	Offsets(ctx context.Context, name string) ([]worker.OffsetEntry, error)
	AlterOffsets(ctx context.Context, name string, offsets []worker.OffsetEntry) (string, error)
	ResetOffsets(ctx context.Context, name string) (string, error)
	Topics(name string) ([]string, error)
	ResetTopics(name string) error
}

// Catalog describes plugins and validates configs.
type Catalog interface {
	Plugins(connectorsOnly bool) []worker.PluginInfo
	PluginConfig(name, version string) ([]worker.ConfigKey, error)
	ValidateConfig(ctx context.Context, plugin string, config *store.Map) (*worker.ConfigInfos, error)
}

// Admin is about the worker itself.
type Admin interface {
	Ready(ctx context.Context) error
	ClusterID() string
	Loggers() *worker.Loggers
	SetLogger(ctx context.Context, ns, level string, cluster bool) ([]string, error)
}

// Group tells where in the group of workers a request belongs.
type Group interface {
	// Leader: self, or the leader's address ("" unknown).
	Leader() (self bool, url string)
	// Owner of a connector (task -1) or task: self, or its address if known.
	Owner(name string, task int) (self bool, url string)
	SyncConfigs(ctx context.Context) error
	// VerifyInternal checks the signature of a request between workers.
	VerifyInternal(header http.Header, body []byte) error
	PutTasks(ctx context.Context, name string, tasks []*store.Map) error
}

// Fencer keeps tasks of earlier configs from writing (exactly-once).
type Fencer interface {
	FenceTasks(ctx context.Context, name string) error
}

// Viewer shows what Connect does not: records of topics, rebalances of the group.
type Viewer interface {
	Rebalances() worker.Rebalances
	Records(ctx context.Context, name, topic string, q worker.RecordQuery) ([]worker.TopicRecord, error)
}

// Backend is all of it; in a daemon every part is the *worker.Worker.
type Backend struct {
	Reader
	Writer
	Runner
	OffsetKeeper
	Catalog
	Admin
	Group
	Fencer
	Viewer
	Signaler
}

// Options of a Server.
type Options struct {
	// Timeout is how long a request may take; 90 s in Connect.
	Timeout time.Duration
	// Metrics answers /metrics. May be nil.
	Metrics http.Handler
	// Origins may call from a browser page of theirs ("*" all); Methods limits what
	// they may do, all when empty.
	Origins, Methods []string
	// NoAdmin leaves /admin out; OnlyAdmin leaves out everything else.
	NoAdmin, OnlyAdmin bool
	// Headers are added to every answer.
	Headers []worker.HeaderRule
	// MayEnter checks the user and password that every request but those between
	// workers must carry. nil: nobody has to.
	MayEnter func(user, password string) bool
	// Doctor examines connectors; nil: the resource is not there.
	Doctor Doctor
	// Client sends requests to other workers; nil: one without TLS settings.
	Client *http.Client
	// Version and Commit are shown by GET /.
	Version, Commit string
	Log             *slog.Logger
}

// Server is the http.Handler of a worker.
type Server struct {
	b      Backend
	opt    Options
	rt     router
	client *http.Client // for requests to other workers
}

// New makes the handler.
func New(b Backend, opt Options) *Server {
	if opt.Timeout <= 0 {
		opt.Timeout = 90 * time.Second
	}
	s := &Server{b: b, opt: opt, client: opt.Client}
	if s.client == nil {
		s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	s.routes()
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.headers(w)
	if s.cors(w, r) {
		return
	}
	path := withoutParameters(rawPath(r))
	if !s.admits(r, path) {
		refuse(w)
		return
	}
	if s.refusesPath(w, r, path) {
		return
	}
	if r.Method == http.MethodConnect {
		htmlPage(w, http.StatusBadRequest, http.StatusText(http.StatusBadRequest))
		return
	}
	if _, _, ok := contentType(r); !ok {
		jettyError(w, r, http.StatusBadRequest, http.StatusText(http.StatusBadRequest))
		return
	}
	route, args := s.rt.match(path)
	if route == nil {
		plainError(w, http.StatusNotFound)
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h := route.methods[method]
	if h == nil && method != http.MethodOptions {
		plainError(w, http.StatusMethodNotAllowed)
		return
	}
	answer, done := mediaProblem(w, r, route)
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Timeout)
	defer cancel()
	if err := h(&call{w: w, r: r.WithContext(ctx), args: args, answer: answer}); err != nil {
		s.fail(w, r, answer, err)
	}
}

// cors answers preflight requests and marks answers for allowed origins.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || !allows(s.opt.Origins, origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Add("Vary", "Origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	methods := s.opt.Methods
	if len(methods) == 0 {
		methods = []string{"GET", "POST", "HEAD"}
	}
	w.Header().Set("Access-Control-Allow-Methods", strings.Join(methods, ","))
	w.Header().Set("Access-Control-Allow-Headers", "X-Requested-With,Content-Type,Accept,Origin")
	w.WriteHeader(http.StatusOK)
	return true
}

func allows(origins []string, origin string) bool {
	for _, o := range origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, answer string, err error) {
	var se *worker.StatusError
	if !errors.As(err, &se) {
		se = &worker.StatusError{Code: http.StatusInternalServerError, Msg: err.Error()}
		if errors.Is(err, context.DeadlineExceeded) {
			se.Msg = "Request timed out. " + se.Msg
		}
		if r.Context().Err() != nil && errors.Is(err, context.Canceled) { // who asked has gone, such as a page that was left
			s.opt.Log.Debug("a request was given up", "method", r.Method, "path", r.URL.Path, "error", err)
		} else {
			s.opt.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	}
	writeError(w, answer, se)
}

func httpText(code int) string {
	return fmt.Sprintf("HTTP %d %s", code, http.StatusText(code))
}

// plainError is an error about the path or method: a JSON body without a
// Content-Type header, as Connect sends it.
func plainError(w http.ResponseWriter, code int) {
	w.Header()["Content-Type"] = nil
	w.WriteHeader(code)
	_, _ = w.Write(errorBody(code, httpText(code)))
}

func writeError(w http.ResponseWriter, answer string, e *worker.StatusError) {
	w.Header().Set("Content-Type", answer)
	w.WriteHeader(e.Code)
	_, _ = w.Write(errorBody(e.Code, e.Msg))
}

func errorBody(code int, msg string) []byte {
	b := strconv.AppendInt([]byte(`{"error_code":`), int64(code), 10)
	b = store.AppendJSONString(append(b, `,"message":`...), msg)
	return append(b, '}')
}

// json answers a JSON document.
func (c *call) json(code int, v any) error {
	c.w.Header().Set("Content-Type", c.answer)
	c.w.WriteHeader(code)
	enc := json.NewEncoder(trim{c.w})
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// trim drops the newline that Encode adds.
type trim struct{ w io.Writer }

func (t trim) Write(p []byte) (int, error) {
	n := len(p)
	if n > 0 && p[n-1] == '\n' {
		p = p[:n-1]
	}
	_, err := t.w.Write(p)
	return n, err
}

func (c *call) empty(code int) error {
	c.w.WriteHeader(code)
	return nil
}

// maxBody bounds what a request may send.
const maxBody = 64 << 20

// body reads a JSON body.
func (c *call) body() ([]byte, error) {
	if err := bodyProblem(c.r); err != nil {
		return nil, err
	}
	return c.bytes()
}

// bytes reads a body of whatever type.
func (c *call) bytes() ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return nil, &worker.StatusError{Code: 500, Msg: "cannot read the request: " + err.Error()}
	}
	return b, nil
}
