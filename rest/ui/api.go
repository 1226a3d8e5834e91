package ui

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"millrace/internal/remote"
)

// inProcess sends a client's requests to a handler, without a connection.
type inProcess struct{ api http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := &recorder{header: http.Header{}, code: http.StatusOK}
	t.api.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.code, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

// recorder keeps the answer to a request made in the process.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(code int)        { w.code = code }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// client asks the API as the user who asked for the page.
func (s *Server) client(r *http.Request) *remote.Client {
	user, password, _ := r.BasicAuth()
	return &remote.Client{URL: "http://worker", User: user, Password: password, HTTP: s.api}
}

// get reads a resource into v.
func (s *Server) get(r *http.Request, path string, v any) error {
	return s.send(r, http.MethodGet, path, nil, v)
}

// send makes a request and reads the answer into v, unless v is nil.
func (s *Server) send(r *http.Request, method, path string, body, v any) error {
	return s.client(r).Do(r.Context(), method, path, body, v)
}

func codeOf(err error) int {
	var e *remote.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return http.StatusInternalServerError
}

// Bodies of the REST API, as far as pages use them.
type (
	pluginBody struct {
		Class   string `json:"class"`
		Type    string `json:"type"`
		Version string `json:"version"`
	}
	keyBody struct {
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Required bool    `json:"required"`
		Default  *string `json:"default_value"`
		Priority string  `json:"importance"`
		Doc      string  `json:"documentation"`
		Group    string  `json:"group"`
		Display  string  `json:"display_name"`
	}
	validationBody struct {
		Name    string `json:"name"`
		Errors  int    `json:"error_count"`
		Configs []struct {
			Definition keyBody `json:"definition"`
			Value      *struct {
				Name        string   `json:"name"`
				Value       *string  `json:"value"`
				Recommended []string `json:"recommended_values"`
				Errors      []string `json:"errors"`
			} `json:"value"`
		} `json:"configs"`
	}
)
