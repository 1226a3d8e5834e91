package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binary returns the path of a millrace binary: the one MILLRACE_TEST_BIN names,
// or one built from this module, with the race detector when MILLRACE_TEST_RACE is set.
func Binary(t testing.TB) string {
	t.Helper()
	if b := os.Getenv("MILLRACE_TEST_BIN"); b != "" {
		return b
	}
	out := filepath.Join(t.TempDir(), "millrace")
	args := []string{"build", "-o", out}
	if os.Getenv("MILLRACE_TEST_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "millrace/cmd/millrace")...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building millrace: %v\n%s", err, b)
	}
	return out
}

// Daemon is `millrace run` as a process of its own, so that it can be killed.
type Daemon struct {
	Rest
	// Props are the worker properties it runs with, for a look or a change before Start.
	Props map[string]string

	bin, dir string
	log      *lockedBuffer
	cmd      *exec.Cmd
	exited   chan struct{} // closed once the process is gone
	how      error         // how it ended, nil for status 0; to be read after exited is closed
}

// lockedBuffer collects the output of a process.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// PrepareDaemon prepares a distributed worker on a free port with storage topics
// and a group of its own, named by the returned tag; props go over these defaults.
// dir takes its files. Start starts it; the caller ends it with Stop or Kill and
// deletes the topics of tag.
func PrepareDaemon(dir, bin, bootstrap string, props map[string]string) (d *Daemon, tag string, err error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	tag = Name("mr")
	rest := "http://127.0.0.1:" + port
	d = &Daemon{Rest: Rest{URL: rest}, bin: bin, dir: dir, log: &lockedBuffer{}, Props: map[string]string{
		"bootstrap.servers": bootstrap, "group.id": tag, "listeners": rest,
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"config.storage.topic": tag + "-configs", "offset.storage.topic": tag + "-offsets", "status.storage.topic": tag + "-status",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1",
		"offset.flush.interval.ms": "1000", "connector.client.config.override.policy": "All",
	}}
	for k, v := range props {
		d.Props[k] = v
	}
	return d, tag, nil
}

// NewDaemon is PrepareDaemon for a test: when the test ends the process is gone,
// and so are its topics; on failure its log is shown.
func NewDaemon(t testing.TB, bin string, props map[string]string) *Daemon {
	t.Helper()
	d, tag, err := PrepareDaemon(t.TempDir(), bin, Kafka(t), props)
	if err != nil {
		t.Fatalf("preparing a daemon: %v", err)
	}
	DropTopics(t, tag)
	t.Cleanup(func() {
		d.Kill()
		if _, race, found := strings.Cut(d.log.String(), "WARNING: DATA RACE"); found {
			t.Errorf("the daemon has a data race:%s", race[:min(len(race), 4000)])
		}
		if t.Failed() {
			t.Logf("the daemon's log ends with:\n%s", d.LogTail(6000))
		}
	})
	return d
}

// LogTail returns the last n bytes of what the daemon has printed.
func (d *Daemon) LogTail(n int) string {
	s := d.log.String()
	return s[max(0, len(s)-n):]
}

// PID returns the process id of the running daemon.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Start starts the daemon and returns once its REST server answers, after how long.
func (d *Daemon) Start(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := d.Spawn(); err != nil {
		return 0, err
	}
	err := d.answer(ctx, began)
	return time.Since(began), err
}

// Spawn starts the process and returns at once.
func (d *Daemon) Spawn() error {
	var sb strings.Builder
	keys := make([]string, 0, len(d.Props))
	for k := range d.Props {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(&sb, "%s=%s\n", k, d.Props[k])
	}
	file := filepath.Join(d.dir, "worker.properties")
	if err := os.WriteFile(file, []byte(sb.String()), 0o600); err != nil {
		return err
	}
	d.cmd = exec.Command(d.bin, "run", file)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = dieWithParent()
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { // ends with the process; Kill and Stop wait for it
		d.how = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	return nil
}

// answer waits until GET / gives 200.
func (d *Daemon) answer(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		if err := d.once(ctx, http.MethodGet, "/", nil, nil); err == nil {
			return nil
		}
		select {
		case <-d.exited:
			err := d.how
			if err == nil {
				err = errors.New("exit status 0")
			}
			return fmt.Errorf("the daemon stopped %s after its start: %w\n%s", time.Since(began).Round(time.Millisecond), err, d.LogTail(3000))
		case <-ctx.Done():
			return fmt.Errorf("the daemon's REST server did not answer: %w\n%s", ctx.Err(), d.LogTail(3000))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill ends the daemon with SIGKILL and waits until it is gone.
func (d *Daemon) Kill() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	_ = d.cmd.Process.Kill() // it may be gone already
	<-d.exited
	d.cmd = nil
}

// Stop asks the daemon to stop (SIGTERM) and waits until it is gone; an exit
// status other than 0 is an error.
func (d *Daemon) Stop(ctx context.Context) error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.exited:
		d.cmd = nil
		return d.how
	case <-ctx.Done():
		return fmt.Errorf("the daemon does not stop: %w\n%s", ctx.Err(), d.LogTail(3000))
	}
}
