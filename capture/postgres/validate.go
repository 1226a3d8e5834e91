package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/internal/configdef"
)

// appValidate is the application name of the connection that checks a configuration.
const appValidate = "Debezium Validate Connection"

// Validate makes the checks of a configuration that need the server. It runs when
// the option table found nothing wrong, changes nothing on the server, and takes
// at most connection.validation.timeout.ms. Failures to connect are worded as the
// real connector words them; the others are what it would fail with once it runs.
func Validate(ctx context.Context, v configdef.Values) []configdef.Problem {
	o, err := parseValues("", 0, v)
	if err != nil {
		return []configdef.Problem{{Property: "connector.class", Text: err.Error()}}
	}
	c := &check{o: o}
	return capture.ValidateServer(ctx, o.Conn.ValidateTimeout, func(ctx context.Context) ([]configdef.Problem, error) {
		err := c.run(ctx)
		return c.problems, err
	}, func(err error) string { return "Error while validating connector config: " + connectText(o.Conn, err) })
}

// connectText words a failure to connect: the server's own text as the JDBC
// driver shows it, or what happened and what to look at.
func connectText(c Conn, err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		text := pe.Severity + ": " + pe.Message
		if strings.HasPrefix(pe.Code, "28") && pe.Code != "28P01" && strings.Contains(pe.Message, "pg_hba") {
			text += ". Add a line for this user, database and address to the server's pg_hba.conf"
		}
		return text
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Connection to %s:%d refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections.", c.Host, c.Port)
	case errors.As(err, &dns):
		return fmt.Sprintf("The connection attempt failed. The host name %s is not known; check database.hostname.", c.Host)
	}
	if c.Port < 1 || c.Port > math.MaxUint16 {
		return fmt.Sprintf("Unable to parse URL jdbc:postgresql://%s:%d/%s", c.Host, c.Port, c.Database)
	}
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return "The server does not support SSL."
	}
	// The driver lists one attempt per line (with and without TLS); the first says most.
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	text := strings.TrimSpace(lines[min(1, len(lines)-1)])
	if _, after, ok := strings.Cut(text, "): "); ok {
		text = after
	}
	if c.Password != "" {
		text = strings.ReplaceAll(text, c.Password, "****")
	}
	return fmt.Sprintf("The connection attempt failed. %s:%d: %s", c.Host, c.Port, text)
}

