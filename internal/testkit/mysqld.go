package testkit

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of the servers' own connections
)

// Mysqld is a MySQL server of one test's own, so that its logs may be purged, its
// process killed and its role changed. It has GTIDs and little memory.
type Mysqld struct {
	Endpoint
	DB *sql.DB // as root

	args   []string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// mysqldCommand is how to run the program of the server of MILLRACE_TEST_MYSQL, which
// says where it lies. A copy that came with its own loader is run by that.
func mysqldCommand(t testing.TB) []string {
	t.Helper()
	at := MySQL(t)
	db, err := sql.Open("mysql", at.User+":"+at.Password+"@tcp("+at.Host+":"+at.Port+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var base, messages, plugins, charsets string
	if err := db.QueryRowContext(t.Context(), "SELECT @@basedir, @@lc_messages_dir, @@plugin_dir, @@character_sets_dir").Scan(&base, &messages, &plugins, &charsets); err != nil {
		t.Fatalf("ask MySQL for its directories: %v", err)
	}
	var bin string
	for _, p := range []string{"sbin/mysqld", "bin/mysqld"} {
		if _, err := os.Stat(filepath.Join(base, p)); err == nil {
			bin = filepath.Join(base, p)
		}
	}
	if bin == "" {
		t.Skipf("the server of MILLRACE_TEST_MYSQL has no mysqld under %s on this machine", base)
	}
	cmd := []string{bin}
	if loaders, _ := filepath.Glob(filepath.Join(base, "lib", "*", "ld-linux-*.so.*")); len(loaders) > 0 {
		cmd = []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), bin}
	}
	cmd = append(cmd, "--no-defaults", "--basedir="+base, "--lc-messages-dir="+messages, "--plugin-dir="+plugins, "--character-sets-dir="+charsets, "--secure-file-priv=NULL")
	if os.Getuid() == 0 {
		cmd = append(cmd, "--user=root")
	}
	return cmd
}

// StartMysqld starts an empty server with a server id and more options. It is gone
// when the test ends, and its data with it.
func StartMysqld(t testing.TB, id int, options ...string) *Mysqld {
	t.Helper()
	cmd := mysqldCommand(t)
	dir, err := os.MkdirTemp("", "my") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	emptyData.copyTo(t, cmd, data)
	port := FreePort(t)
	m := &Mysqld{Endpoint: Endpoint{Host: "127.0.0.1", Port: port, User: "root"}, dir: dir}
	m.args = append(append(cmd, "--datadir="+data, "--port="+port, "--bind-address=127.0.0.1", "--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"),
		"--mysqlx=OFF", "--server-id="+strconv.Itoa(id), "--log-bin=binlog", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--default-time-zone=+00:00",
		"--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-buffer-pool-size=32M", "--innodb-redo-log-capacity=8M", "--performance-schema=OFF"), options...)
	if m.DB, err = sql.Open("mysql", "root@tcp(127.0.0.1:"+port+")/?multiStatements=true"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.DB.Close(); m.Kill() })
	m.Start(t)
	return m
}

// dataDir is the data directory of a server that was just initialised. Making one takes
// seconds, copying it next to nothing, so servers that live at the same time share it.
type dataDir struct {
	mu    sync.Mutex
	dir   string
	users int // tests that have not ended
}

var emptyData dataDir

func (d *dataDir) copyTo(t testing.TB, cmd []string, to string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == 0 {
		dir, err := os.MkdirTemp("", "my")
		if err != nil {
			t.Fatal(err)
		}
		init := append(append([]string(nil), cmd[1:]...), "--datadir="+filepath.Join(dir, "data"), "--initialize-insecure", "--innodb-redo-log-capacity=8M")
		if out, err := exec.CommandContext(t.Context(), cmd[0], init...).CombinedOutput(); err != nil {
			_ = os.RemoveAll(dir)
			t.Fatalf("initialise a MySQL server: %v\n%s", err, out)
		}
		d.dir = dir
	}
	d.users++
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.users--; d.users == 0 {
			_ = os.RemoveAll(d.dir)
		}
	})
	if err := os.CopyFS(to, os.DirFS(filepath.Join(d.dir, "data"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(to, "auto.cnf")); err != nil && !os.IsNotExist(err) { // each server has a UUID of its own
		t.Fatal(err)
	}
}

// Start starts the server's process and waits until it answers.
func (m *Mysqld) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	m.cmd = exec.Command(m.args[0], m.args[1:]...)
	m.cmd.Dir, m.cmd.Stdout, m.cmd.Stderr, m.cmd.SysProcAttr = m.dir, log, log, dieWithParent()
	if err := m.cmd.Start(); err != nil {
		t.Fatalf("start a MySQL server: %v", err)
	}
	m.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { // ends with the process; Kill waits for it
		_ = cmd.Wait()
		close(exited)
	}(m.cmd, m.exited)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for m.DB.PingContext(ctx) != nil {
		select {
		case <-m.exited:
			t.Fatalf("the MySQL server stopped at its start:\n%s", m.logTail())
		case <-ctx.Done():
			t.Fatalf("the MySQL server does not answer:\n%s", m.logTail())
		case <-time.After(50 * time.Millisecond): // nothing announces that it answers
		}
	}
}

func (m *Mysqld) logTail() string {
	b, err := os.ReadFile(filepath.Join(m.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (m *Mysqld) Kill() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill() // it may be gone already
		<-m.exited
		m.cmd = nil
	}
}

// Exec runs statements as root.
func (m *Mysqld) Exec(t testing.TB, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	if _, err := m.DB.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// Value runs a question with one answer.
func (m *Mysqld) Value(t testing.TB, question string) (out string) {
	t.Helper()
	if err := m.DB.QueryRowContext(t.Context(), question).Scan(&out); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return out
}
