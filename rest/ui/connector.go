package ui

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"millrace/internal/remote"
)

// connectorData is one connector.
type connectorData struct {
	Name, Type, Class, State string
	Tab                      string
	ReadOnly                 bool
	verdict
	Tasks                      []remote.State
	Problems                   []problemData
	Path                       []station
	Sinks                      []sinkPath
	Kept                       *keptData
	Now                        reading
	Known                      bool   // there are figures
	Stale                      string // how old Path is; empty: it is new
	Tables                     []tableLine
	Hidden                     int // tables that are left out
	All                        bool
	Query                      string
	Snapshot                   progressData
	Way                        string // how a table is read again: incremental, blocking, "" not at all
	Offsets                    []offsetRow
	Log                        []logLine
	Records, Restarts, Skipped float64
}

// problemData is a task that failed.
type problemData struct {
	ID       int
	Text     string
	Fixes    []string
	Trace    string
	WorkerID string
}

type offsetRow struct{ Partition, Offset string }

// station is a place that changes pass on their way.
type station struct {
	Title, What string
	Place       string // as the database writes it
	Behind, Age string
	Level       int
}

// sinkPath is a sink that reads what a source writes.
type sinkPath struct {
	Name string
	Path []station
	P99  float64
	verdict
}

// keptData is what the server keeps for a connector.
type keptData struct {
	Kept    float64
	Limited bool
	Limit   float64
	Part    float64 // of the limit that is used
	Full    float64
	Expires float64
	WAL     bool
	Level   int
}

// tableLine is a table of a source, or a topic.
type tableLine struct {
	Name, Topic   string
	Records, Rate float64
	Lag           float64 // of a sink: see countRow
	Snap          *tableRow
	Part          float64 // of the snapshot
	ETA           float64
	Again         bool // can be read again
}

// progressData is how far snapshots are.
type progressData struct {
	Kind           string // initial, incremental, paused; "" none
	Rows, Expected float64
	Rate, ETA      float64
	Part           float64
	Tables, Done   int
}

// short is the progress in a few characters.
func (p progressData) short() string {
	switch {
	case p.Kind == "":
		return ""
	case p.Expected > 0:
		return "snapshot " + percent(p.Part)
	}
	return "snapshot, " + count(p.Rows) + " rows"
}

func progressOf(d *detail) progressData {
	var p progressData
	switch {
	case d.snapshot:
		p.Kind = "initial"
	case d.incremental == 1:
		p.Kind = "incremental"
	case d.incremental == 2:
		p.Kind = "paused"
	default:
		return p
	}
	for _, t := range d.tables {
		if p.Kind != "initial" && t.Done && t.Rate == 0 {
			continue // of an earlier one
		}
		p.Tables++
		if t.Done {
			p.Done++
		}
		p.Rows += t.Rows
		p.Rate += t.Rate
		if t.Done {
			p.Expected += t.Rows
		} else {
			p.Expected += max(t.Expected, t.Rows)
		}
	}
	p.ETA = math.NaN()
	if p.Rate > 0 && p.Expected > p.Rows {
		p.ETA = (p.Expected - p.Rows) / p.Rate
	}
	if p.Expected > 0 {
		p.Part = p.Rows / p.Expected
	}
	return p
}

// tablesShown is how many tables a page shows at once.
const tablesShown = 25

func (s *Server) connector(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	var cfg map[string]string
	if err := s.get(r, remote.Path(name, "/config"), &cfg); err != nil {
		return "", nil, err
	}
	st, err := s.status(r, name)
	if err != nil {
		return "", nil, err
	}
	q := r.URL.Query()
	d := connectorData{Name: name, Tab: "state", ReadOnly: s.opt.ReadOnly, Type: st.Type, Class: shortClass(cfg["connector.class"]), Tasks: st.Tasks, All: q.Has("all"), Query: strings.TrimSpace(q.Get("q"))}
	d.State = st.Overall()
	now, newest, since := s.hist.now(name)
	d.Now, d.verdict = newest, s.judge(r, &st, cfg["connector.class"], now, newest, since)
	st.Connector.ID = -1
	for _, t := range append([]remote.State{st.Connector}, st.Tasks...) {
		if t.State == "FAILED" {
			c := remote.Causes(t.Trace)
			p := problemData{ID: t.ID, Text: c.Text(), Trace: t.Trace, WorkerID: t.Worker}
			for i := len(c) - 1; i >= 0; i-- {
				if c[i].Hint != "" {
					p.Fixes = append(p.Fixes, c[i].Hint)
				}
			}
			d.Problems = append(d.Problems, p)
		}
	}
	if d.Level == levelWarn || d.Level == levelBad && len(d.Problems) == 0 {
		d.Problems = append(d.Problems, problemData{ID: -2, Text: d.Why, Fixes: notEmpty(d.Fix)})
	}
	if now != nil {
		d.figures(now, &st, cfg)
		if st.Type == "source" {
			d.Sinks = s.sinksOf(r, now)
		}
	}
	s.offsetsAndLog(r, &d)
	return name, d, nil
}

