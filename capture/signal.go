package capture

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Signal is a request to a running connector.
type Signal struct {
	ID   string // names the request in notifications
	Type string // execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot, log, …
	Data json.RawMessage
}

// The signal types that every source knows.
const (
	SignalExecute = "execute-snapshot"
	SignalStop    = "stop-snapshot"
	SignalPause   = "pause-snapshot"
	SignalResume  = "resume-snapshot"
	SignalLog     = "log"
	SignalOpen    = "snapshot-window-open"
	SignalClose   = "snapshot-window-close"
)

// SnapshotRequest is the data of execute-snapshot and stop-snapshot.
type SnapshotRequest struct {
	Collections []string // patterns; of a stop: empty means all
	Blocking    bool
	// Conditions are filters by collection name or pattern.
	Conditions []Condition
	Surrogate  string // surrogate-key, "" none
}

// Condition is one of additional-conditions.
type Condition struct{ Collection, Filter string }

// SnapshotRequest parses the signal's data.
func (s *Signal) SnapshotRequest() (*SnapshotRequest, error) {
	var d struct {
		Type        string      `json:"type"`
		Collections []string    `json:"data-collections"`
		Condition   string      `json:"additional-condition"`
		Conditions  []condition `json:"additional-conditions"`
		Surrogate   string      `json:"surrogate-key"`
	}
	if len(s.Data) > 0 {
		if err := json.Unmarshal(s.Data, &d); err != nil {
			return nil, fmt.Errorf("the data of signal %q is not the JSON of a snapshot: %w", s.ID, err)
		}
	}
	r := &SnapshotRequest{Collections: d.Collections, Surrogate: strings.TrimSpace(d.Surrogate)}
	switch t := strings.ToLower(strings.TrimSpace(d.Type)); t {
	case "", "incremental":
	case "blocking":
		r.Blocking = true
	default:
		return nil, fmt.Errorf("signal %q asks for a snapshot of type %q; there are incremental and blocking", s.ID, d.Type)
	}
	for i, c := range r.Collections {
		r.Collections[i] = strings.TrimSpace(c)
	}
	for _, c := range d.Conditions {
		r.Conditions = append(r.Conditions, Condition{strings.TrimSpace(c.Collection), c.Filter})
	}
	return r, nil
}

type condition struct {
	Collection string `json:"data-collection"`
	Filter     string `json:"filter"`
}

// ParseSignal reads a signal as the file and Kafka channels carry it:
// {"id":…,"type":…,"data":{…}}.
func ParseSignal(text []byte) (Signal, error) {
	var d struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return Signal{}, fmt.Errorf("a signal is not JSON: %w", err)
	}
	if d.Type == "" {
		return Signal{}, fmt.Errorf("a signal has no type")
	}
	return Signal{ID: d.ID, Type: d.Type, Data: d.Data}, nil
}
