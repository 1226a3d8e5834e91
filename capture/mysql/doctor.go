package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/capture"
	"millrace/capture/options"
	"millrace/internal/errs"
	"millrace/schemahistory"
)

// keepLittle is how short the binary log may be kept before a weekend without the
// connector loses changes.
const keepLittle = 3 * 24 * time.Hour

// doctor is one preflight. It shares its questions with Validate and with the
// start of the task, and changes nothing on the server.
type doctor struct {
	capture.Checkup
	check
	vars map[string]string // of the server, by lower-case name
	user string            // 'name'@'host' as the server knows the connector
}

// Doctor makes the preflight of a connector. offset is the stored source offset,
// nil when there is none or none is known; ctx bounds it.
func Doctor(ctx context.Context, o *Options, offset []byte) *capture.Checkup {
	d := &doctor{check: check{o: o}}
	if err := d.examine(ctx, offset); err != nil {
		d.Add(capture.StateFailed, "examination", "", "the checks stopped here: "+err.Error()).Do = "Mend what is said above and run the checks again"
	}
	return &d.Checkup
}

func (d *doctor) ok(check, subject, format string, args ...any) {
	d.Add(capture.StateOK, check, subject, fmt.Sprintf(format, args...))
}

func (d *doctor) examine(ctx context.Context, offset []byte) (err error) {
	c := &d.o.Conn
	address := fmt.Sprintf("%s:%d", c.Host, c.Port)
	if d.db, err = c.open(ctx); err != nil {
		text := strings.TrimPrefix(connectText(c, err), "Error during connection validation: io.debezium.DebeziumException: ")
		if errors.Is(err, syscall.ECONNREFUSED) {
			text = "nothing listens there (connection refused)"
		}
		d.Add(capture.StateFailed, "connection", address, text).Do = "Check database.hostname, database.port, database.user, database.password and database.ssl.mode"
		return nil
	}
	defer func() { _ = d.db.Close() }()
	if d.server, err = look(ctx, d.db); err != nil {
		return err
	}
	d.server.of(d.o)
	if err := d.variables(ctx); err != nil {
		return err
	}
	d.ok("connection", address, "%s", d.server.version)
	cipher := "the connection is not encrypted"
	if s := d.vars["ssl_cipher"]; s != "" {
		cipher = s
	}
	d.ok("tls", "", "%s (database.ssl.mode=%s)", cipher, c.SSL)
	if d.streams() {
		d.binlog()
		if err := d.rights(ctx); err != nil {
			return err
		}
		if err := d.storedOffset(ctx, offset); err != nil {
			return err
		}
	}
	return d.tables(ctx)
}

