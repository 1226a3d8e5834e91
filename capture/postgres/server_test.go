package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/testkit"
	"millrace/internal/testkit/pgserver"
)

// rigOn makes a rig on a server of the test's own.
func rigOn(t *testing.T, s *pgserver.Server, name, setup string, more ...string) *rig {
	t.Helper()
	db, err := testkit.CreateDatabase(t.Context(), s.Endpoint, name)
	if err != nil {
		t.Fatal(err)
	}
	if setup != "" {
		db.Exec(t, setup)
	}
	r := &rig{Database: db, t: t, props: map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "srv", "plugin.name": "pgoutput",
		"database.hostname": s.Host, "database.port": s.Port, "database.user": s.User, "database.password": "x", "database.dbname": name,
		"slot.name": name, "publication.name": name, "snapshot.mode": "no_data", "retriable.restart.connector.wait.ms": "100", "status.update.interval.ms": "200",
	}}
	for i := 0; i+1 < len(more); i += 2 {
		r.props[more[i]] = more[i+1]
	}
	return r
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name string, b []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), b, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) read(name string) []byte {
	a.t.Helper()
	b, err := os.ReadFile(a.file(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// issue writes NAME.crt, NAME.key and NAME.pk8.
func (a *authority) issue(name string, hosts ...string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{SerialNumber: big.NewInt(a.n + 1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pk8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk8}))
	a.write(name+".pk8", pk8)
}

// TestTLS tries every sslmode against a server with a certificate for localhost, that
// refuses connections without TLS and wants a client certificate from one user.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := pgserver.New(t)
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	ca.issue("server", "localhost")
	ca.issue("certified")
	other.issue("stranger")
	s.Exec("postgres", "create role certified superuser login")
	r := rigOn(t, s, "tls", "create table a (id int primary key)")
	for _, f := range []string{"server.crt", "server.key", "ca.crt"} {
		s.Write(f, ca.read(f))
	}
	s.Conf("ssl = on", "ssl_ca_file = 'ca.crt'")
	s.HBA("hostssl all,replication certified 127.0.0.1/32 cert", "hostssl all,replication certified ::1/128 cert", "hostssl all,replication all 127.0.0.1/32 trust", "hostssl all,replication all ::1/128 trust")
	s.Stop()
	s.Start()
	root := ca.file("ca.crt")
	client := func(cert, key string) map[string]string {
		return map[string]string{"database.user": "certified", "database.sslmode": "verify-full", "database.sslrootcert": root, "database.sslcert": cert, "database.sslkey": key}
	}
	for _, c := range []struct {
		name string
		set  map[string]string
		bad  string // what the error says; "" works
	}{
		{"disable", map[string]string{"database.sslmode": "disable"}, "no encryption"},
		{"allow", map[string]string{"database.sslmode": "allow"}, ""},
		{"prefer", map[string]string{"database.sslmode": "prefer"}, ""},
		{"require", map[string]string{"database.sslmode": "require"}, ""},
		{"require, another authority", map[string]string{"database.sslmode": "require", "database.sslrootcert": other.file("other.crt")}, ""},
		{"verify-ca", map[string]string{"database.sslmode": "verify-ca", "database.sslrootcert": root, "database.hostname": "127.0.0.1"}, ""},
		{"verify-ca, another authority", map[string]string{"database.sslmode": "verify-ca", "database.sslrootcert": other.file("other.crt")}, "certificate"},
		{"verify-full", map[string]string{"database.sslmode": "verify-full", "database.sslrootcert": root}, ""},
		{"verify-full, another name", map[string]string{"database.sslmode": "verify-full", "database.sslrootcert": root, "database.hostname": "127.0.0.1"}, "certificate"},
		{"verify-full, no authority", map[string]string{"database.sslmode": "verify-full"}, "certificate"},
		{"any server", map[string]string{"database.sslmode": "verify-full", "database.sslfactory": factoryTrustAll}, ""},
		{"client certificate", client(ca.file("certified.crt"), ca.file("certified.key")), ""},
		{"client key in DER", client(ca.file("certified.crt"), ca.file("certified.pk8")), ""},
		{"client certificate is missing", map[string]string{"database.user": "certified", "database.sslmode": "require"}, "certificate"},
		{"client certificate of a stranger", client(other.file("stranger.crt"), other.file("stranger.key")), "certificate"},
		{"no such file", client(ca.file("nothing.crt"), ca.file("nothing.key")), "nothing.crt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := map[string]string{"database.port": s.Port, "database.dbname": "tls", "database.hostname": "localhost", "database.user": "postgres"}
			for k, v := range c.set {
				set[k] = v
			}
			ps := validateOn(t, s.Endpoint, set)
			if c.bad == "" && len(ps) > 0 || c.bad != "" && (len(ps) == 0 || !strings.Contains(ps[0].Text, c.bad)) {
				t.Errorf("%v, want %q", ps, c.bad)
			}
		})
	}
	// The whole way once: slot, stream, heartbeat connections all have the certificate.
	r.props["database.hostname"] = "localhost"
	for k, v := range client(ca.file("certified.crt"), ca.file("certified.pk8")) {
		r.props[k] = v
	}
	out := newSink()
	x := r.start(nil, out)
	s.Exec("tls", "insert into a values (1)")
	out.waitN(t, 1)
	if n := s.One("tls", "select count(*)::text from pg_stat_ssl s join pg_stat_activity a using (pid) where usename = 'certified' and client_dn = '/CN=certified'"); n == "0" {
		t.Error("no session has the client certificate")
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	// A certificate that does not fit is no reason to try again.
	r.props["database.sslrootcert"] = other.file("other.crt")
	r.fails(string(out.Stored().Offset()), "certificate", "sslrootcert")
}

// TestLogRemovedWhileDown: max_slot_wal_keep_size lets the server remove log that the
// slot needs. Debezium fails as well, or streams on from now where the slot was made
// anew (DBZ-3331, DBZ-5739); here the error says what was lost, and when_needed mends it.
func TestLogRemovedWhileDown(t *testing.T) {
	t.Parallel()
	s := pgserver.New(t, "max_slot_wal_keep_size = 2MB", "max_wal_size = 2MB")
	r := rigOn(t, s, "removed", "create table a (id int primary key)")
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into a values (1)")
	out.waitN(t, 1)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		r.Exec(t, fmt.Sprintf("insert into a values (%d)", i+2))
		r.Exec(t, "select pg_switch_wal()")
		r.Exec(t, "checkpoint")
	}
	until(t, "the slot is lost", func() bool {
		return r.one("select wal_status from pg_replication_slots where slot_name = $1", r.Name) == "lost"
	})
	r.fails(string(out.Stored().Offset()), "removed", "pg_drop_replication_slot", "when_needed", "max_slot_wal_keep_size")
	r.one("select pg_drop_replication_slot($1)::text", r.Name)
	r.props["snapshot.mode"] = "when_needed"
	again := newSink()
	y := r.start(out.Stored().Offset(), again)
	if n := len(rows(again.waitN(t, 13))); n != 13 {
		t.Errorf("%d rows", n)
	}
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
}

