package ui

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

//go:embed static
var static embed.FS

//go:embed templates
var pages embed.FS

// Options of a Server.
type Options struct {
	// API is the worker's REST API.
	API http.Handler
	// Metrics are what /metrics exports.
	Metrics prometheus.Gatherer
	// ReadOnly refuses everything that changes something.
	ReadOnly bool
	// Version is shown in the foot of every page.
	Version string
	Log     *slog.Logger
}

// Server answers everything below /ui/.
type Server struct {
	opt   Options
	api   *http.Client // to Options.API, in the process
	mux   *http.ServeMux
	views *template.Template
	token string // of forms; made anew at each start
	hist  *history
	over  chan struct{} // closed when Run ends: live views end with it

	// What changes rarely and is asked for now and then.
	mu        sync.Mutex
	classOf   map[string]string
	since     map[string]time.Time // connectors that do not run as they should
	classesAt time.Time
	topicsOf  map[string][]string // of sinks
	topicsAt  time.Time
}

// New makes the server; Run keeps its history of metrics.
func New(opt Options) *Server {
	s := &Server{opt: opt, api: &http.Client{Transport: inProcess{opt.API}}, mux: http.NewServeMux(), hist: newHistory(), over: make(chan struct{})}
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // never fails
	s.token = base64.RawURLEncoding.EncodeToString(secret)
	s.views = template.Must(template.New("").Funcs(functions).ParseFS(pages, "templates/*.html"))
	s.routes()
	return s
}

// Run samples the metrics until ctx ends, and ends the live views then. It is called
// once.
func (s *Server) Run(ctx context.Context) {
	defer close(s.over)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.hist.sample(s.opt.Metrics, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Before returns a handler that answers /ui/ itself, sends a browser that asks for /
// there, and hands everything else to next.
func (s *Server) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/ui" || strings.HasPrefix(r.URL.Path, "/ui/"):
			s.ServeHTTP(w, r)
		case r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, "/ui/", http.StatusFound)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) routes() {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	assets := http.StripPrefix("/ui/static/", http.FileServerFS(files))
	s.mux.HandleFunc("GET /ui", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ui/", http.StatusFound) })
	s.mux.HandleFunc("GET /ui/static/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		assets.ServeHTTP(w, r)
	})
	s.mux.HandleFunc("GET /ui/{$}", s.page("overview", s.overview))
	s.mux.HandleFunc("GET /ui/connectors/{name}", s.page("connector", s.connector))
	s.mux.HandleFunc("GET /ui/connectors/{name}/config", s.page("config", s.config))
	s.mux.HandleFunc("GET /ui/connectors/{name}/events", s.page("events", s.events))
	s.mux.HandleFunc("GET /ui/live/events/{name}", s.liveEach(s.tailing, "events-live"))
	s.mux.HandleFunc("GET /ui/new", s.page("new", s.newConnector))
	s.mux.HandleFunc("GET /ui/cluster", s.page("cluster", s.cluster))
	s.mux.HandleFunc("GET /ui/live/overview", s.live(s.overview, "overview-live"))
	s.mux.HandleFunc("GET /ui/live/connectors/{name}", s.live(s.connector, "connector-live", "connector-tables"))
	s.mux.HandleFunc("GET /ui/data/connectors/{name}", s.data)
	s.mux.HandleFunc("POST /ui/check/validate", s.fragment("problems", s.validate))
	s.mux.HandleFunc("POST /ui/check/diff", s.fragment("diff", s.diff))
	s.mux.HandleFunc("POST /ui/check/form", s.fragment("form-checked", s.check))
	s.mux.HandleFunc("POST /ui/check/plan", s.fragment("plan", s.plan))
	s.mux.HandleFunc("GET /ui/connectors/{name}/doctor", s.page("doctor", s.doctorPage))
	s.mux.HandleFunc("POST /ui/check/doctor/{name}", s.fragment("diagnosis", s.examine))
	s.mux.HandleFunc("POST /ui/do/create", s.create)
	s.mux.HandleFunc("POST /ui/do/snapshot/{name}", s.snapshot)
	s.mux.HandleFunc("POST /ui/do/connectors/{name}/{action}", s.act)
	s.mux.HandleFunc("POST /ui/do/save", s.save)
	s.mux.HandleFunc("POST /ui/do/loggers", s.setLogger)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !strings.HasPrefix(r.URL.Path, "/ui/static/") {
		if err := s.get(r, "/", nil); err != nil && codeOf(err) == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", `Basic realm="millrace"`)
			http.Error(w, "Sign in with a user of the REST API.", http.StatusUnauthorized)
			return
		}
	}
	if r.Method == http.MethodPost && !s.genuine(r) {
		http.Error(w, "This request does not come from a page of this worker, or the worker was started anew: reload the page.", http.StatusForbidden)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/ui/do/") && s.opt.ReadOnly {
		http.Error(w, "This page is read-only (ui.read.only=true).", http.StatusForbidden)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// genuine reports whether a request that changes something was sent by a page of
// this server: it carries the token, and its origin, when told, is this host.
func (s *Server) genuine(r *http.Request) bool {
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Host != r.Host {
			return false
		}
	}
	got := r.Header.Get("X-Token")
	if got == "" {
		got = r.PostFormValue("token")
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(s.token)) == 1
}

// view is what every template gets.
type view struct {
	Title, Active string
	Token         string
	ReadOnly      bool
	Version       string
	Data          any
}

func (s *Server) view(title, active string, data any) view {
	return view{Title: title, Active: active, Token: s.token, ReadOnly: s.opt.ReadOnly, Version: s.opt.Version, Data: data}
}

// model makes the data of a page. An error is shown in its place.
type model func(r *http.Request) (title string, data any, err error)

// page answers with a whole page.
func (s *Server) page(name string, m model) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		title, data, err := m(r)
		if err != nil {
			s.render(w, codeOf(err), "failed", s.view("Not available", "", err))
			return
		}
		s.render(w, http.StatusOK, name, s.view(title, name, data))
	}
}

// fragment answers with a part of a page.
func (s *Server) fragment(name string, m model) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, data, err := m(r)
		if err != nil {
			s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
			return
		}
		s.render(w, http.StatusOK, name, s.view("", "", data))
	}
}

func (s *Server) render(w http.ResponseWriter, code int, name string, v view) {
	var out bytes.Buffer
	if err := s.views.ExecuteTemplate(&out, name, v); err != nil {
		s.opt.Log.Error("render a page", "page", name, "error", err)
		http.Error(w, "The page could not be made; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = out.WriteTo(w)
}

// liveEvery is how often a live view looks for news.
const liveEvery = 2 * time.Second

// live sends parts of a page whenever they have changed, as server-sent events that
// are named as the parts.
func (s *Server) live(m model, parts ...string) http.HandlerFunc {
	return s.liveEach(func() model { return m }, parts...)
}

// liveEach is live for a model that remembers what its reader has seen.
func (s *Server) liveEach(each func() model, parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m := each()
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Time{})
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		last := make([][]byte, len(parts))
		for quiet := 0; ; quiet++ {
			_, data, err := m(r)
			sent := quiet >= quietTicks
			for i, part := range parts {
				out, rerr := s.part(part, data, err)
				if rerr != nil {
					s.opt.Log.Error("render a page", "page", part, "error", rerr)
					return
				}
				if bytes.Equal(out, last[i]) && !(sent && i == 0) {
					continue
				}
				last[i], quiet = out, 0
				if writeEvent(w, part, out) != nil {
					return
				}
				sent = true
			}
			if sent && rc.Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-s.over:
				return
			case <-tick.C:
			}
		}
	}
}

// quietTicks is after how many looks without news a part is sent again, so that
// proxies keep the connection and the page knows that the worker is there.
const quietTicks = 5

// part renders a part of a page, or what is in its way.
func (s *Server) part(name string, data any, err error) ([]byte, error) {
	if err != nil {
		name, data = "failed-part", err
	}
	var out bytes.Buffer
	if err := s.views.ExecuteTemplate(&out, name, s.view("", "", data)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeEvent(w http.ResponseWriter, name string, data []byte) error {
	if _, err := fmt.Fprintf(w, "event: %s\n", name); err != nil {
		return err
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if _, err := fmt.Fprintf(w, "data: %s\n", bytes.TrimRight(line, "\r")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(w, "\n")
	return err
}
