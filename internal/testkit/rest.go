package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Rest drives a daemon that speaks the Kafka Connect REST API.
type Rest struct {
	URL string // http://host:port
}

// StatusError is a reply with a status code of 300 or more.
type StatusError struct {
	Method, Path, Body string
	Code               int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Code, e.Body)
}

// IsStatus reports whether err is a reply with this status code.
func IsStatus(err error, code int) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Code == code
}

// Status is the reply of GET /connectors/NAME/status.
type Status struct {
	Name      string `json:"name"`
	Connector struct {
		State string `json:"state"`
		Trace string `json:"trace"`
	} `json:"connector"`
	Tasks []struct {
		ID    int    `json:"id"`
		State string `json:"state"`
		Trace string `json:"trace"`
	} `json:"tasks"`
}

// Do sends a request with a JSON body (nil: none) and decodes the reply into
// reply (nil: thrown away). A 409, which a worker gives while it rebalances, is
// tried again for 30 s.
func (r *Rest) Do(ctx context.Context, method, path string, body, reply any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for tries := 0; ; tries++ {
		err := r.once(ctx, method, path, payload, reply)
		if !IsStatus(err, http.StatusConflict) || tries == 60 {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Rest) once(ctx context.Context, method, path string, payload []byte, reply any) error {
	req, err := http.NewRequestWithContext(ctx, method, r.URL+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return &StatusError{Method: method, Path: path, Body: string(b), Code: res.StatusCode}
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(b, reply)
}

// WaitRunning waits until a connector and all of its tasks are RUNNING. A FAILED
// one is an error that holds its trace.
func (r *Rest) WaitRunning(ctx context.Context, name string) error {
	for {
		var s Status
		err := r.Do(ctx, http.MethodGet, "/connectors/"+name+"/status", nil, &s)
		if err != nil && !IsStatus(err, http.StatusNotFound) {
			return err
		}
		running := len(s.Tasks) > 0
		for _, t := range s.Tasks {
			if t.State == "FAILED" {
				return fmt.Errorf("connector %s: task %d FAILED: %s", name, t.ID, t.Trace)
			}
			running = running && t.State == "RUNNING"
		}
		if running && s.Connector.State == "RUNNING" {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("connector %s is not RUNNING: %w; status %+v", name, ctx.Err(), s)
		}
	}
}
