package ui

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// rebalancesBody is GET /worker/rebalances.
type rebalancesBody struct {
	Distributed bool           `json:"distributed"`
	WorkerID    string         `json:"worker_id"`
	List        []rebalanceRow `json:"rebalances"`
}

type rebalanceRow struct {
	At         time.Time `json:"at"`
	Millis     float64   `json:"duration_ms"`
	Generation int       `json:"generation"`
	Leader     string    `json:"leader"`
	Members    []string  `json:"members"`
	Joined     []string  `json:"joined"`
	Left       []string  `json:"left"`
	Started    pieces    `json:"started"`
	Stopped    pieces    `json:"stopped"`
	Reason     string    `json:"reason"`
}

// rebalances reads what this worker saw of its group; nil when it does not say.
func (s *Server) rebalances(r *http.Request) *rebalancesBody {
	var b rebalancesBody
	if s.get(r, "/worker/rebalances", &b) != nil {
		return nil // a page without it is better than none
	}
	return &b
}

// Ago is how long it is past.
func (r rebalanceRow) Ago() string { return span(max(0, time.Since(r.At).Seconds())) + " ago" }

// Date is the time for a reader who compares it with a log.
func (r rebalanceRow) Date() string { return r.At.UTC().Format("2006-01-02 15:04:05 UTC") }

// Took is how long it took.
func (r rebalanceRow) Took() string { return millis(r.Millis / 1000) }

type pieces struct {
	Connectors []string `json:"connectors"`
	Tasks      []struct {
		Connector string `json:"connector"`
		Task      int    `json:"task"`
	} `json:"tasks"`
}

// namesShown is how many connectors and tasks are named before the rest is counted.
const namesShown = 6

// Text counts and names them: "1 connector, 2 tasks (a, a-0, a-1)"; "" for nothing.
func (p pieces) Text() string {
	var counts []string
	names := append([]string{}, p.Connectors...)
	for _, x := range []struct {
		n    int
		what string
	}{{len(p.Connectors), "connector"}, {len(p.Tasks), "task"}} {
		switch x.n {
		case 0:
		case 1:
			counts = append(counts, "1 "+x.what)
		default:
			counts = append(counts, fmt.Sprintf("%d %ss", x.n, x.what))
		}
	}
	if len(counts) == 0 {
		return ""
	}
	for _, t := range p.Tasks {
		names = append(names, fmt.Sprintf("%s-%d", t.Connector, t.Task))
	}
	if n := len(names) - namesShown; n > 0 {
		names = append(names[:namesShown], fmt.Sprintf("%d more", n))
	}
	return strings.Join(counts, ", ") + " (" + strings.Join(names, ", ") + ")"
}
