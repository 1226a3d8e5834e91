package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"millrace/internal/remote"
)

// row is a connector in the overview.
type row struct {
	Name, Type, Class, State string
	Tasks, Running           int
	Problem                  string // first line of the trace
	Now                      reading
	Spark                    template.HTML
	Attention                int // higher comes first
}

type overviewData struct {
	Rows                             []row
	Total, Failed, Paused, Unhealthy int
}

// overview lists the connectors, those that need attention first.
func (s *Server) overview(r *http.Request) (string, any, error) {
	var all map[string]remote.Connector
	if err := s.get(r, "/connectors?expand=status&expand=info", &all); err != nil {
		return "", nil, err
	}
	d := overviewData{Total: len(all)}
	for name, c := range all {
		x := row{Name: name, Type: c.Info.Type, Class: shortClass(c.Info.Config["connector.class"]), State: c.Status.Connector.State, Tasks: len(c.Status.Tasks)}
		for _, t := range append([]remote.State{c.Status.Connector}, c.Status.Tasks...) {
			if t.State == "FAILED" {
				x.State, x.Problem = "FAILED", firstLine(t.Trace)
			}
		}
		for _, t := range c.Status.Tasks {
			if t.State == "RUNNING" {
				x.Running++
			}
		}
		switch {
		case x.State == "FAILED":
			x.Attention = 3
			d.Failed++
		case x.State != "RUNNING":
			x.Attention = 1
			d.Paused++
		case x.Running < x.Tasks || x.Tasks == 0:
			x.Attention = 2
			d.Unhealthy++
		}
		readings := s.hist.readings(name)
		if len(readings) > 0 {
			x.Now = readings[len(readings)-1]
		} else {
			x.Now.P50, x.Now.P99 = math.NaN(), math.NaN()
		}
		x.Spark = spark(readings)
		d.Rows = append(d.Rows, x)
	}
	slices.SortFunc(d.Rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.Attention, a.Attention), cmp.Compare(a.Name, b.Name)) })
	return "Overview", d, nil
}

// connectorData is one connector.
type connectorData struct {
	Name, Type, Class, State string
	Tasks                    []remote.State
	Problems                 []remote.State
	Topics                   []string
	Offsets                  []offsetRow
	Now                      reading
	Tables                   []tableRow
	Records                  float64
	Restarts, Skipped        float64
}

type offsetRow struct{ Partition, Offset string }

func (s *Server) connector(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	var st remote.Status
	if err := s.get(r, remote.Path(name, "/status"), &st); err != nil {
		return "", nil, err
	}
	var cfg map[string]string
	if err := s.get(r, remote.Path(name, "/config"), &cfg); err != nil {
		return "", nil, err
	}
	d := connectorData{Name: name, Type: st.Type, Class: shortClass(cfg["connector.class"]), State: st.Connector.State, Tasks: st.Tasks}
	st.Connector.ID = -1
	for _, t := range append([]remote.State{st.Connector}, st.Tasks...) {
		if t.State == "FAILED" {
			d.Problems = append(d.Problems, t)
			d.State = "FAILED"
		}
	}
	var topics map[string]struct {
		Topics []string `json:"topics"`
	}
	if err := s.get(r, remote.Path(name, "/topics"), &topics); err == nil {
		d.Topics = topics[name].Topics
		slices.Sort(d.Topics)
	}
	var offsets struct {
		Offsets []struct{ Partition, Offset json.RawMessage } `json:"offsets"`
	}
	if err := s.get(r, remote.Path(name, "/offsets"), &offsets); err == nil {
		for _, o := range offsets.Offsets {
			d.Offsets = append(d.Offsets, offsetRow{string(o.Partition), string(o.Offset)})
		}
	}
	if rs := s.hist.readings(name); len(rs) > 0 {
		d.Now = rs[len(rs)-1]
	} else {
		d.Now.P50, d.Now.P99 = math.NaN(), math.NaN()
	}
	d.Records, d.Restarts, d.Skipped = s.hist.totals(name)
	d.Tables = s.hist.tables(name)
	slices.SortFunc(d.Tables, func(a, b tableRow) int { return cmp.Compare(a.Name, b.Name) })
	return name, d, nil
}

