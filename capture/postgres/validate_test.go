package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"millrace/capture"
	"millrace/internal/configdef"
	"millrace/internal/testkit"
)

// validateOn runs Validate for a config against the test server.
func validateOn(t *testing.T, s testkit.Endpoint, set map[string]string) []configdef.Problem {
	t.Helper()
	p := baseProps()
	p["database.hostname"], p["database.port"], p["database.user"], p["database.password"], p["database.dbname"] = s.Host, s.Port, s.User, "secret-word", "postgres"
	p["slot.name"], p["publication.name"] = "millrace_validate", "millrace_validate"
	if s.Password != "" {
		p["database.password"] = s.Password
	}
	for k, v := range set {
		p[k] = v
	}
	v, err := Def().Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	ps := Validate(t.Context(), v)
	for _, x := range ps {
		if strings.Contains(x.Text, "secret-word") {
			t.Errorf("the password is in %q", x.Text)
		}
	}
	return ps
}

func adminExec(t *testing.T, s testkit.Endpoint, sql ...string) {
	t.Helper()
	c := Conn{Host: s.Host, User: s.User, Password: s.Password, Database: "postgres", SSLMode: "prefer", KeepAlive: true}
	fmt.Sscan(s.Port, &c.Port)
	conn, err := c.connect(context.WithoutCancel(t.Context()), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(conn)
	for _, q := range sql {
		if _, err := exec(context.WithoutCancel(t.Context()), conn, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// silent is the port of a server that accepts connections and says nothing.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestValidateServer(t *testing.T) {
	s := testkit.Postgres(t)
	adminExec(t, s, `DROP ROLE IF EXISTS millrace_plain`, `DROP ROLE IF EXISTS millrace_repl`, `CREATE ROLE millrace_plain LOGIN`, `CREATE ROLE millrace_repl LOGIN REPLICATION`,
		`SELECT pg_create_logical_replication_slot('millrace_validate_td', 'test_decoding')`)
	t.Cleanup(func() {
		adminExec(t, s, `DROP ROLE millrace_plain`, `DROP ROLE millrace_repl`, `SELECT pg_drop_replication_slot('millrace_validate_td')`)
	})
	for _, c := range []struct {
		name     string
		set      map[string]string
		property string
		text     string // exact when it begins with "Error while", else a part; "" for no problem
	}{
		{"good", nil, "", ""},
		{"port", map[string]string{"database.port": "1"}, "database.hostname", "Error while validating connector config: Connection to " + s.Host + ":1 refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections."},
		{"no port", map[string]string{"database.port": "0"}, "database.hostname", "Error while validating connector config: Unable to parse URL jdbc:postgresql://" + s.Host + ":0/postgres"},
		{"query timeout", map[string]string{"database.query.timeout.ms": "-1"}, "database.hostname", "Error while validating connector config: Query timeout must be a value greater than or equals to 0."},
		{"host", map[string]string{"database.hostname": "no-such-host.invalid"}, "database.hostname", "Error while validating connector config: The connection attempt failed. The host name no-such-host.invalid is not known; check database.hostname."},
		{"database", map[string]string{"database.dbname": "no_such_database"}, "database.hostname", `Error while validating connector config: FATAL: database "no_such_database" does not exist`},
		{"user", map[string]string{"database.user": "no_such_user"}, "database.hostname", `Error while validating connector config: FATAL: role "no_such_user" does not exist`},
		{"no replication", map[string]string{"database.user": "millrace_plain", "publication.autocreate.mode": "no_tables", "snapshot.mode": "initial"}, "database.user", "ALTER ROLE \"millrace_plain\" REPLICATION"},
		{"all tables", map[string]string{"database.user": "millrace_repl"}, "publication.autocreate.mode", "publication.autocreate.mode=filtered"},
		{"initial_only", map[string]string{"database.user": "millrace_plain", "snapshot.mode": "initial_only"}, "", ""},
		{"create right", map[string]string{"database.user": "millrace_repl", "publication.autocreate.mode": "no_tables"}, "publication.autocreate.mode", "GRANT CREATE ON DATABASE"},
		{"publication", map[string]string{"publication.autocreate.mode": "disabled"}, "publication.name", "CREATE PUBLICATION millrace_validate"},
		{"plugin of slot", map[string]string{"slot.name": "millrace_validate_td"}, "slot.name", "test_decoding"},
		{"timeout", map[string]string{"connection.validation.timeout.ms": "300", "database.hostname": "127.0.0.1", "database.port": silent(t)}, "database.hostname", "Connection validation timed out after 300 ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := validateOn(t, s, c.set)
			if c.text == "" {
				if len(ps) > 0 {
					t.Errorf("%v", ps)
				}
				return
			}
			if len(ps) == 0 {
				t.Fatal("no problem found")
			}
			found := false
			for _, p := range ps {
				same := strings.Contains(p.Text, c.text)
				if strings.HasPrefix(c.text, "Error while") {
					same = p.Text == c.text
				}
				found = found || p.Property == c.property && same
			}
			if !found || len(ps) > 2 {
				t.Errorf("%v", ps)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	s := testkit.Postgres(t)
	adminExec(t, s, `CREATE SCHEMA millrace_pre`, `CREATE TABLE millrace_pre.customers(id int primary key)`)
	t.Cleanup(func() { adminExec(t, s, `DROP SCHEMA millrace_pre CASCADE`) })
	p := baseProps()
	p["database.hostname"], p["database.port"], p["database.user"], p["database.password"], p["database.dbname"] = s.Host, s.Port, s.User, s.Password, "postgres"
	p["table.include.list"] = `millrace_pre.customers,millrace_pre.custmers`
	o, err := ParseOptions("c", 0, p)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(Preflight(t.Context(), o, nil), func(f capture.Finding) bool {
		return f.Check == "table.include.list" && strings.Contains(f.Subject, "custmers")
	})
	if i < 0 {
		t.Error("nothing is said about a pattern that matches no table")
	}
}
