package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// screen prints the demo: text with colours, plain text, or one JSON object a
// line. It is safe for concurrent use.
type screen struct {
	out   io.Writer
	began time.Time
	json  bool
	tty   bool // the last line may be rewritten
	p     palette
	// engine is the database that is shown.
	engine *engine

	mu    sync.Mutex
	live  bool // the cursor stands in the live line
	wrote time.Time
	shown map[string]bool // what kinds of envelopes have been printed
	all   chan struct{}   // closed when every kind has been
}

func newScreen(o Options) *screen {
	s := &screen{out: o.Out, began: time.Now(), json: o.JSON, tty: o.Terminal && !o.JSON, shown: map[string]bool{}, all: make(chan struct{})}
	if o.Color && !o.JSON {
		s.p = colours
	}
	return s
}

// event prints a JSON line; fields are merged into it.
func (s *screen) event(name string, fields map[string]any) {
	m := map[string]any{"event": name, "seconds": math.Round(time.Since(s.began).Seconds()*1000) / 1000}
	for k, v := range fields {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		b = []byte(`{"event":"error"}`)
	}
	fmt.Fprintf(s.out, "%s\n", b)
}

// printf prints a line of its own, above the live line.
func (s *screen) printf(format string, args ...any) {
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.live = false
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *screen) title() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.json {
		s.printf("%smillrace demo%s  %s → Debezium records → Kafka → SQLite, in one process\n", s.p.bold, s.p.off, s.engine.title)
	}
}

// note prints a remark.
func (s *screen) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		s.event("note", map[string]any{"text": text})
		return
	}
	s.printf("         %s%s%s", s.p.dim, text, s.p.off)
}

// step prints that a part is there, and where.
func (s *screen) step(name, where string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		s.event("started", map[string]any{"what": name, "where": where})
		return
	}
	s.printf("%s%5.1f s%s  %-22s %s", s.p.dim, time.Since(s.began).Seconds(), s.p.off, name, where)
}

// kind is an envelope worth showing.
type kind struct {
	about string
	brief bool // without its source block
}

// kinds are the envelopes to show, one of each operation and table.
var kinds = map[string]kind{
	"r customers": {"A row of the snapshot", false},
	"c customers": {"An insert", true},
	"u customers": {"An update", false},
	"d orders":    {"A delete (a tombstone with the same key and no value follows)", true},
}

// envelope prints the first record of each kind.
func (s *screen) envelope(r *kgo.Record, e envelope) {
	name := e.Op + " " + e.Source.Table
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := kinds[name]
	if !ok || s.shown[name] {
		return
	}
	s.shown[name] = true
	if len(s.shown) == len(kinds) {
		defer close(s.all)
	}
	value, err := parseJSON(r.Value)
	payload, ok := value.child("payload")
	key, err2 := parseJSON(r.Key)
	keyPayload, ok2 := key.child("payload")
	if err != nil || err2 != nil || !ok || !ok2 {
		return
	}
	if s.json {
		s.event("record", map[string]any{"topic": r.Topic, "key": json.RawMessage(palette{}.inline(keyPayload)), "value": json.RawMessage(palette{}.inline(payload))})
		return
	}
	if e.Op == "u" {
		k.about += " (" + s.engine.why + ")"
	}
	s.printf("\n%s%5.1f s%s  %s%s%s", s.p.dim, time.Since(s.began).Seconds(), s.p.off, s.p.bold, k.about, s.p.off)
	s.printf("%stopic%s %s  %skey%s %s", s.p.dim, s.p.off, r.Topic, s.p.dim, s.p.off, s.p.inline(keyPayload))
	if k.brief {
		payload = payload.elide("source")
	}
	s.printf("%s", s.p.pretty(payload, 118))
}

// awaitEnvelopes waits until one envelope of each kind has been printed.
func (s *screen) awaitEnvelopes(ctx context.Context, limit time.Duration) {
	select {
	case <-s.all:
	case <-time.After(limit):
	case <-ctx.Done():
	}
}

// places are what the hints name.
type places struct {
	Rest, Kafka, Registry, Postgres, Prefix, SQLite, Database string
	Space                                                     string // middle part of topic names
	Change                                                    string // command that changes a row
}

// hints prints what to try next.
func (s *screen) hints(p places) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		s.event("ready", map[string]any{"rest": p.Rest, "kafka": p.Kafka, "registry": p.Registry, "postgres": p.Postgres, "sqlite": p.SQLite, "topic_prefix": p.Prefix})
		return
	}
	s.printf("\n%sTry, in another terminal%s", s.p.bold, s.p.off)
	for _, h := range [][2]string{
		{"change a row", p.Change},
		{"see its record", "kcat -b " + p.Kafka + " -t " + p.Prefix + "." + p.Space + ".customers -C -o -1 -e"},
		{"see it in SQLite", "sqlite3 " + p.SQLite + " 'select * from customers where id = 1001'"},
		{"in a browser", p.Rest + "/"},
		{"the connectors", "curl '" + p.Rest + "/connectors?expand=info&expand=status'"},
		{"pause the sink", "curl -X PUT " + p.Rest + "/connectors/sqlite-sink/pause     and .../resume"},
		{"Prometheus", "curl " + p.Rest + "/metrics"},
		{"Schema Registry", "curl " + p.Registry + "/subjects     (for connectors with AvroConverter)"},
	} {
		s.printf("  %s%-17s%s%s", s.p.dim, h[0], s.p.off, h[1])
	}
	s.printf("")
}

// figures prints the live line: rewritten on a terminal, every 5 s elsewhere.
func (s *screen) figures(x stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tty && time.Since(s.wrote) < 5*time.Second-50*time.Millisecond && !(s.json && time.Since(s.wrote) >= time.Second-50*time.Millisecond) {
		return
	}
	s.wrote = time.Now()
	if s.json {
		s.event("stats", map[string]any{"changes": x.Changes, "changes_per_s": x.PerS, "commit_to_kafka_p50_ms": x.P50Ms, "commit_to_kafka_p99_ms": x.P99Ms, "sink_rows": x.SinkRows})
		return
	}
	b, o := s.p.bold, s.p.off
	text := fmt.Sprintf("%s%s%s changes   %s%.0f%s/s   %s → Kafka p50 %s%.1f ms%s  p99 %s%.1f ms%s   SQLite %s%s%s rows",
		b, thousands(int64(x.Changes)), o, b, x.PerS, o, s.engine.since, b, x.P50Ms, o, b, x.P99Ms, o, b, thousands(x.SinkRows), o)
	if !s.tty {
		s.printf("%5.1f s  %s", time.Since(s.began).Seconds(), text)
		return
	}
	fmt.Fprintf(s.out, "\r\x1b[K%s   %sCtrl-C stops%s", text, s.p.dim, o)
	s.live = true
}

// check prints the comparison of source and sink.
func (s *screen) check(equal, different int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		s.event("check", map[string]any{"rows_equal": equal, "rows_different": different})
		return
	}
	if different == 0 {
		s.printf("\n%s✓ all %s rows in SQLite equal the rows in %s%s", s.p.good, thousands(int64(equal)), s.engine.title, s.p.off)
		return
	}
	s.printf("\n%s✗ %s rows equal, %s differ between %s and SQLite%s", s.p.bad, thousands(int64(equal)), thousands(int64(different)), s.engine.title, s.p.off)
}

func (s *screen) bye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		s.event("stopped", nil)
		return
	}
	s.printf("Everything the demo started has been stopped and removed.")
}

// thousands writes a number with separators.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var sb strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			sb.WriteByte(',')
		}
		sb.WriteRune(c)
	}
	return sb.String()
}
