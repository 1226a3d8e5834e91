package worker

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestRecentLines: what tasks say is kept whatever the log's level is, and no more of
// it than is worth keeping.
func TestRecentLines(t *testing.T) {
	var out bytes.Buffer
	w := &Worker{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	log := w.logOf("c", 3)
	log.With("slot", "s").Warn("trying again", "error", errors.New("boom"))
	log.Debug("not worth it")
	lines := w.recent.lines["c"]
	if len(lines) != 1 {
		t.Fatalf("kept %+v", lines)
	}
	if l := lines[0]; l.Level != "WARN" || l.Task != 3 || l.Message != "trying again" || l.Details["error"] != "boom" || l.Details["slot"] != "s" {
		t.Errorf("kept %+v", l)
	}
	if got := out.String(); !strings.Contains(got, "connector=c task=3 slot=s error=boom") {
		t.Errorf("the log has %q", got)
	}
	out.Reset()
	for range recentKept + 50 {
		log.WithGroup("g").Info("streaming")
	}
	if lines = w.recent.lines["c"]; len(lines) != recentKept || lines[0].Message != "streaming" || out.Len() != 0 {
		t.Errorf("%d lines are kept; the log has %q", len(lines), out.String())
	}
	w.recent.forget("c")
	if len(w.recent.lines) != 0 {
		t.Error("a connector that is gone is remembered")
	}
}