// TestServerCrash: the server is stopped, and crashes, under a running source, which
// goes on by itself without loss and without repeats.
func TestServerCrash(t *testing.T) {
	t.Parallel()
	s := pgserver.New(t)
	r := rigOn(t, s, "crash", "create table a (id int primary key)")
	out := newSink()
	x := r.start(nil, out)
	for i := range 3 {
		r.Exec(t, fmt.Sprintf("insert into a select g from generate_series(%d, %d) g", i*100, i*100+49))
		if i%2 == 0 {
			s.Kill()
		} else {
			s.Stop()
		}
		s.Start()
		r.Exec(t, fmt.Sprintf("insert into a select g from generate_series(%d, %d) g", i*100+50, i*100+99))
	}
	rs := out.waitN(t, 300)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	for i, g := range rs {
		if want := fmt.Sprintf("{id:%d}", i); g.Key != want {
			t.Fatalf("record %d is %s, want %s", i, g.Key, want)
		}
	}
}

// TestStandby reads from a standby (PostgreSQL 16), whose slot is the connector's own,
// and from a primary that becomes one by promotion, with a failover slot (17).
func TestStandby(t *testing.T) {
	t.Parallel()
	s := pgserver.New(t, "hot_standby = on")
	major := s.Major()
	r := rigOn(t, s, "standby", "create table a (id int primary key); create table noise (id int); create publication standby for all tables", "slot.failover", "true", "table.include.list", "public.a")
	out := newSink()
	x := r.start(nil, out)
	s.Exec("standby", "insert into a values (1)")
	out.waitN(t, 1)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	if got := failover(s, major); got != "" && got != "true" {
		t.Errorf("the slot's failover is %s", got)
	}
	conf := []string{}
	if major >= 17 {
		conf = append(conf, "sync_replication_slots = on")
	}
	b := s.Standby(conf...)
	if major >= 17 {
		// A slot is synchronised once it moves, so the source runs on the primary meanwhile.
		w := r.start(out.Stored().Offset(), out)
		until(t, "the slot is on the standby", func() bool {
			s.Exec("standby", "insert into noise values (1)", "select pg_log_standby_snapshot()")
			return b.One("postgres", "select count(*)::text from pg_replication_slots where slot_name = 'standby' and synced and not temporary") == "1"
		})
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
	}
	on := *r
	on.props = map[string]string{}
	for k, v := range r.props {
		on.props[k] = v
	}
	on.props["database.port"], on.props["slot.name"], on.props["errors.max.retries"] = b.Port, "standby_own", "0"
	on.Database = &testkit.Database{Endpoint: b.Endpoint, Name: "standby"}
	on.URL = strings.Replace(b.URL, "/postgres?", "/standby?", 1)
	if major < 16 {
		on.fails("", "standby")
		return
	}
	// The slot waits for a record about running transactions, which the primary writes.
	stop := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				s.Exec("postgres", "select pg_log_standby_snapshot()")
			}
		}
	}()
	there := newSink()
	y := on.start(nil, there)
	close(stop)
	<-told
	s.Exec("standby", "insert into a values (2)")
	if got := rows(there.waitN(t, 1)); !slices.Equal(got, []string{"a c {id:2} {id:2}"}) {
		t.Error(got)
	}
	if err := y.end(); err != nil {
		t.Fatal(err)
	}
	if major < 17 {
		return
	}
	// The primary dies, the standby takes over with the slot that was synchronised.
	s.Exec("standby", "insert into a values (3)")
	until(t, "the standby has it all", func() bool { return b.One("standby", "select max(id)::text from a") == "3" })
	s.Kill()
	b.Exec("postgres", "select pg_promote()")
	b.Exec("standby", "insert into a values (4)")
	on.props["slot.name"] = "standby"
	after := newSink()
	z := on.start(out.Stored().Offset(), after)
	if got := rows(after.waitN(t, 3)); !slices.Equal(got, []string{"a c {id:2} {id:2}", "a c {id:3} {id:3}", "a c {id:4} {id:4}"}) {
		t.Error(got)
	}
	if err := z.end(); err != nil {
		t.Fatal(err)
	}
}

// failover says whether the slot is a failover slot; "" where there are none.
func failover(s *pgserver.Server, major int) string {
	if major < 17 {
		return ""
	}
	return s.One("standby", "select failover::text from pg_replication_slots where slot_name = 'standby'")
}
