package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/internal/testkit"
)

// doctorOn examines a database for a config of the named role ("" the test's own).
func doctorOn(t *testing.T, db *testkit.Database, role string, set map[string]string, offset string) *capture.Checkup {
	t.Helper()
	p := baseProps()
	p["database.hostname"], p["database.port"], p["database.user"], p["database.dbname"] = db.Host, db.Port, db.User, db.Name
	p["database.password"] = "secret-word"
	if db.Password != "" {
		p["database.password"] = db.Password
	}
	if role != "" {
		p["database.user"], p["database.password"] = role, "secret-word"
	}
	p["slot.name"], p["publication.name"], p["publication.autocreate.mode"], p["table.include.list"] = db.Name, db.Name, "filtered", `public\..*`
	for k, v := range set {
		p[k] = v
	}
	o, err := ParseOptions("doctor", 0, p)
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

// troubles are the findings that are not ok, without those about slots of others
// on the same server (slots named except own ones) and without the limit on them.
func troubles(c *capture.Checkup, own ...string) []capture.Finding {
	var out []capture.Finding
	for _, f := range c.Findings {
		foreign := f.Check == "max_slot_wal_keep_size"
		if f.Check == "dead slots" {
			foreign = true
			for _, n := range own {
				foreign = foreign && f.Subject != n
			}
		}
		if f.State != capture.StateOK && !foreign {
			out = append(out, f)
		}
	}
	return out
}

func limitedRole(t *testing.T, db *testkit.Database, attributes string) string {
	t.Helper()
	role := db.Name + "_role"
	db.Exec(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'secret-word' "+attributes)
	t.Cleanup(func() {
		c, err := pgconn.Connect(context.Background(), db.URL)
		if err != nil {
			t.Error(err)
			return
		}
		defer closeConn(c)
		if _, err := c.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role).ReadAll(); err != nil {
			t.Error(err)
		}
	})
	return role
}

// TestDoctorHealthy: a database as it should be has no finding but ok ones, and is
// left as it was.
func TestDoctorHealthy(t *testing.T) {
	db := testkit.NewDatabase(t, "doctor")
	db.Exec(t, `CREATE TABLE orders(id int PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'small');
 CREATE TABLE wide(a int, b int, t text, PRIMARY KEY (b, a)); ALTER TABLE wide REPLICA IDENTITY FULL;
 CREATE TABLE signals(id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
 CREATE TABLE beats(id int PRIMARY KEY, at timestamptz)`)
	set := map[string]string{"signal.data.collection": "public.signals", "heartbeat.interval.ms": "1000",
		"heartbeat.action.query": "INSERT INTO beats VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET at = now()"}
	c := doctorOn(t, db, "", set, "")
	if bad := troubles(c); len(bad) > 0 {
		t.Errorf("%+v", bad)
	}
	if got := strings.Join(c.Topics, " "); got != "server1.public.beats server1.public.orders server1.public.wide" {
		t.Errorf("topics %s", got)
	}
	checks := map[string]bool{}
	for _, f := range c.Findings {
		checks[f.Check] = true
	}
	for _, want := range []string{"connection", "tls", "wal_level", "replication role", "tables", "grants", "replication slots", "wal senders", "slot", "publication", "table", "signal table", "heartbeat"} {
		if !checks[want] {
			t.Errorf("no finding about %s", want)
		}
	}
	var left int
	if err := db.Connect(t).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) + (SELECT count(*) FROM beats)`).Scan(&left); err != nil || left != 0 {
		t.Errorf("the examination left %d things behind: %v", left, err)
	}
}

// TestDoctorFinds breaks one thing at a time, runs the SQL that the finding names,
// and wants the finding gone.
func TestDoctorFinds(t *testing.T) {
	const orders = `CREATE TABLE orders(id int PRIMARY KEY, v int);`
	pub := func(rest string) string { return orders + `CREATE PUBLICATION NAME ` + rest }
	disabled := map[string]string{"publication.autocreate.mode": "disabled"}
	for _, c := range []struct {
		name, setup    string
		role           string // attributes of a role of its own; "" the test's
		set            map[string]string
		check, subject string
		state          capture.State
		text           string // a part of what is found
	}{
		{"replication", orders, "NOINHERIT", nil, "replication role", "NAME_role", capture.StateFailed, "may not start replication"},
		{"grant", orders, "REPLICATION", nil, "grant", "public.orders", capture.StateFailed, "may not read the table"},
		{"schema grant", `CREATE SCHEMA shop; CREATE TABLE shop."Big Orders"(id int PRIMARY KEY)`, "REPLICATION", map[string]string{"table.include.list": "shop.*"}, "grant", "shop.Big Orders", capture.StateFailed, "may not read"},
		{"may not publish", orders, "REPLICATION", nil, "publication", "NAME", capture.StateFailed, "does not own public.orders"},
		{"may not create", orders, "REPLICATION", map[string]string{"publication.autocreate.mode": "no_tables"}, "publication", "NAME", capture.StateFailed, "may not create one"},
		{"all tables", orders, "REPLICATION", map[string]string{"publication.autocreate.mode": "all_tables"}, "publication", "NAME", capture.StateFailed, "only superusers may"},
		{"no publication", orders, "", disabled, "publication", "NAME", capture.StateFailed, "autocreation is disabled"},
		{"empty publication", orders, "", map[string]string{"publication.autocreate.mode": "no_tables"}, "publication", "NAME", capture.StateWarning, "nothing would be captured"},
		{"for all tables", pub(`FOR ALL TABLES`), "", nil, "publication", "NAME", capture.StateFailed, "FOR ALL TABLES"},
		{"not published", pub(``), "", disabled, "publication", "public.orders", capture.StateFailed, "missing without a word"},
		{"filtered, not mine", pub(``), "REPLICATION", nil, "publication", "public.orders", capture.StateFailed, "may not add it"},
		{"operations", pub(`FOR TABLE orders WITH (publish = 'insert')`), "", disabled, "publication", "NAME", capture.StateFailed, "update, delete"},
		{"no key", `CREATE TABLE orders(id int)`, "", nil, "replica identity", "public.orders", capture.StateFailed, "refuses both"},
		{"identity nothing", orders + `ALTER TABLE orders REPLICA IDENTITY NOTHING`, "", nil, "replica identity", "public.orders", capture.StateFailed, "refuses both"},
		{"key not held", orders, "", map[string]string{"message.key.columns": "public.orders:v"}, "replica identity", "public.orders", capture.StateFailed, "would be null: v"},
		{"unlogged", `CREATE UNLOGGED TABLE orders(id int PRIMARY KEY)`, "", nil, "unlogged", "public.orders", capture.StateFailed, "not in the log"},
		{"large values", `CREATE TABLE orders(id int PRIMARY KEY, doc text); ALTER TABLE orders ALTER doc SET STORAGE EXTERNAL; INSERT INTO orders VALUES (1, repeat('x', 20000))`,
			"", nil, "large values", "public.orders", capture.StateWarning, "__debezium_unavailable_value: doc"},
		{"row security", orders + `GRANT SELECT ON orders TO public; ALTER TABLE orders ENABLE ROW LEVEL SECURITY`, "REPLICATION", nil, "row security", "public.orders", capture.StateFailed, "hides rows"},
		{"partitions", `CREATE TABLE orders(id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (10); CREATE PUBLICATION NAME FOR TABLE orders`,
			"", map[string]string{"table.include.list": "public.orders", "publication.autocreate.mode": "disabled"}, "publication", "public.orders", capture.StateFailed, "names of its partitions"},
		{"dead slot", orders + `SELECT pg_create_logical_replication_slot('NAME_dead', 'pgoutput')`, "", nil, "dead slots", "NAME_dead", capture.StateWarning, "nobody reads this slot"},
		{"slot of another plugin", orders + `SELECT pg_create_logical_replication_slot('NAME', 'test_decoding')`, "", nil, "slot", "NAME", capture.StateFailed, "test_decoding"},
		{"slot with two_phase", orders + `SELECT pg_create_logical_replication_slot('NAME', 'pgoutput', false, true)`, "", nil, "slot", "NAME", capture.StateFailed, "two_phase"},
		{"grants on several tables", orders + `CREATE TABLE lines(id int PRIMARY KEY)`, "REPLICATION", nil, "grant", "schema public", capture.StateFailed, "may not read 2 tables"},
		{"no signal table", orders, "", map[string]string{"signal.data.collection": "public.signals"}, "signal table", "public.signals", capture.StateFailed, "does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := testkit.NewDatabase(t, "doctor")
			named := func(s string) string { return strings.ReplaceAll(s, "NAME", db.Name) }
			for _, q := range strings.Split(named(c.setup), ";") {
				db.Exec(t, q)
			}
			role := ""
			if c.role != "" {
				role = limitedRole(t, db, c.role)
			}
			find := func() *capture.Finding {
				for _, f := range troubles(doctorOn(t, db, role, c.set, ""), db.Name+"_dead") {
					if f.Check == c.check && f.Subject == named(c.subject) && strings.Contains(f.Found, c.text) {
						return &f
					}
				}
				return nil
			}
			f := find()
			if f == nil || f.State != c.state {
				t.Fatalf("not found: %+v\nbut %+v", f, troubles(doctorOn(t, db, role, c.set, ""), db.Name+"_dead"))
			}
			if len(f.SQL) == 0 {
				t.Fatalf("no SQL: %+v", f)
			}
			for _, q := range f.SQL {
				db.Exec(t, q)
			}
			if f = find(); f != nil {
				t.Errorf("still there: %+v", *f)
			}
		})
	}
}

// TestDoctorSays are findings that no SQL cures.
func TestDoctorSays(t *testing.T) {
	db := testkit.NewDatabase(t, "doctor")
	db.Exec(t, `CREATE TABLE orders(id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)`)
	db.Exec(t, "SELECT pg_create_logical_replication_slot('"+db.Name+"', 'pgoutput')")
	for _, c := range []struct {
		name           string
		set            map[string]string
		offset         string
		check, subject string
		state          capture.State
		text           string
	}{
		{"table spelled wrongly", map[string]string{"table.include.list": "public.orders,public.ordres"}, "", "table.include.list", "public.ordres", capture.StateFailed, "Did you mean public.orders?"},
		{"signal table that is another", map[string]string{"signal.data.collection": "public.orders"}, "", "signal table", "public.orders", capture.StateFailed, "public.debezium_signal"},
		{"no such role", map[string]string{"database.user": "doctor_nobody"}, "", "connection", db.Host + ":" + db.Port + "/" + db.Name, capture.StateFailed, "this makes the role"},
		{"missing table", map[string]string{"table.include.list": "public.orders,public.order"}, "", "table.include.list", "public.order", capture.StateFailed, "Did you mean public.orders?"},
		{"no table", map[string]string{"table.include.list": "shop.*"}, "", "tables", "", capture.StateFailed, "no table of database"},
		{"generated", nil, "", "generated columns", "public.orders", capture.StateWarning, "twice"},
		{"heartbeat query", map[string]string{"heartbeat.interval.ms": "1000", "heartbeat.action.query": "INSERT INTO nowhere VALUES (1)"}, "", "heartbeat", "heartbeat.action.query", capture.StateFailed, `"nowhere" does not exist`},
		{"port", map[string]string{"database.port": "1"}, "", "connection", db.Host + ":1/" + db.Name, capture.StateFailed, "refused"},
		{"offset ahead of the server", nil, `{"lsn":999999999999999999,"lsn_proc":999999999999999999,"lsn_commit":999999999999999999,"messageType":"COMMIT","txId":7,"ts_usec":1}`, "stored offset", "", capture.StateFailed, "beyond the end"},
		{"offset behind the slot", nil, `{"lsn":4096,"lsn_proc":4096,"lsn_commit":4096,"messageType":"COMMIT","txId":7,"ts_usec":1}`, "stored offset", "", capture.StateFailed, "would be lost"},
		{"offset without a slot", map[string]string{"slot.name": "doctor_no_slot"}, `{"lsn":4096,"lsn_proc":4096,"lsn_commit":4096,"messageType":"COMMIT","txId":7,"ts_usec":1}`, "stored offset", "", capture.StateFailed, "no longer available"},
		{"offset that is none", nil, `{"lsn":"x"`, "stored offset", "", capture.StateFailed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := troubles(doctorOn(t, db, "", c.set, c.offset))
			for _, f := range got {
				if f.Check == c.check && f.Subject == c.subject && f.State == c.state && strings.Contains(f.Found+f.Do, c.text) {
					return
				}
			}
			t.Errorf("not found in %+v", got)
		})
	}
}

// TestDoctorJudges are verdicts on states that a shared server cannot be put into.
func TestDoctorJudges(t *testing.T) {
	ok := func(f capture.Finding) string { return string(f.State) }
	for _, c := range []struct{ name, got, want string }{
		{"logical", ok(walLevelFinding("logical")), "ok"},
		{"replica", ok(walLevelFinding("replica")), "failed"},
		{"wal_level SQL", strings.Join(walLevelFinding("replica").SQL, ";"), "ALTER SYSTEM SET wal_level = 'logical'"},
		{"room", ok(roomFinding("x", "max_replication_slots", 9, 10, false)), "ok"},
		{"full, have one", ok(roomFinding("x", "max_replication_slots", 10, 10, true)), "ok"},
		{"full", ok(roomFinding("x", "max_wal_senders", 10, 10, false)), "failed"},
		{"full SQL", strings.Join(roomFinding("x", "max_wal_senders", 10, 10, false).SQL, ";"), "ALTER SYSTEM SET max_wal_senders = 20"},
		{"rds", replicationSQL(`"cdc"`, "rds_superuser rds_replication"), `GRANT rds_replication TO "cdc"`},
		{"azure", replicationSQL(`"cdc"`, "azure_pg_admin"), `ALTER ROLE "cdc" REPLICATION`},
		{"slot lost", ok(ownSlot(&slotRow{name: "s", status: "lost"}, -1)), "failed"},
		{"slot lost SQL", strings.Join(ownSlot(&slotRow{name: "it's", status: "lost"}, -1).SQL, ";"), "SELECT pg_drop_replication_slot('it''s')"},
		{"slot unreserved", ok(ownSlot(&slotRow{name: "s", status: "unreserved", kept: 4 << 30}, 2<<30)), "failed"},
		{"slot unreserved SQL", ownSlot(&slotRow{name: "s", status: "unreserved", kept: 4 << 30}, 2<<30).SQL[0], "ALTER SYSTEM SET max_slot_wal_keep_size = '8192MB'"},
		{"slot near the limit", ok(ownSlot(&slotRow{name: "s", status: "extended", kept: 3 << 30}, 4<<30)), "warning"},
		{"slot far behind", ok(ownSlot(&slotRow{name: "s", status: "reserved", lag: 2 << 30}, -1)), "warning"},
		{"slot well", ok(ownSlot(&slotRow{name: "s", status: "reserved", lag: 1 << 20}, -1)), "ok"},
		{"other slot read", ok(deadSlots([]slotRow{{name: "o", active: true, restart: "0/1"}}, "s")[0]), "ok"},
		{"other slot never used", ok(deadSlots([]slotRow{{name: "o", kind: "physical", restart: "none"}}, "s")[0]), "ok"},
		{"other slot lost", deadSlots([]slotRow{{name: "o", restart: "none", status: "lost"}}, "s")[0].SQL[0], "SELECT pg_drop_replication_slot('o')"},
		{"no limit", ok(keepFinding(nil, -1)), "ok"},
		{"no limit, much kept", ok(keepFinding([]slotRow{{kept: 20 << 30}}, -1)), "warning"},
		{"sizes", size(512) + " " + size(1536) + " " + size(5<<30), "512 bytes 1.5 KiB 5.0 GiB"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}
