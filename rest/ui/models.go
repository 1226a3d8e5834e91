package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"millrace/internal/remote"
)

// row is a connector in the overview.
type row struct {
	Name, Type, Class, State string
	Tasks, Running           int
	verdict
	Now      reading
	Known    bool // where its log ends
	Snapshot string
	Spark    template.HTML
}

type overviewData struct {
	Rows                              []row
	Attention                         []row // those that somebody should look at
	Total                             int
	Hidden                            int // rows that are left out of a long list
	Bad, Warn, Paused, Starting, Fine int
	Rate                              float64
	Query                             string
	All                               bool
}

// rowsShown is how many connectors an overview shows at once.
const rowsShown = 50

// overview lists the connectors, those that need attention first.
func (s *Server) overview(r *http.Request) (string, any, error) {
	var all map[string]remote.Connector
	if err := s.get(r, "/connectors?expand=status", &all); err != nil {
		return "", nil, err
	}
	classes, err := s.classes(r, all)
	if err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	d := overviewData{Total: len(all), Query: strings.TrimSpace(q.Get("q")), All: q.Has("all")}
	for name, c := range all {
		now, newest, since := s.hist.now(name)
		x := row{Name: name, Type: c.Status.Type, Class: shortClass(classes[name]), Now: newest}
		x.State, x.Tasks, x.Running = stateOf(&c.Status)
		x.verdict = s.judge(r, &c.Status, classes[name], now, newest, since)
		if now != nil {
			x.Known, x.Snapshot = now.known(), progressOf(now).short()
		}
		switch {
		case x.Level == levelBad:
			d.Bad++
		case x.Level == levelWarn:
			d.Warn++
		case x.State == "PAUSED" || x.State == "STOPPED":
			d.Paused++
		case x.Level == levelNote:
			d.Starting++
		default:
			d.Fine++
		}
		d.Rate += newest.Rate
		if x.Level >= levelWarn {
			d.Attention = append(d.Attention, x)
		}
		if d.Query == "" || strings.Contains(strings.ToLower(name+" "+x.Class+" "+x.State), strings.ToLower(d.Query)) {
			d.Rows = append(d.Rows, x)
		}
	}
	order := func(a, b row) int { return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(a.Name, b.Name)) }
	slices.SortFunc(d.Rows, order)
	slices.SortFunc(d.Attention, order)
	if n := len(d.Rows) - rowsShown; n > 0 && !d.All {
		d.Rows, d.Hidden = d.Rows[:rowsShown], n
	}
	d.Attention = d.Attention[:min(len(d.Attention), 5)]
	for i := range d.Rows {
		d.Rows[i].Spark = spark(s.hist.readings(d.Rows[i].Name))
	}
	return "Overview", d, nil
}

// classes are the connectors' classes by name. Configs are asked for anew when there
// is a connector that is not known, or after a while; a list of hundreds is large.
func (s *Server) classes(r *http.Request, all map[string]remote.Connector) (map[string]string, error) {
	s.mu.Lock()
	known, at := s.classOf, s.classesAt
	s.mu.Unlock()
	fresh := time.Since(at) < time.Minute
	for name := range all {
		_, ok := known[name]
		fresh = fresh && ok
	}
	if fresh {
		return known, nil
	}
	var infos map[string]remote.Connector
	if err := s.get(r, "/connectors?expand=info", &infos); err != nil {
		return nil, err
	}
	known = map[string]string{}
	for name, c := range infos {
		known[name] = c.Info.Config["connector.class"]
	}
	s.mu.Lock()
	s.classOf, s.classesAt = known, time.Now()
	s.mu.Unlock()
	return known, nil
}

// stateOf is the state that a list shows, with how many tasks there are and run.
func stateOf(st *remote.Status) (state string, tasks, running int) {
	for _, t := range st.Tasks {
		if t.State == "RUNNING" {
			running++
		}
	}
	return st.Overall(), len(st.Tasks), running
}

// data is what the charts of a connector show: time, rate, p50 and p99 in ms, age in s.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	out := [5][]any{{}, {}, {}, {}, {}}
	number := func(v float64) any {
		if math.IsNaN(v) {
			return nil
		}
		return v
	}
	for _, x := range s.hist.readings(r.PathValue("name")) {
		for i, v := range []any{x.At, number(x.Rate), number(1000 * x.P50), number(1000 * x.P99), number(x.Age)} {
			out[i] = append(out[i], v)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// clusterData is the workers, the rebalances that this one saw, and the loggers.
type clusterData struct {
	Version, Commit, Cluster string
	Workers                  []workerRow
	Loggers                  []loggerRow
	Rebalances               *rebalancesBody
}

type workerRow struct {
	ID         string
	Connectors int
	Tasks      int
	Failed     int
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
			if t.State == "FAILED" {
				of(t.Worker).Failed++
			}
		}
	}
	d.Rebalances = s.rebalances(r)
	if b := d.Rebalances; b != nil && len(b.List) > 0 {
		for _, id := range b.List[0].Members { // those that run nothing
			of(id)
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

// sparkPoints is how many points a sparkline has at most.
const sparkPoints = 60

// spark draws the rates of the last minutes.
func spark(rs []reading) template.HTML {
	const w, h = 120, 28
	if len(rs) < 3 {
		return ""
	}
	rs = rs[1:] // the first one has no rate
	step := (keepSamples + sparkPoints - 1) / sparkPoints
	var rates []float64
	top := 0.0
	for i := len(rs) - 1; i >= 0; i -= step { // the newest is always there; what is joined shows its maximum
		v := 0.0
		for j := i; j > i-step && j >= 0; j-- {
			v = max(v, rs[j].Rate)
		}
		rates = append(rates, v)
		top = max(top, v)
	}
	slices.Reverse(rates)
	if len(rates) < 2 {
		return ""
	}
	var pts strings.Builder
	x0 := float64(w) * (1 - float64(len(rates)-1)/float64(sparkPoints-1))
	for i, v := range rates {
		y := float64(h - 2)
		if top > 0 {
			y -= v / top * (h - 5)
		}
		fmt.Fprintf(&pts, "%.1f,%.1f ", x0+float64(i)*w/float64(sparkPoints-1), y)
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="rate of the last ten minutes, at most %s per second"><polygon points="%.1f,%d %s%d,%d"/><polyline points="%s"/></svg>`, //nolint:gosec // only numbers
		w, h, w, h, count(top), x0, h, pts.String(), w, h, pts.String()))
}