func checkConnect(ctx context.Context, c *Conn, replication string) (*pgconn.PgConn, error) {
	cfg, err := c.config(appValidate)
	if err != nil {
		return nil, err
	}
	if replication != "" {
		cfg.RuntimeParams["replication"] = replication
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// check is one run of the checks against a server.
type check struct {
	o        *Options
	conn     *pgconn.PgConn
	problems []configdef.Problem
	version  int
	standby  bool
	super    bool // may do what only superusers may, directly or by a cloud's own role
}

// add notes what the real connector would fail with once it runs.
func (c *check) add(property, format string, args ...any) {
	c.problems = append(c.problems, configdef.Problem{Property: property, Text: fmt.Sprintf(format, args...), Late: true})
}

// streams reports whether the connector will read the log at all.
func (c *check) streams() bool {
	s := &c.o.Snapshot
	return s.Mode != "initial_only" && (s.Mode != "configuration_based" || s.BasedStream)
}

func (c *check) run(ctx context.Context) error {
	if c.o.Conn.QueryTimeout < 0 {
		c.problems = append(c.problems, configdef.Problem{Property: "database.hostname", Text: "Error while validating connector config: Query timeout must be a value greater than or equals to 0."})
		return nil
	}
	conn, err := checkConnect(ctx, &c.o.Conn, "")
	if err != nil {
		return err
	}
	defer closeConn(conn)
	c.conn = conn
	walLevel, err := c.server(ctx)
	if err != nil {
		return err
	}
	if c.o.ReadOnly && c.version < 130000 {
		c.problems = append(c.problems, configdef.Problem{Property: "database.hostname", Text: "Error during connection validation: Read only is not supported for version minor to 13"})
	}
	if !c.streams() {
		return nil
	}
	if walLevel != "logical" {
		c.add("database.hostname", "Error while validating connector config: wal_level of the server %s:%d is %q, but logical decoding needs \"logical\". Run ALTER SYSTEM SET wal_level = logical and restart PostgreSQL (on Amazon RDS set rds.logical_replication = 1, on Cloud SQL cloudsql.logical_decoding = on)",
			c.o.Conn.Host, c.o.Conn.Port, walLevel)
	}
	for _, step := range []func(context.Context) error{c.replication, c.slot, c.publication} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) server(ctx context.Context) (walLevel string, err error) {
	rows, err := query(ctx, c.conn, `SELECT current_setting('server_version_num'), current_setting('wal_level'), pg_is_in_recovery(),
 r.rolsuper OR EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
  WHERE m.member = r.oid AND g.rolname IN ('rds_superuser', 'rdsadmin', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin'))
 FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		return "", fmt.Errorf("the server does not list the role it is logged in with")
	}
	r := rows[0]
	c.version, err = strconv.Atoi(string(r[0]))
	c.standby, c.super = isTrue(r[2]), isTrue(r[3])
	return string(r[1]), err
}

// replication tries a replication connection: only the server knows whether role
// and pg_hba.conf allow one.
func (c *check) replication(ctx context.Context) error {
	conn, err := checkConnect(ctx, &c.o.Conn, "database")
	if err == nil {
		closeConn(conn)
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	user := quoteIdent(c.o.Conn.User)
	switch code := sqlState(err); {
	case strings.HasPrefix(code, "53"):
		return nil // full now; the running connector frees its own connection
	case code == "42501":
		c.add("database.user", "Error while validating connector config: role %s may not start replication (%s). Run ALTER ROLE %s REPLICATION (on Amazon RDS: GRANT rds_replication TO %s)",
			c.o.Conn.User, serverText(err), user, user)
	case strings.HasPrefix(code, "28"):
		c.add("database.user", "Error while validating connector config: the server refuses a replication connection for role %s (%s). Add a replication line for it to pg_hba.conf and reload the server",
			c.o.Conn.User, serverText(err))
	default:
		return err
	}
	return nil
}

func serverText(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Message
	}
	return err.Error()
}

// slot looks at the slot: made for something else, read by somebody else, or not
// there and no room for it.
func (c *check) slot(ctx context.Context) error {
	name := c.o.Slot.Name
	rows, err := query(ctx, c.conn, `SELECT coalesce(s.plugin, ''), s.slot_type, coalesce(s.database, ''), s.active, coalesce(a.application_name, ''), coalesce(s.active_pid::text, ''), coalesce(to_jsonb(s)->>'two_phase', 'false')
 FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1`, name)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return c.roomForSlot(ctx)
	}
	r := rows[0]
	plugin, kind, database, app := string(r[0]), string(r[1]), string(r[2]), string(r[4])
	switch {
	case kind != "logical":
		c.add("slot.name", "replication slot %q is a physical one; choose another slot.name", name)
	case database != c.o.Conn.Database:
		c.add("slot.name", "replication slot %q belongs to database %q; slot names are shared by all databases of a server, choose another slot.name", name, database)
	case plugin != "pgoutput":
		c.add("slot.name", "replication slot %q uses the plugin %q instead of pgoutput; choose another slot.name, or drop it: SELECT pg_drop_replication_slot(%s)", name, plugin, quoteLiteral(name))
	case string(r[6]) == "true":
		c.add("slot.name", "replication slot %q was created with two_phase, so rows of prepared transactions come before they are committed; choose another slot.name, or drop it: SELECT pg_drop_replication_slot(%s)", name, quoteLiteral(name))
	case isTrue(r[3]) && app != appStreaming:
		// A connection of that name may be this very connector, which is being changed.
		c.add("slot.name", "replication slot %q is being read by another session (pid %s, application %q); stop that, or choose another slot.name", name, r[5], app)
	}
	return nil
}

func (c *check) roomForSlot(ctx context.Context) error {
	rows, err := query(ctx, c.conn, `SELECT count(*), current_setting('max_replication_slots')::int FROM pg_catalog.pg_replication_slots`)
	if err != nil {
		return err
	}
	used, _ := strconv.Atoi(string(rows[0][0]))
	most, _ := strconv.Atoi(string(rows[0][1]))
	if used >= most {
		c.add("slot.name", "replication slot %q does not exist and all %d slots of the server (max_replication_slots) are taken; drop one that nobody uses (SELECT slot_name FROM pg_replication_slots WHERE NOT active), or raise max_replication_slots and restart PostgreSQL", c.o.Slot.Name, most)
	}
	return nil
}

func (c *check) publication(ctx context.Context) error {
	p := &c.o.Publication
	// The real connector writes the name unquoted, so the server folds it.
	name := strings.ToLower(p.Name)
	if strings.HasPrefix(p.Name, `"`) {
		name = strings.Trim(p.Name, `"`)
	}
	rows, err := query(ctx, c.conn, `SELECT puballtables FROM pg_catalog.pg_publication WHERE pubname = $1`, name)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		if p.Mode == "filtered" && isTrue(rows[0][0]) {
			c.add("publication.name", "publication %s is FOR ALL TABLES, so publication.autocreate.mode=filtered cannot set its tables; use all_tables or disabled, or another publication.name", p.Name)
		}
		return nil
	}
	if c.standby {
		return nil
	}
	switch p.Mode {
	case "disabled":
		c.add("publication.name", "Publication autocreation is disabled, please create one and restart the connector. There is no publication %s in database %q: CREATE PUBLICATION %s FOR ALL TABLES (or FOR TABLE …)", p.Name, c.o.Conn.Database, p.Name)
	case "all_tables":
		if !c.super {
			c.add("publication.autocreate.mode", "publication %s does not exist, and role %s may not create one for all tables, as only superusers may. Have one run CREATE PUBLICATION %s FOR ALL TABLES, or set publication.autocreate.mode=filtered", p.Name, c.o.Conn.User, p.Name)
		}
	default:
		return c.mayPublish(ctx)
	}
	return nil
}

// mayPublish checks the rights that creating a publication for some tables needs.
func (c *check) mayPublish(ctx context.Context) error {
	rows, err := query(ctx, c.conn, `SELECT has_database_privilege(current_database(), 'CREATE')`)
	if err != nil {
		return err
	}
	create := c.super || isTrue(rows[0][0])
	lacks := func() {
		if create {
			return
		}
		c.add("publication.autocreate.mode", "publication %s does not exist, and role %s may not create one: GRANT CREATE ON DATABASE %s TO %s", c.o.Publication.Name, c.o.Conn.User, quoteIdent(c.o.Conn.Database), quoteIdent(c.o.Conn.User))
	}
	if c.o.Publication.Mode != "filtered" {
		lacks()
		return nil
	}
	t, err := capturedTables(ctx, c.conn, c.o)
	if err != nil {
		return err
	}
	if len(t.foreign) > 0 && !c.super {
		c.add("publication.autocreate.mode", "publication %s does not exist, and role %s may not create it, as it does not own %s. Have the owner run CREATE PUBLICATION %s FOR TABLE %s, or grant the owning role to %s", c.o.Publication.Name, c.o.Conn.User, some(t.foreign), c.o.Publication.Name, strings.Join(t.captured, ", "), quoteIdent(c.o.Conn.User))
		return nil // whoever owns the tables can do both
	}
	lacks()
	return nil
}

// tableList is the tables of the database as the filters see them, "schema.table".
type tableList struct{ all, captured, foreign, unreadable []string }

func capturedTables(ctx context.Context, conn *pgconn.PgConn, o *Options) (*tableList, error) {
	rows, err := query(ctx, conn, `SELECT n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	t := &tableList{}
	for _, r := range rows {
		schema, table := string(r[0]), string(r[1])
		id := schema + "." + table
		t.all = append(t.all, id)
		if !o.Tables.Included(schema, table) {
			continue
		}
		t.captured = append(t.captured, id)
		if !isTrue(r[2]) {
			t.foreign = append(t.foreign, id)
		}
		if !isTrue(r[3]) {
			t.unreadable = append(t.unreadable, id)
		}
	}
	return t, nil
}

// some lists the first few names.
func some(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
	}
	return strings.Join(names, ", ")
}