// data is what the charts of a connector show: time, rate, p50 and p99 in ms.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	out := [5][]any{{}, {}, {}, {}, {}}
	number := func(v float64) any {
		if math.IsNaN(v) {
			return nil
		}
		return v
	}
	for _, x := range s.hist.readings(r.PathValue("name")) {
		for i, v := range []any{x.At, number(x.Rate), number(1000 * x.P50), number(1000 * x.P99), number(x.Behind)} {
			out[i] = append(out[i], v)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// clusterData is the workers and the loggers.
type clusterData struct {
	Version, Commit, Cluster string
	Workers                  []workerRow
	Loggers                  []loggerRow
}

type workerRow struct {
	ID         string
	Connectors int
	Tasks      int
}

type loggerRow struct{ Name, Level string }

func (s *Server) cluster(r *http.Request) (string, any, error) {
	var root struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Cluster string `json:"kafka_cluster_id"`
	}
	if err := s.get(r, "/", &root); err != nil {
		return "", nil, err
	}
	d := clusterData{Version: root.Version, Commit: root.Commit, Cluster: root.Cluster}
	var all map[string]remote.Connector
	if err := s.get(r, "/connectors?expand=status", &all); err != nil {
		return "", nil, err
	}
	workers := map[string]*workerRow{}
	of := func(id string) *workerRow {
		if workers[id] == nil {
			workers[id] = &workerRow{ID: id}
		}
		return workers[id]
	}
	for _, c := range all {
		of(c.Status.Connector.Worker).Connectors++
		for _, t := range c.Status.Tasks {
			of(t.Worker).Tasks++
		}
	}
	for _, w := range workers {
		d.Workers = append(d.Workers, *w)
	}
	slices.SortFunc(d.Workers, func(a, b workerRow) int { return cmp.Compare(a.ID, b.ID) })
	var loggers map[string]struct {
		Level *string `json:"level"`
	}
	if err := s.get(r, "/admin/loggers", &loggers); err == nil {
		for name, l := range loggers {
			level := ""
			if l.Level != nil {
				level = *l.Level
			}
			d.Loggers = append(d.Loggers, loggerRow{name, level})
		}
		slices.SortFunc(d.Loggers, func(a, b loggerRow) int { return cmp.Compare(a.Name, b.Name) })
	}
	return "Cluster", d, nil
}

func shortClass(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if _, text, ok := strings.Cut(line, "Exception: "); ok && text != "" {
		return text
	}
	return line
}

// spark draws the rates of the last minutes.
func spark(rs []reading) template.HTML {
	const w, h = 120, 24
	if len(rs) < 2 {
		return ""
	}
	top := 1.0
	for _, r := range rs {
		top = max(top, r.Rate)
	}
	var pts strings.Builder
	for i, r := range rs {
		fmt.Fprintf(&pts, "%.1f,%.1f ", float64(i)*w/float64(keepSamples-1), h-1-r.Rate/top*(h-2))
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="rate of the last ten minutes, at most %s per second"><polyline points="%s"/></svg>`, //nolint:gosec // only numbers
		w, h, w, h, count(top), pts.String()))
}

var functions = template.FuncMap{
	"count": count, "bytes": size, "ms": millis, "state": stateClass, "path": url.PathEscape,
}

// count prints a number for people.
func count(v float64) string {
	switch {
	case v >= 10_000_000:
		return fmt.Sprintf("%.1f M", v/1e6)
	case v >= 100_000:
		return fmt.Sprintf("%.0f k", v/1e3)
	case v >= 1000:
		return fmt.Sprintf("%.1f k", v/1e3)
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func size(v float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			return fmt.Sprintf("%.4g %s", v, u)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.4g TiB", v)
}

// millis prints seconds as a time that is short to read.
func millis(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 1:
		return fmt.Sprintf("%.3g ms", 1000*s)
	case s < 120:
		return fmt.Sprintf("%.3g s", s)
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func stateClass(s string) string { return "state " + strings.ToLower(s) }

func pretty(s string) string {
	var out bytes.Buffer
	if json.Indent(&out, []byte(s), "", "  ") != nil {
		return s
	}
	return out.String()
}
