//go:build java

package handover

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/testkit"
)

// TestShadow runs a connector in a Java worker and its shadow beside it, from a log
// reader of its own: all records are equal, a change of a table and its event too.
func TestShadow(t *testing.T) {
	for _, name := range []string{"postgres", "mysql", "mariadb"} {
		t.Run(name, func(t *testing.T) { shadow(t, newRig(t, name)) })
	}
}

func shadow(t *testing.T, r *rig) {
	w := startWriter(t, r.db)
	r.java.start(t)
	r.do(t, &r.java.Rest, "PUT", "/connectors/"+r.name+"/config", r.config, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := r.runs(ctx, &r.java.Rest); err != nil {
		t.Fatal(err)
	}
	r.caughtUp(t, w.written())

	var sb strings.Builder
	for k, v := range r.other.Props {
		fmt.Fprintf(&sb, "%s=%s\n", k, v)
	}
	file := filepath.Join(t.TempDir(), "worker.properties")
	if err := os.WriteFile(file, []byte(sb.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "takeover", "--shadow", r.name, "--run", "20s", "--json", file)
	done := make(chan error, 1)
	var out []byte
	go func() {
		var err error
		out, err = cmd.Output()
		done <- err
	}()
	w.await(t, 1500) // the shadow reads the log by then
	for _, s := range []string{"alter table seq add column fresh int default 7", "update seq set v = 'changed' where id = 5", "delete from seq where id = 6"} {
		if err := r.db.exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var report struct {
		Topics                 []struct{ Topic string }
		Equal, Different       int
		OnlyJava, OnlyMillrace int
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if report.Equal < 1500 {
		t.Errorf("only %d records were compared", report.Equal)
	}
	w.stop(t)
	r.do(t, &r.java.Rest, "DELETE", "/connectors/"+r.name, nil, nil)
	r.java.end(t, syscall.SIGTERM)
}
