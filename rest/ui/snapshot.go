package ui

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"millrace/internal/remote"
)

// snapshot gives a source a signal: read a table again, or pause, resume or stop that.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	name, what, table := r.PathValue("name"), r.PostFormValue("do"), strings.TrimSpace(r.PostFormValue("table"))
	var signal remote.Signal
	var err error
	switch what {
	case "again":
		if table == "" {
			err = errors.New("name the table, such as public.orders")
		}
		signal = remote.Snapshot([]string{table}, strings.TrimSpace(r.PostFormValue("where")), r.PostFormValue("way") == "blocking")
	case "pause", "resume", "stop":
		signal = remote.Control(what, nil)
	default:
		http.NotFound(w, r)
		return
	}
	if err == nil {
		err = s.send(r, http.MethodPost, remote.Path(name, "/signals"), signal, nil)
	}
	if err != nil {
		s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
		return
	}
	said := map[string]string{"again": table + " is read again", "pause": "the snapshot pauses after the present chunk", "resume": "the snapshot goes on", "stop": "the snapshot stops after the present chunk"}
	s.render(w, http.StatusOK, "said", s.view("", "", said[what]))
}

// finding is what the doctor says about one thing.
type finding struct {
	Check   string   `json:"check"`
	Subject string   `json:"subject"`
	State   string   `json:"state"`
	Found   string   `json:"found"`
	SQL     []string `json:"sql"`
	Do      string   `json:"do"`
}

// diagnosis is what the doctor says.
type diagnosis struct {
	OK       bool         `json:"ok"`
	Failed   int          `json:"failed"`
	Warnings int          `json:"warnings"`
	Findings []finding    `json:"findings"`
	Notes    []string     `json:"notes"`
	Topics   []string     `json:"topics"`
	Sample   *sampleEvent `json:"sample"`
	Fine     []finding    `json:"-"` // those of Findings that need nothing
	More     int          `json:"-"` // topics that are left out
}

// sampleEvent is an event as a new source would write it.
type sampleEvent struct {
	Topic      string
	Key, Value json.RawMessage
}

// KeyText is the key, for reading.
func (e *sampleEvent) KeyText() string { return pretty(string(e.Key)) }

// ValueText is the value.
func (e *sampleEvent) ValueText() string { return pretty(string(e.Value)) }

// topicsListed is how many topics of a new connector are listed.
const topicsListed = 30

// arrange puts what needs something first.
func (d *diagnosis) arrange() {
	var bad []finding
	for _, state := range []string{"failed", "warning"} {
		for _, f := range d.Findings {
			if f.State == state {
				bad = append(bad, f)
			}
		}
	}
	for _, f := range d.Findings {
		if f.State == "ok" {
			d.Fine = append(d.Fine, f)
		}
	}
	d.Findings = bad
	if n := len(d.Topics) - topicsListed; n > 0 {
		d.Topics, d.More = d.Topics[:topicsListed], n
	}
}

// doctorPage is the page that runs the doctor on a connector.
func (s *Server) doctorPage(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	st, err := s.status(r, name)
	if err != nil {
		return "", nil, err
	}
	return name + " · doctor", connectorData{Name: name, Tab: "doctor", Type: st.Type, State: st.Overall()}, nil
}

// examine runs the doctor on a connector that is there.
func (s *Server) examine(r *http.Request) (string, any, error) {
	var d diagnosis
	if err := s.get(r, remote.Path(r.PathValue("name"), "/doctor"), &d); err != nil {
		return "", nil, err
	}
	d.arrange()
	return "", d, nil
}