// status is a connector's status. One that was just made has none for a moment: no
// worker has taken it up yet.
func (s *Server) status(r *http.Request, name string) (st remote.Status, err error) {
	if err = s.get(r, remote.Path(name, "/status"), &st); err == nil || codeOf(err) != http.StatusNotFound {
		return st, err
	}
	var info struct{ Type string }
	if s.get(r, remote.Path(name, ""), &info) != nil {
		return st, err // there is no such connector
	}
	return remote.Status{Name: name, Type: info.Type, Connector: remote.State{State: "UNASSIGNED"}}, nil
}

func notEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// figures fills in what the metrics say.
func (d *connectorData) figures(now *detail, st *remote.Status, cfg map[string]string) {
	d.Known = true
	d.Records, d.Restarts, d.Skipped = now.records, now.restarts, now.skipped
	d.Snapshot = progressOf(now)
	class := cfg["connector.class"]
	known := now
	if !now.known() && now.before != nil && st.Connector.State == "RUNNING" {
		known = now.before
		d.Stale = span(now.counters.at.Sub(known.counters.at).Seconds())
	}
	if known.known() {
		if st.Type == "source" {
			d.Path, d.Kept = sourcePath(class, known), keptOf(class, known)
		} else {
			d.Path = sinkStations(known)
		}
	}
	if st.Type == "source" && strings.HasPrefix(class, "io.debezium.connector.") {
		d.Way = "blocking"
		if cfg["signal.data.collection"] != "" || cfg["read.only"] == "true" {
			d.Way = "incremental"
		}
	}
	d.tables(now, cfg["topic.prefix"], cfg["signal.data.collection"])
}

