package rest

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// headers adds what response.http.headers.config asks for.
func (s *Server) headers(w http.ResponseWriter) {
	for _, h := range s.opt.Headers {
		v := h.Value
		if h.Date {
			ms, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				ms = 0
			}
			v = time.Now().Add(time.Duration(ms) * time.Millisecond).UTC().Format(http.TimeFormat)
		}
		if h.Set {
			w.Header().Set(h.Name, v)
		} else {
			w.Header().Add(h.Name, v)
		}
	}
}

// admits checks the user of a request. Requests between workers are signed instead
// (POST …/tasks, PUT …/fence).
func (s *Server) admits(r *http.Request, escaped string) bool {
	if s.opt.MayEnter == nil {
		return true
	}
	segs := split(escaped)
	if len(segs) == 3 && segs[0] == "connectors" && (r.Method == http.MethodPost && segs[2] == "tasks" || r.Method == http.MethodPut && segs[2] == "fence") {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && s.opt.MayEnter(user, password)
}

// refuse answers a request without the right user, in Connect's words.
func refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Basic")
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, "User cannot access the resource.")
}
