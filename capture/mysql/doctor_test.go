package mysql

import (
	"database/sql"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/capture"
	"millrace/internal/testkit"
)

// doctorSetup makes a database and a user of the test's own on a server, and
// returns the connector's properties and a way to run statements.
func doctorSetup(t *testing.T, s testkit.Endpoint, flavor Flavor) (props map[string]string, run func(string)) {
	t.Helper()
	host := "@'%'"
	if flavor == MariaDB {
		host = "@'localhost'" // a fresh MariaDB has an anonymous user there, who would win over '%'
	}
	auth := s.User
	if s.Password != "" {
		auth += ":" + s.Password
	}
	db, err := sql.Open("mysql", auth+"@tcp("+net.JoinHostPort(s.Host, s.Port)+")/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	run = func(q string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	name := testkit.Name("doctor")
	run("CREATE DATABASE " + name)
	run("CREATE TABLE " + name + ".orders(id int PRIMARY KEY)")
	run("CREATE USER " + name + host + " IDENTIFIED BY 'secret-word'")
	t.Cleanup(func() {
		for _, q := range []string{"DROP DATABASE " + name, "DROP USER " + name + host} {
			if _, err := db.Exec(q); err != nil {
				t.Error(err)
			}
		}
	})
	return map[string]string{"connector.class": "x", "topic.prefix": name, "database.hostname": s.Host, "database.port": s.Port, "database.user": name, "database.password": "secret-word",
		"database.server.id": "778899", "database.include.list": name, "schema.history.internal": "io.debezium.relational.history.MemorySchemaHistory"}, run
}

// TestDoctor gives a user nothing but a login, and then what each finding asks for,
// until nothing has failed.
func TestDoctor(t *testing.T) {
	for _, x := range []struct {
		flavor Flavor
		server func(testing.TB) testkit.Endpoint
	}{{MySQL, testkit.MySQL}, {MariaDB, testkit.MariaDB}} {
		t.Run(string(x.flavor), func(t *testing.T) {
			props, run := doctorSetup(t, x.server(t), x.flavor)
			name := props["topic.prefix"]
			examine := func(offset string, set ...string) *capture.Checkup {
				t.Helper()
				p := map[string]string{}
				for k, v := range props {
					p[k] = v
				}
				for i := 0; i < len(set); i += 2 {
					p[set[i]] = set[i+1]
				}
				o, err := ParseOptions(x.flavor, "doctor", 0, p)
				if err != nil {
					t.Fatal(err)
				}
				c := Doctor(t.Context(), o, []byte(offset))
				for _, f := range c.Findings {
					if strings.Contains(f.Found+f.Do+strings.Join(f.SQL, ""), "secret-word") {
						t.Errorf("the password is in %+v", f)
					}
				}
				return c
			}
			has := func(c *capture.Checkup, check string, state capture.State) *capture.Finding {
				i := slices.IndexFunc(c.Findings, func(f capture.Finding) bool { return f.Check == check && f.State == state })
				if i < 0 {
					return nil
				}
				return &c.Findings[i]
			}
			c := examine("")
			if has(c, "grants", capture.StateFailed) == nil || has(c, "tables", capture.StateFailed) == nil {
				t.Errorf("a user without rights: %+v", c.Findings)
			}
			for _, f := range c.Findings {
				if f.Check == "grants" {
					for _, q := range f.SQL {
						run(q)
					}
				}
			}
			host := "'@'%'"
			if x.flavor == MariaDB {
				host = "'@'localhost'"
			}
			run("GRANT SELECT ON " + name + ".* TO '" + name + host)
			c = examine("")
			for _, f := range c.Findings {
				if f.State == capture.StateFailed {
					t.Errorf("%+v", f)
				}
			}
			if len(c.Topics) != 1 || c.Topics[0] != name+"."+name+".orders" {
				t.Errorf("topics %q", c.Topics)
			}
			run("CREATE TABLE " + name + ".nokey(a int)")
			if has(examine(""), "key", capture.StateWarning) == nil {
				t.Error("a table without a key is not told")
			}
			if has(examine("", "message.key.columns", name+".nokey:a"), "key", capture.StateWarning) != nil {
				t.Error("message.key.columns is not seen")
			}
			if has(examine("", "database.server.id", "1"), "server id", capture.StateWarning) == nil && x.flavor == MySQL {
				t.Error("the server's own id is not told")
			}
			if f := has(examine(`{"file":"binlog.999999","pos":4}`), "stored offset", capture.StateFailed); f == nil {
				t.Error("a log that is gone is not told")
			}
			if has(examine("", "table.include.list", name+".missing"), "table.include.list", capture.StateFailed) == nil {
				t.Error("a missing table is not told")
			}
			if has(examine("", "database.password", "wrong"), "connection", capture.StateFailed) == nil {
				t.Error("a wrong password is not told")
			}
		})
	}
}

// TestDoctorLogSettings are verdicts on settings that a shared server cannot be put to.
func TestDoctorLogSettings(t *testing.T) {
	well := map[string]string{"binlog_row_image": "FULL", "binlog_row_metadata": "MINIMAL", "binlog_expire_logs_seconds": "2592000", "gtid_mode": "ON"}
	for _, c := range []struct {
		set, value string
		mariadb    bool
		check      string
		state      capture.State
		sql        string
	}{
		{"", "", false, "binlog_row_image", capture.StateOK, ""},
		{"binlog_row_image", "MINIMAL", false, "binlog_row_image", capture.StateWarning, "SET GLOBAL binlog_row_image = 'FULL'"},
		{"binlog_row_metadata", "NO_LOG", true, "binlog_row_metadata", capture.StateOK, ""},
		{"binlog_expire_logs_seconds", "3600", false, "binlog retention", capture.StateWarning, "SET PERSIST binlog_expire_logs_seconds = 604800"},
		{"binlog_expire_logs_seconds", "3600", true, "binlog retention", capture.StateWarning, "SET GLOBAL binlog_expire_logs_seconds = 604800"},
		{"binlog_expire_logs_seconds", "0", false, "binlog retention", capture.StateOK, ""},
		{"gtid_mode", "OFF", false, "gtid_mode", capture.StateWarning, "SET GLOBAL enforce_gtid_consistency = ON;SET GLOBAL gtid_mode = 'OFF_PERMISSIVE';SET GLOBAL gtid_mode = 'ON_PERMISSIVE';SET GLOBAL gtid_mode = 'ON'"},
		{"gtid_mode", "ON_PERMISSIVE", false, "gtid_mode", capture.StateWarning, "SET GLOBAL enforce_gtid_consistency = ON;SET GLOBAL gtid_mode = 'ON'"},
	} {
		v := map[string]string{}
		for k, x := range well {
			v[k] = x
		}
		v[c.set] = c.value
		fs := logSettings(v, c.mariadb)
		i := slices.IndexFunc(fs, func(f capture.Finding) bool { return f.Check == c.check })
		if i < 0 || fs[i].State != c.state || strings.Join(fs[i].SQL, ";") != c.sql {
			t.Errorf("%s=%s: %+v", c.set, c.value, fs)
		}
	}
	if k, _ := retention(map[string]string{"expire_logs_days": "5"}, true); k != 5*24*time.Hour {
		t.Errorf("expire_logs_days: %s", k)
	}
}
