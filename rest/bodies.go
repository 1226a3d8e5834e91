package rest

import (
	"context"
	"strings"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// createRequest is the body of POST /connectors.
type createRequest struct {
	name    string
	config  *store.Map
	initial store.TargetState
}

// bodyError is a body that cannot be read. Connect answers 500 for those, not
// 400, and clients know it so.
func bodyError(format string) error { return &worker.StatusError{Code: 500, Msg: format} }

// noConfig is a request without a config.
func noConfig() error {
	return &worker.StatusError{Code: 400, Msg: "the request has no connector config; send a JSON object of its properties"}
}

func parseCreate(c *call) (*createRequest, error) {
	b, err := c.body()
	if err != nil {
		return nil, err
	}
	v, err := document(b)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*store.Object)
	if !ok {
		return nil, bodyError("the body must be a JSON object with name and config")
	}
	req := &createRequest{}
	for _, f := range o.Fields {
		switch f.Key {
		case "name":
			s, _, ok := store.Scalar(f.Value)
			if !ok {
				return nil, bodyError("name must be a text")
			}
			req.name = s
		case "config":
			if f.Value == nil {
				continue
			}
			co, ok := f.Value.(*store.Object)
			if !ok {
				return nil, bodyError("config must be a JSON object of properties")
			}
			if req.config, err = store.StringMap(co); err != nil {
				return nil, bodyError(err.Error())
			}
		case "initial_state":
			if req.initial, err = initialState(f.Value); err != nil {
				return nil, err
			}
		default:
			return nil, bodyError("Unrecognized field \"" + f.Key + "\"; known are name, config and initial_state")
		}
	}
	if req.config == nil {
		return nil, noConfig()
	}
	return req, nil
}

func initialState(v any) (store.TargetState, error) {
	if v == nil {
		return "", nil
	}
	s, _ := v.(string)
	switch strings.ToUpper(s) {
	case "RUNNING":
		return store.Started, nil
	case "PAUSED":
		return store.Paused, nil
	case "STOPPED":
		return store.Stopped, nil
	}
	return "", bodyError("initial_state must be one of RUNNING, PAUSED and STOPPED")
}

// document parses a body; nil is an empty body or null.
func document(b []byte) (any, error) {
	if strings.TrimSpace(string(b)) == "" {
		return nil, nil
	}
	v, err := store.ParseJSON(b)
	if err != nil {
		return nil, bodyError("the body is no valid JSON: " + err.Error())
	}
	return v, nil
}

func parseConfig(c *call) (*store.Map, error) {
	b, err := c.body()
	if err != nil {
		return nil, err
	}
	return configOf(b)
}

// configOf reads a flat map of properties; numbers and booleans become text.
func configOf(b []byte) (*store.Map, error) {
	v, err := document(b)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, bodyError("the request has no body; send a JSON object")
	}
	o, ok := v.(*store.Object)
	if !ok {
		return nil, bodyError("the body must be a JSON object of properties")
	}
	m, err := store.StringMap(o)
	if err != nil {
		return nil, bodyError(err.Error())
	}
	return m, nil
}

// readyNow is a channel that is closed if the worker is ready at this moment.
func readyNow(a Admin, c *call) <-chan struct{} {
	ctx, cancel := context.WithCancel(c.r.Context())
	cancel()
	ch := make(chan struct{})
	if a.Ready(ctx) == nil {
		close(ch)
	}
	return ch
}
