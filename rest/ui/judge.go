package ui

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"millrace/internal/remote"
)

// Levels of attention that a connector needs.
const (
	levelFine = iota
	levelNote // somebody has paused or stopped it
	levelWarn
	levelBad
)

func levelClass(l int) string { return [...]string{"fine", "note", "warn", "bad"}[l] }

// verdict is what is to be said about a connector, and what to do.
type verdict struct {
	Level    int
	Why, Fix string
}

// Thresholds of warnings.
const (
	lateAfter  = 60.0     // s that the oldest change may wait
	stuckAfter = 180.0    // s without progress that make a forecast worth a warning
	soon       = 6 * 3600 // s until log is gone
	scarce     = .25      // part of the budget that is left
	quietStart = 12 * time.Second
	// startsWithin is how long a connector may take to run before it is worth a look.
	startsWithin = 20 * time.Second
)

// judge says what is wrong with a connector, if anything.
func (s *Server) judge(r *http.Request, st *remote.Status, class string, d *detail, newest reading, since time.Duration) verdict {
	for _, t := range append([]remote.State{st.Connector}, st.Tasks...) {
		if t.State == "FAILED" {
			c := remote.Causes(t.Trace)
			return verdict{levelBad, c.Text(), c.Fix()}
		}
	}
	state, tasks, running := stateOf(st)
	starting := state != "PAUSED" && state != "STOPPED" && (state != "RUNNING" || running < tasks || tasks == 0)
	switch waited := s.lasts(st.Name, starting); {
	case state == "PAUSED":
		return verdict{levelNote, "Paused.", keepsLog(st.Type)}
	case state == "STOPPED":
		return verdict{levelNote, "Stopped.", keepsLog(st.Type)}
	case starting && waited < startsWithin:
		return verdict{levelNote, "Starting.", ""}
	case starting && tasks == 0:
		return verdict{levelWarn, "It has had no task for " + span(waited.Seconds()) + ".", "A worker should have started one: its log tells why it does not."}
	case starting:
		return verdict{levelWarn, fmt.Sprintf("Only %d of %d tasks run, for %s by now.", running, tasks, span(waited.Seconds())), "No worker of the group takes the others up, or one was paused by itself."}
	}
	if d == nil {
		return verdict{} // it runs on another worker
	}
	if watched := strings.HasPrefix(class, "io.debezium.connector.") && st.Type == "source"; watched && !d.known() && since > quietStart {
		why, fix := "The database does not answer.", "Start the database, or look at database.hostname, database.port and the network between. The connector goes on by itself as soon as it answers, and loses nothing."
		if l := s.newestTrouble(r, st.Name); l != nil {
			why = l.text()
		}
		return verdict{levelWarn, why, fix}
	}
	return judgeFigures(st.Type, d, newest)
}

// lasts is how long something has been so of a connector, as far as pages have seen it.
func (s *Server) lasts(name string, so bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !so {
		delete(s.since, name)
		return 0
	}
	if s.since == nil || len(s.since) > 10_000 { // connectors that are gone
		s.since = map[string]time.Time{}
	}
	at, ok := s.since[name]
	if !ok {
		at = time.Now()
		s.since[name] = at
	}
	return time.Since(at)
}

func keepsLog(kind string) string {
	if kind == "source" {
		return "The database keeps its log for it meanwhile."
	}
	return ""
}

// judgeFigures looks at how far behind a connector is and how long that can last.
func judgeFigures(kind string, d *detail, newest reading) verdict {
	switch {
	case d.limit > 0 && d.left <= 0:
		return verdict{levelBad, "The log that the server may keep is used up (max_slot_wal_keep_size): the slot is about to be lost.",
			"Raise it now: ALTER SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf();"}
	case d.limit > 0 && d.left/d.limit < scarce || d.full < soon && d.age["confirmed"] > stuckAfter:
		why := fmt.Sprintf("The server keeps %s of log for it, at most %s", size(d.kept), size(d.limit))
		if !math.IsNaN(d.full) {
			why += "; at the present rate that is used up in " + span(d.full)
		}
		return verdict{levelWarn, why + ".", "See what holds it up below, or raise max_slot_wal_keep_size."}
	case d.expires < soon:
		return verdict{levelWarn, "The server may delete log that is still needed in " + span(d.expires) + " (binlog_expire_logs_seconds).", "Raise it: SET GLOBAL binlog_expire_logs_seconds = …"}
	case newest.Age > lateAfter && kind == "source":
		return verdict{levelWarn, "The oldest change that Kafka does not have is " + span(newest.Age) + " old.", stuckAt(d)}
	case newest.Age > lateAfter:
		return verdict{levelWarn, "The oldest record that is not written is " + span(newest.Age) + " old.", "Either the target is slow or away (the page of the connector tells), or the sink has just begun to catch up."}
	}
	return verdict{}
}

// stuckAt says where a source loses its time.
func stuckAt(d *detail) string {
	read, acked := d.behind["read"], d.behind["acknowledged"]
	switch {
	case d.snapshot:
		return "A snapshot is being read; the log follows when it has ended."
	case acked > 2*read+1<<20:
		return "It was read and Kafka has not taken it: look at the brokers."
	}
	return "It is being read: it catches up, or one transaction is very large."
}

// logLine is a line of GET /connectors/NAME/log.
type logLine struct {
	Time    time.Time         `json:"time"`
	Level   string            `json:"level"`
	Task    int               `json:"task"`
	Message string            `json:"message"`
	Details map[string]string `json:"details"`

	// Times is how often it was said in a row, from First on.
	Times int    `json:"-"`
	First string `json:"-"`
}

// text is the line with its error.
func (l *logLine) text() string {
	t := upperFirst(l.Message)
	if e := l.Details["error"]; e != "" {
		t += ": " + once(e)
	}
	return t
}

// once leaves out what an error says again: a driver that tries several ways says the
// same of each.
func once(text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, " ")
}

// More lists the details other than the error.
func (l *logLine) More() string {
	var out []string
	for k, v := range l.Details {
		if k != "error" {
			out = append(out, k+" "+short(v))
		}
	}
	return strings.Join(sorted(out), " · ")
}

// Text and At are for templates.
func (l *logLine) Text() string { return l.text() }

// At is the time of day.
func (l *logLine) At() string { return l.Time.UTC().Format("15:04:05") }

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// log reads what a connector's tasks said lately.
func (s *Server) log(r *http.Request, name string) []logLine {
	var lines []logLine
	if s.get(r, remote.Path(name, "/log"), &lines) != nil {
		return nil // a page without it is better than none
	}
	return lines
}

// newestTrouble is the newest line that warns.
func (s *Server) newestTrouble(r *http.Request, name string) *logLine {
	lines := s.log(r, name)
	var found *logLine
	for i := range lines {
		if l := &lines[i]; (l.Level == "WARN" || l.Level == "ERROR") && l.Details["error"] != "" && (found == nil || cmp.Compare(l.Time.UnixNano(), found.Time.UnixNano()) >= 0) && !strings.HasPrefix(l.Message, "the server does not say") {
			found = l
		}
	}
	return found
}
