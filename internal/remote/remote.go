// Package remote drives a worker through its REST API: what the subcommands status,
// apply, pause, … of the millrace command do. It works with workers of Kafka Connect
// too.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client is a worker's REST API. The zero HTTP client gives up after a minute.
type Client struct {
	// URL is the API's address, such as http://127.0.0.1:8083.
	URL string
	// User and Password are for basic authentication; no user: none.
	User, Password string
	// HTTP sends the requests; nil: a client with a timeout.
	HTTP *http.Client
}

// Error is an answer that is no success, in the worker's own words.
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string { return e.Message }

// Do makes a request with a JSON body, if body is not nil, and reads the answer
// into v, if v is not nil.
func (c *Client) Do(ctx context.Context, method, path string, body, v any) error {
	var payload io.Reader
	if body != nil {
		out, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		payload = bytes.NewReader(out)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, payload)
	if err != nil {
		return fmt.Errorf("the address %q: %w", c.URL, err)
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.User != "" {
		r.SetBasicAuth(c.User, c.Password)
	}
	hc := c.HTTP
	if hc == nil {
		hc = &http.Client{Timeout: time.Minute}
	}
	resp, err := hc.Do(r)
	if err != nil {
		return fmt.Errorf("reach the worker: %w; is it running, and is --url right?", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the worker's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		return failure(resp.StatusCode, method, path, data)
	}
	if v == nil || len(data) == 0 {
		return nil
	}
	if raw, ok := v.(*json.RawMessage); ok {
		*raw = data
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read the worker's answer to %s %s: %w", method, path, err)
	}
	return nil
}

func failure(code int, method, path string, body []byte) error {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &m) == nil && m.Message != "" {
		return &Error{code, m.Message}
	}
	if code == http.StatusUnauthorized {
		return &Error{code, "the worker wants a user and password: --user NAME:PASSWORD, or MILLRACE_USER in the environment"}
	}
	return &Error{code, fmt.Sprintf("%s %s: HTTP %d", method, path, code)}
}

// Path is the path of a connector's resource, such as "/pause".
func Path(name, rest string) string { return "/connectors/" + url.PathEscape(name) + rest }

// Connector is one connector with its state.
type Connector struct {
	Info struct {
		Name   string            `json:"name"`
		Type   string            `json:"type"`
		Config map[string]string `json:"config"`
	} `json:"info"`
	Status Status `json:"status"`
}

// Status is the answer of /connectors/NAME/status.
type Status struct {
	Name      string  `json:"name"`
	Type      string  `json:"type"`
	Connector State   `json:"connector"`
	Tasks     []State `json:"tasks"`
}

// State is that of a connector or task.
type State struct {
	ID     int    `json:"id"`
	State  string `json:"state"`
	Worker string `json:"worker_id"`
	Trace  string `json:"trace,omitempty"`
}

// Failed reports whether the connector or one of its tasks failed.
func (s *Status) Failed() bool {
	for _, t := range append([]State{s.Connector}, s.Tasks...) {
		if t.State == "FAILED" {
			return true
		}
	}
	return false
}

// Overall is the state that a list shows: FAILED when anything failed.
func (s *Status) Overall() string {
	if s.Failed() {
		return "FAILED"
	}
	return s.Connector.State
}

// All returns all connectors by name.
func (c *Client) All(ctx context.Context) (map[string]*Connector, error) {
	var out map[string]*Connector
	err := c.Do(ctx, http.MethodGet, "/connectors?expand=status&expand=info", nil, &out)
	return out, err
}

// Config returns a connector's config.
func (c *Client) Config(ctx context.Context, name string) (map[string]string, error) {
	var out map[string]string
	err := c.Do(ctx, http.MethodGet, Path(name, "/config"), nil, &out)
	return out, err
}
