package worker

import (
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"
)

// LoggerLevel is what /admin/loggers shows of a logger.
type LoggerLevel struct {
	Level        string `json:"level"`
	LastModified *int64 `json:"last_modified"`
}

// Loggers keeps the levels that /admin/loggers reads and sets. Names follow
// Java's hierarchy: a level holds for a logger and everything below it.
type Loggers struct {
	mu    sync.Mutex
	level *slog.LevelVar
	byNS  map[string]LoggerLevel
	now   func() time.Time
}

// NewLoggers makes the registry; the root logger's level is the process's.
func NewLoggers(level *slog.LevelVar) *Loggers {
	return &Loggers{level: level, byNS: map[string]LoggerLevel{"root": {Level: levelName(level.Level())}}, now: time.Now}
}

var slogLevels = map[string]slog.Level{"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo,
	"WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError + 4, "OFF": slog.LevelError + 100, "ALL": slog.LevelDebug - 100}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "TRACE"
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARN"
	}
	return "ERROR"
}

// ParseLevel returns the canonical name of a log4j level.
func ParseLevel(s string) (string, bool) {
	u := strings.ToUpper(s)
	_, ok := slogLevels[u]
	return u, ok
}

// All returns all loggers that have a level of their own.
func (l *Loggers) All() map[string]LoggerLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]LoggerLevel, len(l.byNS))
	for k, v := range l.byNS {
		out[k] = v
	}
	return out
}

// Get returns a logger's level.
func (l *Loggers) Get(ns string) (LoggerLevel, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.EqualFold(ns, "root") {
		ns = "root"
	}
	v, ok := l.byNS[ns]
	return v, ok
}

// Set gives a logger and all below it a level; it returns the names of those that
// had another one, sorted.
func (l *Loggers) Set(ns, level string) []string {
	level, ok := ParseLevel(level)
	if !ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now().UnixMilli()
	if strings.EqualFold(ns, "root") {
		ns = "root"
	}
	changed := []string{}
	if v, ok := l.byNS[ns]; !ok || v.Level != level {
		l.byNS[ns] = LoggerLevel{level, &at}
		changed = append(changed, ns)
	}
	for k, v := range l.byNS {
		if k != ns && (ns == "root" || strings.HasPrefix(k, ns+".")) && v.Level != level {
			l.byNS[k] = LoggerLevel{level, &at}
			changed = append(changed, k)
		}
	}
	if ns == "root" {
		l.level.Set(slogLevels[level])
	}
	sort.Strings(changed)
	return changed
}
