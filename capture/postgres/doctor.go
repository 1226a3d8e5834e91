package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"millrace/capture"
	"millrace/internal/record"
)

// doctor is one preflight: the checks of a configuration against the server, worded
// for an operator, with what fixes each. It shares its questions with Validate and
// with the start of the task, and changes nothing on the server.
type doctor struct {
	capture.Checkup
	check  // the checks behind validation, and the connection
	cat    *catalog
	role   string // the quoted role that the connector logs in as
	super  bool   // a real superuser, who passes every privilege check
	tables []*doctorTable
	pub    *pubState // nil: there is no publication
}

// Doctor makes the preflight of a connector. offset is the stored source offset,
// nil when there is none or none is known. It takes no longer than a few seconds
// on a server that answers; ctx bounds it.
func Doctor(ctx context.Context, o *Options, offset []byte) *capture.Checkup {
	d := &doctor{check: check{o: o}, role: quoteIdent(o.Conn.User)}
	err := d.examine(ctx, offset)
	if d.conn != nil {
		closeConn(d.conn)
	}
	if err != nil {
		f := d.Add(capture.StateFailed, "examination", "", "the checks stopped here: "+serverText(err))
		f.Do = "Mend what is said above and run the checks again"
	}
	return &d.Checkup
}

// Preflight is what Doctor finds that is not in order, for the log of a task that
// starts. It takes at most connection.validation.timeout.ms. offset is the stored
// source offset, nil for none.
func Preflight(ctx context.Context, o *Options, offset []byte) []capture.Finding {
	ctx, cancel := context.WithTimeout(ctx, o.Conn.ValidateTimeout)
	defer cancel()
	return slices.DeleteFunc(Doctor(ctx, o, offset).Findings, func(f capture.Finding) bool { return f.State == capture.StateOK })
}

