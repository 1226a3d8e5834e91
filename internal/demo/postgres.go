package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// postgresVersion is what the embedded server runs.
const postgresVersion = embeddedpostgres.V17

// HelperCommand is the hidden command by which the binary runs the embedded
// PostgreSQL in a process of its own: as another user when started by root, and
// gone when its parent is gone, however that ended.
const HelperCommand = "demo-postgres"

// helperConfig is the helper's argument.
type helperConfig struct {
	Port    uint32
	Cache   string // archives and unpacked programs, kept
	Runtime string // everything of this run, removed in the end
	MySQL   string // program of MySQL or MariaDB to run instead; "" none
}

// RunHelper runs the embedded PostgreSQL, MySQL or MariaDB until stdin ends. It prints "ready" once
// the server answers, or "error: " and why not.
func RunHelper(arg string, stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // the parent decides when to end
	var c helperConfig
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return fmt.Errorf("%s is started by `millrace demo`, not by hand: %w", HelperCommand, err)
	}
	if c.MySQL != "" {
		err := runMySQL(&c, func() error {
			fmt.Fprintln(stdout, "ready")
			_, _ = io.Copy(io.Discard, stdin)
			return nil
		})
		if err != nil {
			fmt.Fprintln(stdout, "error: "+strings.ReplaceAll(err.Error(), "\n", " "))
		}
		return errors.Join(err, os.RemoveAll(c.Runtime))
	}
	if err := adopt(); err != nil {
		return fmt.Errorf("adopting PostgreSQL: %w", err)
	}
	// The demo measures latency, so nothing that a real server does is turned off.
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(postgresVersion).Port(c.Port).
		CachePath(c.Cache).BinariesPath(filepath.Join(c.Cache, "postgres-"+string(postgresVersion))).
		RuntimePath(filepath.Join(c.Runtime, "run")).DataPath(filepath.Join(c.Runtime, "data")).
		Locale("C").Encoding("UTF8").StartTimeout(30 * time.Second).Logger(io.Discard).
		StartParameters(map[string]string{
			"wal_level": "logical", "listen_addresses": "127.0.0.1", "unix_socket_directories": c.Runtime,
			"max_wal_senders": "10", "max_replication_slots": "10", "shared_buffers": "64MB", "timezone": "UTC",
		}))
	err := db.Start()
	if err != nil {
		fmt.Fprintln(stdout, "error: "+strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		fmt.Fprintln(stdout, "ready")
		_, _ = io.Copy(io.Discard, stdin) // until the parent closes it or is gone
		if err = db.Stop(); err == nil {
			reap() // the server has ended, so this ends too
		}
	}
	return errors.Join(err, os.RemoveAll(c.Runtime))
}

// embedded is a running embedded PostgreSQL.
type embedded struct {
	url     string
	fetched bool // the programs were downloaded in this run
	cmd     *exec.Cmd
	stdin   io.Closer
	dir     string
}

// cacheDir is where downloads stay. Root's must be open to the user that runs the server.
func cacheDir() string {
	if os.Geteuid() == 0 {
		return "/var/cache/millrace/postgres"
	}
	d, err := os.UserCacheDir()
	if err != nil { // no home directory
		d = filepath.Join(os.TempDir(), "millrace-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(d, "millrace", "postgres")
}

// cached reports whether the server's programs are there already.
func cached() bool {
	_, err := os.Stat(filepath.Join(cacheDir(), "postgres-"+string(postgresVersion), "bin", "pg_ctl"))
	return err == nil
}

// startPostgres starts the embedded server on a port of 127.0.0.1. dir takes its
// data; the helper removes it in the end, also when this process was killed.
func startPostgres(ctx context.Context, port int, dir string) (*embedded, error) {
	fetched, cache := !cached(), cacheDir()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("no place for PostgreSQL's programs: %w", err)
	}
	e, err := startHelper(ctx, helperConfig{Port: uint32(port), Cache: cache, Runtime: dir}, "PostgreSQL", cache)
	if err != nil {
		return nil, err
	}
	e.url, e.fetched = fmt.Sprintf("postgres://postgres:postgres@127.0.0.1:%d/postgres?sslmode=disable", port), fetched
	return e, nil
}

// startHelper starts the helper and returns once the server that it runs, called
// name in errors, answers. dirs become the helper's, beside its runtime directory.
func startHelper(ctx context.Context, c helperConfig, name string, dirs ...string) (*embedded, error) {
	e := &embedded{dir: c.Runtime}
	arg, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	e.cmd = exec.Command(selfPath(), HelperCommand, string(arg))
	if e.cmd.SysProcAttr, err = helperAttr(append(dirs, e.dir)...); err != nil {
		return nil, err
	}
	e.cmd.Env = append(os.Environ(), "HOME="+e.dir)
	e.cmd.Dir = e.dir
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	e.cmd.Stderr = &stderr
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the helper of %s: %w", name, err)
	}
	line := make(chan string, 1)
	go func() { // ends with the helper
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(s)
	}()
	select {
	case s := <-line:
		if s == "ready" {
			return e, nil
		}
		err = fmt.Errorf("the embedded %s did not start: %s %s", name, strings.TrimPrefix(s, "error: "), strings.TrimSpace(stderr.String()))
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, e.stop())
}

// stop ends the server; the helper removes its data.
func (e *embedded) stop() error {
	_ = e.stdin.Close() // the helper sees the end of its input and stops the server
	done := make(chan error, 1)
	go func() { done <- e.cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		err = errors.Join(errors.New("the embedded server did not stop in 20 s and was killed"), e.cmd.Process.Kill(), <-done)
	}
	return err
}
