package ui

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
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
	soon       = 6 * 3600 // s until log is gone
	scarce     = .25      // part of the budget that is left
	quietStart = 12 * time.Second
)

// judge says what is wrong with a connector, if anything.
func (s *Server) judge(r *http.Request, st *remote.Status, class string, d *detail, newest reading, since time.Duration) verdict {
	for _, t := range append([]remote.State{st.Connector}, st.Tasks...) {
		if t.State == "FAILED" {
			c := causes(t.Trace)
			return verdict{levelBad, c.text(), c.fix()}
		}
	}
	switch state, tasks, running := stateOf(st); {
	case state == "PAUSED":
		return verdict{levelNote, "Paused.", keepsLog(st.Type)}
	case state == "STOPPED":
		return verdict{levelNote, "Stopped.", keepsLog(st.Type)}
	case state != "RUNNING":
		return verdict{levelWarn, "It is " + strings.ToLower(state) + ".", "A worker takes it up in a moment; if none does, none is there that can."}
	case running < tasks:
		return verdict{levelWarn, fmt.Sprintf("%d of %d tasks run.", running, tasks), "The others start in a moment, or were paused."}
	case tasks == 0:
		return verdict{levelWarn, "It has no task yet.", "It is being started; the log of the worker tells more."}
	}
	if d == nil {
		return verdict{} // it runs on another worker
	}
	if watched := strings.HasPrefix(class, "io.debezium.connector.") && st.Type == "source"; watched && !d.known() && since > quietStart {
		why, fix := "The database does not answer.", "It goes on by itself once the database is there again."
		if l := s.newestTrouble(r, st.Name); l != nil {
			why = l.text()
		}
		return verdict{levelWarn, why, fix}
	}
	return judgeFigures(st.Type, d, newest)
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
	case d.limit > 0 && d.left/d.limit < scarce || d.full < soon:
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

// cause is one link of a failure's chain.
type cause struct{ Class, Msg, Hint string }

type chain []cause

// causes reads the trace of a failed task: a class and a message per cause, and below
// them what to do, indented as frames of a stack are.
func causes(trace string) chain {
	var out chain
	for _, line := range strings.Split(trace, "\n") {
		switch text := strings.TrimSpace(line); {
		case text == "" || strings.HasPrefix(text, "at "):
		case strings.HasPrefix(text, "... "):
			if n := len(out); n > 0 {
				out[n-1].Hint = strings.TrimPrefix(text, "... ")
			}
		case strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " "):
			if n := len(out); n > 0 {
				out[n-1].Msg += "\n" + text
			}
		default:
			class, msg, ok := strings.Cut(strings.TrimPrefix(text, "Caused by: "), ": ")
			if !ok || strings.ContainsAny(class, " '\"") {
				class, msg = "", strings.TrimPrefix(text, "Caused by: ")
			}
			out = append(out, cause{Class: class, Msg: msg})
		}
	}
	return out
}

// text is the chain in one sentence: what stopped, and why.
func (c chain) text() string {
	var parts []string
	for _, x := range c {
		if msg := strings.TrimSuffix(x.Msg, "."); msg != "" && (len(parts) == 0 || !strings.Contains(parts[len(parts)-1], msg)) {
			parts = append(parts, msg)
		}
	}
	return strings.Join(parts, ": ")
}

// fix is the first advice.
func (c chain) fix() string {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].Hint != "" {
			return c[i].Hint
		}
	}
	return ""
}

// logLine is a line of GET /connectors/NAME/log.
type logLine struct {
	Time    time.Time         `json:"time"`
	Level   string            `json:"level"`
	Task    int               `json:"task"`
	Message string            `json:"message"`
	Details map[string]string `json:"details"`
}

// text is the line with its error.
func (l *logLine) text() string {
	t := upperFirst(l.Message)
	if e := l.Details["error"]; e != "" {
		t += ": " + e
	}
	return t
}

// More lists the details other than the error.
func (l *logLine) More() string {
	var out []string
	for k, v := range l.Details {
		if k != "error" {
			out = append(out, k+" "+v)
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