// tables lists the tables by what happens in them.
func (d *connectorData) tables(now *detail, prefix, signals string) {
	lines := map[string]*tableLine{}
	for name, t := range now.tables {
		l := &tableLine{Name: name, Snap: t, ETA: math.NaN()}
		switch {
		case t.Done:
			l.Part = 1
		case t.Expected > 0:
			l.Part = min(.99, t.Rows/t.Expected)
			if t.Rate > 0 {
				l.ETA = max(0, t.Expected-t.Rows) / t.Rate
			}
		}
		lines[name] = l
	}
	for topic, c := range now.topics {
		name := topic
		if prefix != "" {
			name = tableOf(topic, prefix)
		}
		l := lines[name]
		if l == nil {
			l = &tableLine{Name: name, ETA: math.NaN()}
			lines[name] = l
		}
		l.Topic, l.Records, l.Rate, l.Lag = topic, c.Records, c.Rate, c.Lag
	}
	for name, l := range lines {
		// A topic that a transform has renamed, or one that is not of a table, cannot be read again.
		l.Again = d.Way != "" && name != signals && strings.Count(name, ".") == 1 && !strings.HasPrefix(name, "__") && (l.Snap != nil || name != l.Topic)
		if d.Query == "" || strings.Contains(strings.ToLower(name), strings.ToLower(d.Query)) {
			d.Tables = append(d.Tables, *l)
		}
	}
	open := func(l *tableLine) int {
		if d.Snapshot.Kind != "" && l.Snap != nil && !l.Snap.Done {
			return 1
		}
		return 0
	}
	slices.SortFunc(d.Tables, func(a, b tableLine) int {
		return cmp.Or(cmp.Compare(open(&b), open(&a)), cmp.Compare(math.Round(b.Rate), math.Round(a.Rate)), cmp.Compare(b.Records, a.Records), cmp.Compare(a.Name, b.Name))
	})
	if !d.All && len(d.Tables) > tablesShown {
		d.Tables, d.Hidden = d.Tables[:tablesShown], len(d.Tables)-tablesShown
	}
	if d.Query == "" && len(lines) <= tablesShown { // nothing moves about in a short list
		slices.SortFunc(d.Tables, func(a, b tableLine) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// ageLevel judges a delay in seconds.
func ageLevel(s float64) int {
	switch {
	case s > lateAfter:
		return levelBad
	case s > lateAfter/6:
		return levelWarn
	}
	return levelFine
}

// sourcePath is the way of a change from the database to the confirmation.
func sourcePath(class string, d *detail) []station {
	isPG := strings.Contains(class, ".postgresql.")
	place := func(stage string) string {
		if at, ok := d.at[stage]; ok && isPG {
			return lsn(at)
		}
		return ""
	}
	out := []station{{Title: "Log head", What: "written by the database", Place: place("head")}}
	for _, x := range [][3]string{{"read", "Read", "by this connector"}, {"acknowledged", "Acknowledged", "Kafka has it"}, {"confirmed", "Confirmed", "the database may forget it"}} {
		s := station{Title: x[1], What: x[2], Place: place(x[0])}
		if x[0] == "confirmed" && !isPG {
			s.What = "stored as the offset"
		}
		if behind, ok := d.behind[x[0]]; !ok {
			s.Behind = "not yet"
		} else if behind == 0 {
			s.Behind = "at the head"
		} else {
			s.Behind, s.Age = size(behind)+" behind", span(d.age[x[0]])
			if x[0] != "confirmed" { // it is confirmed now and then
				s.Level = ageLevel(d.age[x[0]])
			}
		}
		out = append(out, s)
	}
	return out
}

// sinkStations is the way of a record from its topic to the target.
func sinkStations(d *detail) []station {
	out := []station{{Title: "Topic end", What: "written by sources", Place: count(d.at["head"]) + " over all partitions"}}
	for _, x := range [][3]string{{"consumed", "Consumed", "by this sink"}, {"written", "Written", "the target has it"}} {
		s := station{Title: x[1], What: x[2]}
		if behind := d.behind[x[0]]; behind == 0 {
			s.Behind = "at the end"
		} else {
			s.Behind, s.Age, s.Level = count(behind)+" records behind", span(d.age[x[0]]), ageLevel(d.age[x[0]])
		}
		out = append(out, s)
	}
	return out
}

// keptOf is what the server keeps; nil when nothing is known.
func keptOf(class string, d *detail) *keptData {
	if math.IsNaN(d.kept) {
		return nil
	}
	k := &keptData{Kept: d.kept, Full: d.full, Expires: d.expires, WAL: strings.Contains(class, ".postgresql.")}
	if !math.IsNaN(d.limit) && d.limit > 0 {
		k.Limited, k.Limit = true, d.limit
		k.Part = 1 - d.left/d.limit
		switch {
		case d.left <= 0:
			k.Level = levelBad
		case d.left/d.limit < scarce || d.full < soon && d.age["confirmed"] > stuckAfter:
			k.Level = levelWarn
		}
	}
	return k
}

// sinksOf are the sinks that read topics of a source.
func (s *Server) sinksOf(r *http.Request, source *detail) []sinkPath {
	var out []sinkPath
	for name, topics := range s.sinkTopics(r) {
		if !slices.ContainsFunc(topics, func(t string) bool { return source.topics[t] != nil }) {
			continue
		}
		p := sinkPath{Name: name, P99: math.NaN()}
		if d, newest, _ := s.hist.now(name); d != nil && d.known() {
			p.Path, p.P99 = sinkStations(d), newest.P99
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b sinkPath) int { return cmp.Compare(a.Name, b.Name) })
	return out[:min(len(out), 8)]
}

// sinkTopics are the topics that each sink has read. They change rarely and there may
// be many sinks, so they are asked for now and then.
func (s *Server) sinkTopics(r *http.Request) map[string][]string {
	s.mu.Lock()
	known, at := s.topicsOf, s.topicsAt
	s.mu.Unlock()
	if time.Since(at) < 15*time.Second {
		return known
	}
	var all map[string]remote.Connector
	if s.get(r, "/connectors?expand=status", &all) != nil {
		return nil // it is an addition; the page itself was answered
	}
	known = map[string][]string{}
	for name, c := range all {
		if c.Status.Type == "sink" {
			known[name] = s.topics(r, name)
		}
	}
	s.mu.Lock()
	s.topicsOf, s.topicsAt = known, time.Now()
	s.mu.Unlock()
	return known
}

// topics are the topics that a connector has used.
func (s *Server) topics(r *http.Request, name string) []string {
	var out map[string]struct {
		Topics []string `json:"topics"`
	}
	if s.get(r, remote.Path(name, "/topics"), &out) != nil {
		return nil
	}
	return out[name].Topics
}

// linesShown is how many lines of the log a page shows.
const linesShown = 8

func (s *Server) offsetsAndLog(r *http.Request, d *connectorData) {
	var offsets struct {
		Offsets []struct{ Partition, Offset json.RawMessage } `json:"offsets"`
	}
	if err := s.get(r, remote.Path(d.Name, "/offsets"), &offsets); err == nil {
		for _, o := range offsets.Offsets {
			d.Offsets = append(d.Offsets, offsetRow{string(o.Partition), string(o.Offset)})
		}
	}
	lines := s.log(r, d.Name)
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
		if n := len(d.Log); n > 0 && d.Log[n-1].text() == l.text() && d.Log[n-1].Details["table"] == l.Details["table"] {
			d.Log[n-1].Times++
			d.Log[n-1].First = l.At()
			continue
		}
		if len(d.Log) == linesShown {
			break
		}
		l.Times = 1
		d.Log = append(d.Log, l)
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }
