// Package pgserver runs PostgreSQL servers of a test's own, for what cannot be done
// to a server that others use: certificates, a crash, log that is removed, a standby
// and its promotion.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"millrace/internal/testkit"
)

// patience bounds a start and a stop.
const patience = 3 * time.Minute

// Server is a PostgreSQL server on a port of 127.0.0.1; its superuser is postgres,
// who needs no password.
type Server struct {
	testkit.Endpoint
	// Dir is the data directory.
	Dir string

	t   testing.TB
	bin string
	cmd *exec.Cmd
	log *bytes.Buffer
}

// programs finds the directory of initdb and postgres: MILLRACE_TEST_PG_BIN, the
// PATH, the newest of the distribution's.
func programs(t testing.TB) string {
	t.Helper()
	if d := os.Getenv("MILLRACE_TEST_PG_BIN"); d != "" {
		return d
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	sort.Strings(found)
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("initdb is not to be found; set MILLRACE_TEST_PG_BIN")
		}
		t.Skip("initdb is not to be found; set MILLRACE_TEST_PG_BIN")
	}
	return filepath.Dir(found[len(found)-1])
}

// account is whom the server runs as: PostgreSQL refuses root.
func account(t testing.TB) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatalf("a server does not run as root, and there is no other user: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// environ is the environment of the server's programs. Those that scripts/servers has
// unpacked for a user without root find their libraries beside them.
func (s *Server) environ() []string {
	env := append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if top, _, ok := strings.Cut(s.bin, "/lib/postgresql/"); ok && top != "/usr" {
		libs, _ := filepath.Glob(top + "/lib/*-linux-gnu")
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
	}
	return env
}

// New makes a server and starts it. conf are lines of postgresql.conf beside
// wal_level=logical. It is gone when the test ends.
func New(t testing.TB, conf ...string) *Server {
	t.Helper()
	s := prepare(t)
	s.run(s.bin+"/initdb", "-D", s.Dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")
	s.Conf(append([]string{"wal_level = logical", "max_wal_senders = 10", "max_replication_slots = 10", "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''",
		"fsync = off", "timezone = 'UTC'", "shared_buffers = 16MB", "min_wal_size = 2MB", "max_wal_size = 64MB", "wal_receiver_status_interval = 1s"}, conf...)...)
	s.Start()
	return s
}

// prepare makes the place of a server.
func prepare(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, bin: programs(t), log: &bytes.Buffer{}}
	top, err := os.MkdirTemp("", "pgserver")
	if err != nil {
		t.Fatal(err)
	}
	s.Dir = filepath.Join(top, "data")
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the log of the server on port %s ends with:\n%s", s.Port, s.log.Bytes()[max(0, s.log.Len()-4000):])
		}
		_ = os.RemoveAll(top)
	})
	if a := account(t); a != nil {
		if err := os.Chown(top, int(a.Credential.Uid), int(a.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.Host, s.Port, s.User = "127.0.0.1", testkit.FreePort(t), "postgres"
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort(s.Host, s.Port), Path: "/postgres", RawQuery: "sslmode=prefer"}
	s.URL = u.String()
	return s
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Env = account(s.t), "/", s.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
}

// Conf adds lines to postgresql.conf; the next start reads them.
func (s *Server) Conf(lines ...string) { s.t.Helper(); s.append("postgresql.conf", lines...) }

// HBA puts lines before those of pg_hba.conf; the next start reads them.
func (s *Server) HBA(lines ...string) {
	s.t.Helper()
	s.Write("pg_hba.conf", []byte(strings.Join(lines, "\n")+"\n"))
}

func (s *Server) append(name string, lines ...string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Dir, name), os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Write writes a file of the data directory, which the server then owns.
func (s *Server) Write(name string, content []byte) {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	err := os.WriteFile(path, content, 0o600)
	if a := account(s.t); err == nil && a != nil {
		err = os.Chown(path, int(a.Credential.Uid), int(a.Credential.Gid))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Start starts the server and returns once it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin+"/postgres", "-D", s.Dir, "-p", s.Port)
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Env = testkit.DieWithParent(), "/", s.environ()
	if a := account(s.t); a != nil {
		if s.cmd.SysProcAttr == nil {
			s.cmd.SysProcAttr = a
		}
		s.cmd.SysProcAttr.Credential = a.Credential
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.URL)
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("the server does not answer: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop stops the server in order, with every session.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill stops it at once, as a crash does: it recovers at the next start.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(how syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(how)
	done := make(chan struct{})
	go func(c *exec.Cmd) { _ = c.Wait(); close(done) }(s.cmd)
	select {
	case <-done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-done
	}
	s.cmd = nil
}

// Exec runs statements one by one in a database.
func (s *Server) Exec(database string, statements ...string) {
	s.t.Helper()
	c := s.connect(database)
	defer func() { _ = c.Close(context.Background()) }()
	for _, q := range statements {
		if _, err := c.PgConn().Exec(s.t.Context(), q).ReadAll(); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// One asks for one text.
func (s *Server) One(database, sql string) string {
	s.t.Helper()
	c := s.connect(database)
	defer func() { _ = c.Close(context.Background()) }()
	var v *string
	if err := c.QueryRow(s.t.Context(), sql).Scan(&v); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

func (s *Server) connect(database string) *pgx.Conn {
	s.t.Helper()
	c, err := pgx.Connect(s.t.Context(), strings.Replace(s.URL, "/postgres?", "/"+database+"?", 1))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Major is the server's version: 15.
func (s *Server) Major() int {
	s.t.Helper()
	n, _ := strconv.Atoi(s.One("postgres", "select current_setting('server_version_num')"))
	return n / 10000
}

// Standby makes a standby of the server, from a copy of its files, with lines of
// postgresql.conf of its own. The server is restarted for it.
func (s *Server) Standby(conf ...string) *Server {
	s.t.Helper()
	s.Exec("postgres", "select pg_create_physical_replication_slot('millrace_standby')")
	b := prepare(s.t)
	s.Stop()
	s.run("cp", "-a", s.Dir, b.Dir)
	s.run("find", filepath.Join(b.Dir, "pg_replslot"), "-mindepth", "1", "-delete") // as a base backup: slots stay behind
	s.Start()
	b.Write("standby.signal", nil)
	b.Conf(append([]string{fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%s user=postgres dbname=postgres'", s.Port), "primary_slot_name = 'millrace_standby'", "hot_standby = on", "hot_standby_feedback = on"}, conf...)...)
	b.Start()
	return b
}
