//go:build java

package handover

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/testkit"
)

// javaWorker is a worker of Kafka Connect. MILLRACE_TEST_JAVA_LIBS is the directory
// of its jars, MILLRACE_TEST_JAVA_PLUGINS its plugin.path.
type javaWorker struct {
	testkit.Rest
	props map[string]string
	dir   string
	cmd   *exec.Cmd
	gone  chan struct{}
}

func newJava(t *testing.T, props map[string]string) *javaWorker {
	t.Helper()
	j := &javaWorker{dir: t.TempDir(), props: map[string]string{}}
	port := testkit.FreePort(t)
	j.URL = "http://127.0.0.1:" + port
	for k, v := range props {
		j.props[k] = v
	}
	j.props["listeners"] = j.URL
	j.props["plugin.path"] = need(t, "MILLRACE_TEST_JAVA_PLUGINS")
	j.props["plugin.discovery"] = "service_load"
	j.props["scheduled.rebalance.max.delay.ms"] = "0"
	t.Cleanup(func() {
		j.end(t, syscall.SIGKILL)
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(j.dir, "log"))
			t.Logf("the Java worker's log ends with:\n%s", b[max(0, len(b)-6000):])
		}
	})
	return j
}

func need(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set; run scripts/handover", name)
	}
	return v
}

// start starts the worker and waits for its REST server.
func (j *javaWorker) start(t *testing.T) {
	t.Helper()
	var sb strings.Builder
	keys := make([]string, 0, len(j.props))
	for k := range j.props {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(&sb, "%s=%s\n", k, j.props[k])
	}
	file := filepath.Join(j.dir, "worker.properties")
	if err := os.WriteFile(file, []byte(sb.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(j.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	j.cmd = exec.Command("java", "-Xmx800m", "-cp", filepath.Join(need(t, "MILLRACE_TEST_JAVA_LIBS"), "*"), "org.apache.kafka.connect.cli.ConnectDistributed", file)
	j.cmd.Stdout, j.cmd.Stderr, j.cmd.SysProcAttr = log, log, testkit.DieWithParent()
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	j.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) { // ends with the process; end waits for it
		_ = cmd.Wait()
		_ = log.Close()
		close(gone)
	}(j.cmd, j.gone)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		var names []string
		if err := j.Do(ctx, "GET", "/connectors", nil, &names); err == nil {
			return
		}
		select {
		case <-j.gone:
			t.Fatal("the Java worker ended while it started")
		case <-ctx.Done():
			t.Fatal("the Java worker does not answer")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// end sends the worker a signal and waits until it is gone.
func (j *javaWorker) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if j.cmd == nil {
		return
	}
	_ = j.cmd.Process.Signal(sig) // it may be gone already
	select {
	case <-j.gone:
	case <-time.After(2 * time.Minute):
		_ = j.cmd.Process.Kill()
		<-j.gone
		t.Errorf("the Java worker does not stop")
	}
	j.cmd = nil
}