func (d *doctor) examine(ctx context.Context, offset []byte) error {
	walLevel, ok, err := d.connect(ctx)
	if err != nil || !ok {
		return err
	}
	d.cat = newCatalog(d.conn)
	if d.streams() {
		d.walLevel(walLevel)
		if err := d.replicationRole(ctx); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{d.readTables, d.grants} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if d.streams() {
		for _, step := range []func(context.Context) error{d.capacity, d.slotState, d.otherSlots, d.publicationState} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		if err := d.storedOffset(ctx, offset); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{d.examineTables, d.signalTable, d.heartbeat} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ok adds a finding that is in order.
func (d *doctor) ok(check, subject, format string, args ...any) {
	d.Add(capture.StateOK, check, subject, fmt.Sprintf(format, args...))
}

// problems turns what a step of the validation found into findings.
func (d *doctor) problems(check, subject string, sql ...string) bool {
	ps := d.check.problems
	d.check.problems = nil
	for _, p := range ps {
		text := strings.TrimPrefix(p.Text, "Error while validating connector config: ")
		d.Add(capture.StateFailed, check, subject, text).SQL = sql
	}
	return len(ps) > 0
}

// connect opens the connection that all questions are asked on.
func (d *doctor) connect(ctx context.Context) (walLevel string, ok bool, err error) {
	c := &d.o.Conn
	address := fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database)
	if d.conn, err = checkConnect(ctx, c, ""); err != nil {
		f := d.Add(capture.StateFailed, "connection", address, connectText(*c, err))
		f.Do, f.SQL = connectAdvice(c, err)
		return "", false, nil
	}
	walLevel, err = d.server(ctx)
	if err != nil {
		return "", false, err
	}
	what := "primary"
	if d.standby {
		what = "standby"
	}
	rows, err := query(ctx, d.conn, `SELECT coalesce((SELECT CASE WHEN ssl THEN version || ' ' || cipher ELSE '' END FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()), ''),
 r.rolsuper, r.rolreplication, r.rolbypassrls, current_setting('server_version'), r.rolcanlogin FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`)
	if err != nil {
		return "", false, err
	}
	r := rows[0]
	d.super = isTrue(r[1])
	d.ok("connection", address, "PostgreSQL %s, %s", r[4], what)
	if tls := string(r[0]); tls != "" {
		d.ok("tls", "", "%s (database.sslmode=%s)", tls, c.sslMode())
	} else {
		d.ok("tls", "", "the connection is not encrypted (database.sslmode=%s); require, verify-ca and verify-full encrypt it", c.sslMode())
	}
	if d.standby && d.version < 160000 && d.streams() {
		d.Add(capture.StateFailed, "server", address, "the server is a standby of PostgreSQL "+string(r[4])+"; logical decoding on a standby needs PostgreSQL 16").Do = "Set database.hostname to the primary"
	}
	if d.o.ReadOnly && d.version < 130000 {
		d.Add(capture.StateFailed, "read.only", "", "read.only needs PostgreSQL 13").Do = "Set read.only=false"
	}
	return walLevel, true, nil
}

// connectAdvice says what to do about a connection that the server refused.
func connectAdvice(c *Conn, err error) (do string, sql []string) {
	role, text := quoteIdent(c.User), serverText(err)
	switch sqlState(err) {
	case "3D000":
		return "Check database.dbname; it is case-sensitive", nil
	case "28P01":
		return "Check database.password; this sets a new one", []string{"ALTER ROLE " + role + " LOGIN PASSWORD 'the password of database.password'"}
	case "28000":
		switch {
		case strings.Contains(text, "does not exist"):
			return "Check database.user; this makes the role", []string{"CREATE ROLE " + role + " LOGIN REPLICATION PASSWORD 'the password of database.password'"}
		case strings.Contains(text, "pg_hba.conf"):
			return fmt.Sprintf("Add these lines to pg_hba.conf, with the address that the connector comes from, and reload the server (SELECT pg_reload_conf()): \"host %s %s ADDRESS scram-sha-256\" and \"host replication %[2]s ADDRESS scram-sha-256\"", c.Database, c.User), nil
		}
		return "Check database.user, and that pg_hba.conf has a line for this user, database and address", []string{"ALTER ROLE " + role + " LOGIN"}
	case "42501":
		return "", []string{"GRANT CONNECT ON DATABASE " + quoteIdent(c.Database) + " TO " + role}
	case "53300":
		return "Raise max_connections, or give the role room with ALTER ROLE … CONNECTION LIMIT", nil
	}
	return "Check database.hostname, database.port and database.sslmode, and firewalls between here and the server", nil
}

// walLevelFinding judges wal_level.
func walLevelFinding(level string) capture.Finding {
	f := capture.Finding{Check: "wal_level", State: capture.StateOK, Found: level}
	if level != "logical" {
		f.State = capture.StateFailed
		f.Found = fmt.Sprintf("wal_level is %s; logical decoding needs logical", level)
		f.SQL = []string{"ALTER SYSTEM SET wal_level = 'logical'"}
		f.Do = "Restart PostgreSQL afterwards. Managed servers have a parameter of their own: Amazon RDS and Aurora rds.logical_replication=1, Cloud SQL and AlloyDB cloudsql.logical_decoding=on, Azure wal_level=logical"
	}
	return f
}

func (d *doctor) walLevel(level string) {
	d.Findings = append(d.Findings, walLevelFinding(level))
}

// replicationRole tries a replication connection and says what the role lacks.
func (d *doctor) replicationRole(ctx context.Context) error {
	rows, err := query(ctx, d.conn, `SELECT coalesce(string_agg(g.rolname, ' '), '') FROM pg_catalog.pg_roles g
 WHERE g.rolname IN ('rds_replication', 'rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser', 'alloydbsuperuser') AND NOT g.rolcanlogin`)
	if err != nil {
		return err
	}
	if err := d.check.replication(ctx); err != nil {
		return err
	}
	if !d.problems("replication role", d.o.Conn.User, replicationSQL(d.role, string(rows[0][0]))) {
		d.ok("replication role", d.o.Conn.User, "may open a replication connection")
	}
	return nil
}

// replicationSQL is the statement that lets a role replicate, by the cloud whose
// roles the server has.
func replicationSQL(role, cloudRoles string) string {
	if strings.Contains(cloudRoles, "rds_replication") {
		return "GRANT rds_replication TO " + role
	}
	return "ALTER ROLE " + role + " REPLICATION"
}

// grants checks that snapshots may read the captured tables.
func (d *doctor) grants(ctx context.Context) error {
	t, err := capturedTables(ctx, d.conn, d.o)
	if err != nil {
		return err
	}
	for i, ok := range d.o.Tables.Matches(t.all) {
		if !ok {
			p := d.o.Tables.Patterns()[i]
			f := d.Add(capture.StateFailed, "table.include.list", p, fmt.Sprintf("matches no table of database %q", d.o.Conn.Database))
			f.Do = "Write schema.table, check the spelling (patterns are case-insensitive regular expressions), or create the table" + similar(p, t.all)
		}
	}
	if len(t.captured) == 0 {
		d.Add(capture.StateFailed, "tables", "", fmt.Sprintf("no table of database %q is captured", d.o.Conn.Database)).
			Do = "Check schema.include.list, table.include.list and the exclude lists. The tables there are: " + some(t.all)
		return nil
	}
	d.ok("tables", "", "%d of %d tables are captured", len(t.captured), len(t.all))
	bad := map[string]bool{}
	for _, name := range t.unreadable {
		bad[name] = true
	}
	state, why := capture.StateFailed, "so the snapshot would stop"
	if d.o.Snapshot.Mode == "no_data" {
		state, why = capture.StateWarning, "which incremental snapshots need"
	}
	for i := 0; i < len(d.tables); { // tables are ordered by schema
		schema := d.tables[i].meta.Schema
		var names, quoted []string
		for ; i < len(d.tables) && d.tables[i].meta.Schema == schema; i++ {
			if x := d.tables[i]; bad[x.name()] {
				names, quoted = append(names, x.name()), append(quoted, x.quoted())
			}
		}
		if len(names) == 0 {
			continue
		}
		subject, found := names[0], fmt.Sprintf("role %s may not read the table, %s", d.o.Conn.User, why)
		if len(names) > 1 {
			subject, found = "schema "+schema, fmt.Sprintf("role %s may not read %d tables, %s: %s", d.o.Conn.User, len(names), why, some(names))
		}
		d.Add(state, "grant", subject, found).SQL = []string{"GRANT USAGE ON SCHEMA " + quoteIdent(schema) + " TO " + d.role, "GRANT SELECT ON TABLE " + strings.Join(quoted, ", ") + " TO " + d.role}
	}
	if len(t.unreadable) == 0 {
		d.ok("grants", d.o.Conn.User, "SELECT on every captured table")
	}
	return nil
}

// similar names a table that a pattern was probably meant for.
func similar(pattern string, all []string) string {
	want := strings.ToLower(strings.ReplaceAll(pattern, `\.`, "."))
	for _, name := range all {
		low := strings.ToLower(name)
		_, table, _ := strings.Cut(low, ".")
		if table == want || strings.HasSuffix(want, "."+table) || want == low+"s" || want+"s" == low {
			return ". Did you mean " + name + "?"
		}
	}
	for _, name := range all {
		if distance(strings.ToLower(name), want) <= 2 {
			return ". Did you mean " + name + "?"
		}
	}
	return ""
}

// distance is how many letters must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := left
			if a[i] != b[j] {
				d++
			}
			left = row[j+1]
			row[j+1] = min(d, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// capacity compares max_wal_senders with what is in use; slots are counted with
// the slot itself.
func (d *doctor) capacity(ctx context.Context) error {
	rows, err := query(ctx, d.conn, `SELECT (SELECT count(*) FROM pg_catalog.pg_replication_slots), current_setting('max_replication_slots'),
 (SELECT count(*) FROM pg_catalog.pg_stat_replication), current_setting('max_wal_senders'),
 EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = $1), EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active)`, d.o.Slot.Name)
	if err != nil {
		return err
	}
	r := rows[0]
	d.Findings = append(d.Findings, roomFinding("replication slots", "max_replication_slots", num(r[0]), num(r[1]), isTrue(r[4])),
		roomFinding("wal senders", "max_wal_senders", num(r[2]), num(r[3]), isTrue(r[5])))
	return nil
}

// roomFinding judges a limit of the server. have tells that the connector holds
// one of those in use already.
func roomFinding(check, setting string, used, most int64, have bool) capture.Finding {
	f := capture.Finding{Check: check, State: capture.StateOK, Found: fmt.Sprintf("%d of %d in use (%s)", used, most, setting)}
	if used < most || have {
		return f
	}
	f.State = capture.StateFailed
	f.Found = fmt.Sprintf("all %d are in use (%s), and the connector needs one", most, setting)
	f.SQL = []string{"ALTER SYSTEM SET " + setting + " = " + strconv.FormatInt(max(10, most*2), 10)}
	f.Do = "Restart PostgreSQL afterwards, or free one: drop slots that nobody uses (see dead slots)"
	if setting == "max_wal_senders" {
		f.Do = "Restart PostgreSQL afterwards, or stop a standby or reader that is not needed: SELECT pid, application_name, client_addr FROM pg_stat_replication"
	}
	return f
}

// query1 asks for one row.
func (d *doctor) query1(ctx context.Context, sql string, args ...string) ([][]byte, error) {
	rows, err := query(ctx, d.conn, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the server answered no row to %s", sql)
	}
	return rows[0], nil
}

// asTask lends the checks of a starting task.
func (d *doctor) asTask() *task {
	o := *d.o
	// These strategies would advance the slot; without that they judge alike.
	switch o.Slot.Mismatch {
	case "trust_offset":
		o.Slot.Mismatch = "no_validation"
	case "trust_greater_lsn":
		o.Slot.Mismatch = "trust_slot"
	}
	return &task{opts: &o, log: slog.New(slog.DiscardHandler), cat: d.cat, general: d.conn, serverMajor: d.version / 10000, standby: d.standby, interner: &record.Interner{}}
}
