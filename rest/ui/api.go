package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// answer is what the REST API said.
type answer struct {
	code int
	body []byte
}

// apiError is an answer that is no success, in the API's own words.
type apiError struct {
	code    int
	message string
}

func (e *apiError) Error() string { return e.message }

func codeOf(err error) int {
	var e *apiError
	if errors.As(err, &e) {
		return e.code
	}
	return http.StatusInternalServerError
}

// call asks the API in the process, as the user who asked for the page.
func (s *Server) call(r *http.Request, method, path string, body any) answer {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return answer{http.StatusInternalServerError, []byte(err.Error())}
		}
	}
	in, err := http.NewRequestWithContext(r.Context(), method, path, bytes.NewReader(payload))
	if err != nil {
		return answer{http.StatusInternalServerError, []byte(err.Error())}
	}
	in.RemoteAddr, in.Host = r.RemoteAddr, r.Host
	in.Header.Set("Accept", "application/json")
	if body != nil {
		in.Header.Set("Content-Type", "application/json")
	}
	if a := r.Header.Get("Authorization"); a != "" {
		in.Header.Set("Authorization", a)
	}
	out := &recorder{header: http.Header{}, code: http.StatusOK}
	s.opt.API.ServeHTTP(out, in)
	return answer{out.code, out.body.Bytes()}
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

// get reads a resource into v.
func (s *Server) get(r *http.Request, path string, v any) error {
	return s.send(r, http.MethodGet, path, nil, v)
}

// send makes a request and reads the answer into v, unless v is nil.
func (s *Server) send(r *http.Request, method, path string, body, v any) error {
	a := s.call(r, method, path, body)
	if a.code >= 300 {
		e := &apiError{code: a.code, message: fmt.Sprintf("%s %s: HTTP %d", method, path, a.code)}
		var m struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(a.body, &m) == nil && m.Message != "" {
			e.message = m.Message
		}
		return e
	}
	if v == nil || len(a.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// Bodies of the REST API, as far as pages use them.
type (
	connectorBody struct {
		Info   infoBody   `json:"info"`
		Status statusBody `json:"status"`
	}
	infoBody struct {
		Name   string            `json:"name"`
		Config map[string]string `json:"config"`
		Type   string            `json:"type"`
	}
	statusBody struct {
		Name      string      `json:"name"`
		Connector stateBody   `json:"connector"`
		Tasks     []stateBody `json:"tasks"`
		Type      string      `json:"type"`
	}
	stateBody struct {
		ID     int    `json:"id"`
		State  string `json:"state"`
		Worker string `json:"worker_id"`
		Trace  string `json:"trace"`
	}
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

func connectorPath(name, rest string) string { return "/connectors/" + url.PathEscape(name) + rest }