// variables reads what the checks compare.
func (d *doctor) variables(ctx context.Context) error {
	rows, err := query(ctx, d.db, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin','binlog_format','binlog_row_image','binlog_row_metadata','gtid_mode',
 'binlog_expire_logs_seconds','expire_logs_days','binlog_expire_logs_auto_purge','server_id')`)
	if err != nil {
		return fmt.Errorf("read the server's variables: %w", err)
	}
	d.vars = map[string]string{}
	for _, r := range rows {
		d.vars[strings.ToLower(r["variable_name"])] = r["value"]
	}
	rows, err = query(ctx, d.db, `SHOW SESSION STATUS LIKE 'Ssl_cipher'`)
	if err != nil {
		return err
	}
	if len(rows) == 1 {
		d.vars["ssl_cipher"] = rows[0]["value"]
	}
	rows, err = query(ctx, d.db, `SELECT CURRENT_USER() AS u, CONVERT_TZ('2020-06-01 00:00:00', 'UTC', 'Europe/Berlin') AS z`)
	if err != nil {
		return err
	}
	name, host, _ := strings.Cut(rows[0]["u"], "@")
	d.user = "'" + strings.ReplaceAll(name, "'", "''") + "'@'" + host + "'"
	d.vars["zones"] = rows[0]["z"]
	return nil
}

// take turns what a step of the validation found into findings.
func (d *doctor) take(check, subject string, fix func(text string) []string) bool {
	ps := d.problems
	d.problems = nil
	for _, p := range ps {
		text := strings.TrimPrefix(p.Text, "Error during connection validation: ")
		sql := fix(text)
		if i := strings.Index(text, ". Run GRANT "); i > 0 && sql != nil {
			text = text[:i] // the statement follows, with the account's own host
		}
		d.Add(capture.StateFailed, check, subject, text).SQL = sql
	}
	return len(ps) > 0
}

// binlog judges how the server keeps its log.
func (d *doctor) binlog() {
	d.log()
	if d.take("binary log", "", func(text string) []string {
		if strings.Contains(text, "binlog_format=") {
			return []string{"SET GLOBAL binlog_format = 'ROW'"}
		}
		return nil
	}) {
		return
	}
	d.ok("binary log", "", "log_bin is on, in rows")
	d.Findings = append(d.Findings, logSettings(d.vars, d.server.mariadb)...)
}

// logSettings judges the server's variables about its binary log.
func logSettings(v map[string]string, mariadb bool) []capture.Finding {
	var out []capture.Finding
	add := func(bad bool, state capture.State, check, good, found, do string, sql ...string) {
		f := capture.Finding{Check: check, State: capture.StateOK, Found: good}
		if bad {
			f = capture.Finding{Check: check, State: state, Found: found, SQL: sql, Do: do}
		}
		out = append(out, f)
	}
	image := strings.ToUpper(v["binlog_row_image"])
	add(image != "" && image != "FULL", capture.StateWarning, "binlog_row_image", "full: before and after are whole rows",
		strings.ToLower(image)+": columns that a statement did not touch are missing from the log, and so from before and after", "Sessions that are open keep the old value until they reconnect; set it in the server's configuration too",
		"SET GLOBAL binlog_row_image = 'FULL'")
	meta := strings.ToLower(v["binlog_row_metadata"])
	if meta == "full" {
		add(false, "", "binlog_row_metadata", "full: the log names its columns", "", "")
	} else if meta != "" {
		add(false, "", "binlog_row_metadata", meta+": enough; full would let the log name its columns when a schema change cannot be understood (SET GLOBAL binlog_row_metadata = 'FULL')", "", "")
	}
	keep, forever := retention(v, mariadb)
	text := "kept until purged by hand"
	if !forever {
		text = "kept for " + days(keep)
	}
	set := "SET PERSIST binlog_expire_logs_seconds = 604800"
	if mariadb {
		set = "SET GLOBAL binlog_expire_logs_seconds = 604800"
	}
	add(!forever && keep < keepLittle, capture.StateWarning, "binlog retention", text, "the log is kept for "+days(keep)+" only: a connector that stands still for longer needs a new snapshot",
		"On Amazon RDS: CALL mysql.rds_set_configuration('binlog retention hours', 168)", set)
	if !mariadb {
		mode := strings.ToUpper(v["gtid_mode"])
		var steps []string
		for _, m := range []string{"OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"} {
			steps = append(steps, "SET GLOBAL gtid_mode = '"+m+"'")
		}
		if mode == "OFF_PERMISSIVE" || mode == "ON_PERMISSIVE" {
			steps = steps[slices.Index([]string{"OFF_PERMISSIVE", "ON_PERMISSIVE"}, mode)+1:]
		}
		add(mode != "ON", capture.StateWarning, "gtid_mode", "on: positions hold after a failover to another server", "gtid_mode is "+mode+": positions are file and offset, which mean nothing on another server after a failover",
			"Between the steps wait until SHOW STATUS LIKE 'Ongoing_anonymous_transaction_count' is 0, on every replica too", append([]string{"SET GLOBAL enforce_gtid_consistency = ON"}, steps...)...)
	}
	if v["zones"] == "" {
		add(false, "", "time zone tables", "not loaded, and not needed: values are read in UTC (the Java connector needs them for named zones: mysql_tzinfo_to_sql)", "", "")
	} else {
		add(false, "", "time zone tables", "loaded", "", "")
	}
	return out
}

// retention is how long binary logs are kept.
func retention(v map[string]string, mariadb bool) (keep time.Duration, forever bool) {
	n := func(k string) float64 { x, _ := strconv.ParseFloat(v[k], 64); return x }
	s := n("binlog_expire_logs_seconds")
	if s == 0 {
		s = n("expire_logs_days") * 24 * 3600
	}
	if strings.EqualFold(v["binlog_expire_logs_auto_purge"], "off") && !mariadb {
		s = 0
	}
	return time.Duration(s) * time.Second, s == 0
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// rights are the grants and the number that the connector reads the log with.
func (d *doctor) rights(ctx context.Context) error {
	if err := d.grants(ctx); err != nil {
		return err
	}
	if !d.take("grants", d.o.Conn.User, func(text string) []string {
		for _, right := range []string{"REPLICATION SLAVE", "REPLICATION CLIENT"} {
			if strings.Contains(text, "GRANT "+right+" ") {
				return []string{"GRANT " + right + " ON *.* TO " + d.user}
			}
		}
		return nil
	}) {
		d.ok("grants", d.o.Conn.User, "may read the binary log and its position")
	}
	if m := &d.o.Snapshot; m.Locking != "none" && m.Mode != "recovery" && d.have != nil && !d.any("RELOAD", "FLUSH_TABLES", "LOCK TABLES") {
		d.Add(capture.StateWarning, "grants", d.o.Conn.User, "may lock neither the server nor its tables for the moment in which a snapshot begins: rows changed in it come twice").
			SQL = []string{"GRANT RELOAD ON *.* TO " + d.user}
	}
	id := strconv.FormatUint(uint64(d.o.Conn.ServerID), 10)
	own, err := query(ctx, d.db, "SELECT @@server_id AS id")
	if err != nil {
		return err
	}
	if len(own) == 1 && own[0]["id"] == id {
		d.Add(capture.StateWarning, "server id", id, "it is the number of the server itself. Its log can be read under it, but not that of a replica of this server").
			Do = "Choose a database.server.id that no server, replica or connector uses"
		return nil
	}
	readers, err := query(ctx, d.db, "SHOW REPLICAS")
	if err != nil {
		if readers, err = query(ctx, d.db, "SHOW SLAVE HOSTS"); err != nil {
			d.ok("server id", id, "not the server's own; who else reads the log is not shown to this user")
			return nil
		}
	}
	for _, r := range readers {
		if r["server_id"] == id {
			d.Add(capture.StateWarning, "server id", id, "somebody reads the log under this number now. If that is not this connector, the two will throw each other out").
				Do = "Choose a database.server.id that no server, replica or connector uses"
			return nil
		}
	}
	d.ok("server id", id, "nobody else uses it")
	return nil
}

// storedOffset compares a stored offset with the logs that the server has.
func (d *doctor) storedOffset(ctx context.Context, offset []byte) error {
	p, err := ParseOffset(offset)
	if err != nil {
		d.UnreadableOffset(err)
		return nil
	}
	if p == nil {
		return nil
	}
	why, err := d.server.lost(ctx, d.db, p)
	if err != nil {
		return err
	}
	if why == "" {
		d.ok("stored offset", "", "%s:%d, which the server still has", p.File, p.Pos)
		return nil
	}
	state := capture.StateFailed
	if d.o.Snapshot.Mode == "when_needed" {
		state = capture.StateWarning // the connector takes a new snapshot by itself
	}
	d.Add(state, "stored offset", "", why+"; changes since then are lost").Do = "Set snapshot.mode=when_needed, or delete the connector's offsets, so that the tables are read anew"
	return nil
}

// tables checks that captured tables are there, may be read and have a key.
func (d *doctor) tables(ctx context.Context) error {
	t := &task{opts: d.o, log: slog.New(slog.DiscardHandler), db: d.db, server: d.server}
	all, err := t.listTables(ctx, d.db)
	if err != nil {
		return err
	}
	var captured []schemahistory.TableID
	var ids []string
	for _, id := range all {
		ids = append(ids, id.DB+"."+id.Name)
		if d.o.Tables.Included(id.DB, id.Name) {
			captured = append(captured, id)
			d.Topics = append(d.Topics, d.o.Naming.For(options.TableID{Catalog: id.DB, Name: id.Name}).Topic)
		}
	}
	slices.Sort(d.Topics)
	d.Topics = slices.Compact(d.Topics)
	for i, ok := range d.o.Tables.Matches(ids) {
		if !ok {
			d.Add(capture.StateFailed, "table.include.list", d.o.Tables.Patterns()[i], "matches no table that this user can see").
				Do = "Write database.table, check the spelling, create the table, or grant SELECT on it to " + d.user
		}
	}
	if len(captured) == 0 {
		d.Add(capture.StateFailed, "tables", "", "no table is captured of those that this user can see").Do = "Check database.include.list, table.include.list and the exclude lists, and the user's grants"
		return nil
	}
	d.ok("tables", "", "%d of %d tables are captured", len(captured), len(all))
	keyed, err := query(ctx, d.db, `SELECT DISTINCT TABLE_SCHEMA AS db, TABLE_NAME AS name FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0`)
	if err != nil {
		return err
	}
	has := map[schemahistory.TableID]bool{}
	for _, r := range keyed {
		has[schemahistory.TableID{DB: r["db"], Name: r["name"]}] = true
	}
	for _, id := range captured {
		if err := d.table(ctx, id, has[id]); err != nil {
			return err
		}
	}
	return nil
}

// table checks one captured table.
func (d *doctor) table(ctx context.Context, id schemahistory.TableID, keyed bool) error {
	name, quoted := id.DB+"."+id.Name, quote(id.DB)+"."+quote(id.Name)
	if _, err := query(ctx, d.db, "SELECT 1 FROM "+quoted+" LIMIT 0"); err != nil {
		var e *errs.Error
		if ctx.Err() != nil || errors.As(err, &e) {
			return err
		}
		d.Add(capture.StateFailed, "grant", name, "the snapshot could not read the table: "+err.Error()).SQL = []string{"GRANT SELECT ON " + quoted + " TO " + d.user}
		return nil
	}
	if !keyed && !strings.EqualFold(name, d.o.SignalTable) {
		rows, err := query(ctx, d.db, "SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", id.DB, id.Name)
		if err != nil {
			return err
		}
		cols := make([]string, len(rows))
		for i, r := range rows {
			cols[i] = r["name"]
		}
		keyed = d.o.KeyColumns.For(id.DB, id.Name, cols) != nil
	}
	if !keyed && !strings.EqualFold(name, d.o.SignalTable) {
		d.Add(capture.StateWarning, "key", name, "no primary key and no unique index: records have no key, so changes of one row may leave their order, and compaction and upserts in sinks do not work").
			Do = "Add a primary key, or name columns in message.key.columns (" + name + ":column)"
		return nil
	}
	d.ok("table", name, "can be read, has a key")
	return nil
}
