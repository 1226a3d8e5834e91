package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"millrace/capture"
	"millrace/capture/options"
)

// doctorTable is a captured table with what the catalog says about it.
type doctorTable struct {
	meta     *tableMeta
	primary  []string // the primary key, nil none
	identity []string // columns of the index that REPLICA IDENTITY USING INDEX names
	unlogged bool
	mine     bool     // the role owns it
	secured  bool     // row security hides rows from the role
	large    bool     // values are stored out of line now
	toast    []string // columns whose values may be stored out of line
	root     string   // of a partition: the top table
	leaves   []string // of a partitioned table
}

func (t *doctorTable) name() string { return t.meta.Schema + "." + t.meta.Name }
func (t *doctorTable) quoted() string {
	return quoteIdent(t.meta.Schema) + "." + quoteIdent(t.meta.Name)
}

const doctorTablesSQL = `SELECT c.oid, c.relpersistence = 'u', pg_has_role(c.relowner, 'USAGE'), row_security_active(c.oid),
 CASE WHEN c.relkind = 'p' THEN EXISTS (SELECT 1 FROM pg_catalog.pg_partition_tree(c.oid) l JOIN pg_catalog.pg_class k ON k.oid = l.relid WHERE k.reltoastrelid <> 0 AND pg_relation_size(k.reltoastrelid) > 0)
  WHEN c.reltoastrelid = 0 THEN false ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) > 0 END,
 coalesce((SELECT string_agg(a.attname, E'\001' ORDER BY k.pos) FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, pos)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisprimary AND k.pos <= i.indnkeyatts), ''),
 coalesce((SELECT string_agg(a.attname, E'\001' ORDER BY k.pos) FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, pos)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisreplident AND k.pos <= i.indnkeyatts), ''),
 coalesce((SELECT string_agg(a.attname, E'\001' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attstorage IN ('x', 'e') AND (c.reltoastrelid <> 0 OR c.relkind = 'p')), ''),
 CASE WHEN c.relispartition THEN (SELECT n.nspname || '.' || r.relname FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = pg_partition_root(c.oid)) ELSE '' END,
 CASE WHEN c.relkind = 'p' THEN coalesce((SELECT string_agg(n.nspname || '.' || r.relname, E'\001' ORDER BY 1) FROM pg_catalog.pg_partition_tree(c.oid) l
  JOIN pg_catalog.pg_class r ON r.oid = l.relid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE l.isleaf), '') ELSE '' END
 FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[])`

// readTables reads the captured tables, as the task that starts does.
func (d *doctor) readTables(ctx context.Context) error {
	t := d.asTask()
	t.opts.GuardFail = false // told below
	metas, err := t.captured(ctx)
	if err != nil {
		return err
	}
	if n := d.o.GuardTables; n > 0 && len(metas) > n {
		state := capture.StateWarning
		if d.o.GuardFail {
			state = capture.StateFailed
		}
		d.Add(state, "guardrail.collections.max", "", fmt.Sprintf("%d tables are captured, more than %d", len(metas), n)).Do = "Narrow table.include.list, or raise guardrail.collections.max"
	}
	byOID := map[uint32]*doctorTable{}
	var ids []string
	for _, m := range metas {
		x := &doctorTable{meta: m}
		d.tables, byOID[m.OID] = append(d.tables, x), x
		ids = append(ids, fmt.Sprint(m.OID))
		if !d.o.Tables.Always(m.Schema, m.Name) {
			d.Topics = append(d.Topics, d.o.Naming.For(options.TableID{Schema: m.Schema, Name: m.Name}).Topic)
		}
	}
	slices.Sort(d.Topics)
	d.Topics = slices.Compact(d.Topics)
	rows, err := query(ctx, d.conn, doctorTablesSQL, "{"+strings.Join(ids, ",")+"}")
	if err != nil {
		return fmt.Errorf("read the captured tables from the catalog: %w", err)
	}
	for _, r := range rows {
		x := byOID[oid(r[0])]
		x.unlogged, x.mine, x.secured, x.large = isTrue(r[1]), isTrue(r[2]), isTrue(r[3]), isTrue(r[4])
		x.primary, x.identity, x.toast, x.root, x.leaves = names(r[5]), names(r[6]), names(r[7]), string(r[8]), names(r[9])
	}
	return nil
}

// names splits what string_agg joined.
func names(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\001")
}

// examineTables makes one finding per table that is in order and one per problem
// of the others.
func (d *doctor) examineTables(context.Context) error {
	for _, t := range d.tables {
		found := d.examineTable(t)
		if len(found) == 0 {
			d.ok("table", t.name(), "%s", t.describe())
		}
		d.Findings = append(d.Findings, found...)
	}
	return nil
}

// autoset reports whether the connector sets the replica identity by itself.
func (d *doctor) autoset(t *doctorTable) bool {
	for _, id := range d.o.Publication.Identities {
		if id.Table.MatchWhole(t.name()) {
			return id.Value != "NOTHING" && (id.Value != "DEFAULT" || t.primary != nil)
		}
	}
	return false
}

// held are the columns of the old row that the log has for updates and deletes.
func (t *doctorTable) held() (columns []string, whole bool) {
	switch t.meta.Identity {
	case 'f':
		return nil, true
	case 'i':
		return t.identity, false
	case 'd':
		return t.primary, false
	}
	return nil, false
}

func (t *doctorTable) describe() string {
	key := "primary key (" + strings.Join(t.primary, ", ") + ")"
	if t.primary == nil {
		key = "unique key (" + strings.Join(t.meta.Key, ", ") + ")"
	}
	switch t.meta.Identity {
	case 'f':
		return key + ", replica identity full: before is the whole row"
	case 'i':
		return key + ", replica identity by index (" + strings.Join(t.identity, ", ") + ")"
	}
	return key + ", replica identity default: before is null in updates and holds the key in deletes"
}

// examineTable returns what is wrong with a table; nil when nothing is.
func (d *doctor) examineTable(t *doctorTable) []capture.Finding {
	var out []capture.Finding
	add := func(state capture.State, check, found, do string, sql ...string) {
		out = append(out, capture.Finding{Check: check, Subject: t.name(), State: state, Found: found, Do: do, SQL: sql})
	}
	alter := "ALTER TABLE " + t.quoted()
	if t.unlogged && d.streams() {
		add(capture.StateFailed, "unlogged", "an unlogged table is not in the log: its changes would be missing without a word", "Writing the table to the log takes a lock and time", alter+" SET LOGGED")
	}
	if t.secured {
		add(capture.StateFailed, "row security", fmt.Sprintf("row security hides rows from role %s: snapshots would miss them, the log has them all", d.o.Conn.User), "", "ALTER ROLE "+d.role+" BYPASSRLS")
	}
	var cols []string
	for _, c := range t.meta.Columns {
		cols = append(cols, c.Name)
	}
	key := t.meta.Key
	if custom := d.o.KeyColumns.For(t.meta.Schema, t.meta.Name, cols); custom != nil {
		key = key[:0:0]
		for _, i := range custom {
			key = append(key, cols[i])
		}
	}
	if len(key) == 0 && d.o.Signal.Table != t.name() {
		add(capture.StateWarning, "key", "no primary key and no unique index: records have no key, so changes of one row may leave their order, and compaction and upserts in sinks do not work",
			"Add a primary key, or name columns in message.key.columns ("+t.name()+":column)")
	}
	if !d.streams() {
		return out
	}
	out = append(out, d.identityFindings(t, key, alter)...)
	if gen := t.generated(); len(gen) > 0 {
		add(capture.StateWarning, "generated columns", "not in the log, so snapshots have them and changes do not: "+strings.Join(gen, ", "),
			"Leave them out everywhere with column.exclude.list, or compute them where they are read")
	}
	return out
}

// generated are the generated columns that the log leaves out.
func (t *doctorTable) generated() []string {
	var out []string
	for _, c := range t.meta.Columns {
		if c.Generated {
			out = append(out, c.Name)
		}
	}
	return out
}

// identityFindings judges the replica identity: whether updates and deletes pass
// at all, whether deletes have the record's key, and which values they lack.
func (d *doctor) identityFindings(t *doctorTable, key []string, alter string) []capture.Finding {
	if d.autoset(t) {
		return nil
	}
	var out []capture.Finding
	add := func(state capture.State, check, found, do string, sql ...string) {
		out = append(out, capture.Finding{Check: check, Subject: t.name(), State: state, Found: found, Do: do, SQL: sql})
	}
	held, whole := t.held()
	switch {
	case whole:
		return nil
	case len(held) == 0 && (d.pub == nil || d.pub.update || d.pub.delete):
		sql := alter + " REPLICA IDENTITY FULL"
		if t.primary != nil {
			sql = alter + " REPLICA IDENTITY DEFAULT"
		}
		add(capture.StateFailed, "replica identity", "the log cannot tell which row an update or delete is about, so once the table is published PostgreSQL refuses both: \"cannot update table … because it does not have a replica identity\"",
			"A primary key is the better cure where the table can have one", sql)
		return out
	}
	var missing []string
	for _, k := range key {
		if !slices.Contains(held, k) {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		add(capture.StateFailed, "replica identity", "the log of a delete lacks columns of the record's key, which would be null: "+strings.Join(missing, ", "),
			"", alter+" REPLICA IDENTITY FULL")
	}
	toast := slices.DeleteFunc(slices.Clone(t.toast), func(c string) bool {
		return slices.Contains(held, c) || !d.o.Columns.Included(t.meta.Schema, t.meta.Name, c) || d.reread(t, c)
	})
	if t.large && len(toast) > 0 {
		add(capture.StateWarning, "large values", "an update that leaves a large value alone does not log it, and its record says __debezium_unavailable_value: "+some(toast),
			"Or set post.processors to a ReselectColumnsPostProcessor, or make consumers leave such fields as they are", alter+" REPLICA IDENTITY FULL")
	}
	return out
}

// reread reports whether a post processor reads a missing value again.
func (d *doctor) reread(t *doctorTable, column string) bool {
	for _, r := range d.o.RereadColumns {
		if r.Unavailable && (r.Columns == nil || r.Columns.Included(t.meta.Schema, t.meta.Name, column)) {
			return true
		}
	}
	return false
}

// signalTable checks the table that signals are written to.
func (d *doctor) signalTable(ctx context.Context) error {
	name := d.o.Signal.Table
	if name == "" || !slices.Contains(d.o.Signal.Channels, "source") {
		return nil
	}
	space, table, ok := strings.Cut(name, ".")
	if !ok {
		d.Add(capture.StateFailed, "signal table", name, "signal.data.collection is not schema.table").Do = "Write it as schema.table"
		return nil
	}
	quoted := quoteIdent(space) + "." + quoteIdent(table)
	metas, err := d.cat.tables(ctx, "n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')", space, table)
	if err != nil {
		return err
	}
	grant := "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE " + quoted + " TO " + d.role
	create := "CREATE TABLE " + quoted + " (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))"
	if len(metas) == 0 {
		d.Add(capture.StateFailed, "signal table", name, "does not exist").SQL = []string{create, "GRANT USAGE ON SCHEMA " + quoteIdent(space) + " TO " + d.role, grant}
		return nil
	}
	if n := len(metas[0].Columns); n < 3 {
		d.Add(capture.StateFailed, "signal table", name, fmt.Sprintf("has %d columns; signals need three, read by their place: id, type, data", n)).Do = "Name another table, e.g. signal.data.collection=" + space + ".debezium_signal, made by: " + strings.Replace(create, quoted, quoteIdent(space)+".debezium_signal", 1)
		return nil
	}
	r, err := d.query1(ctx, `SELECT has_table_privilege($1::regclass, 'INSERT') AND has_table_privilege($1::regclass, 'SELECT'), has_table_privilege($1::regclass, 'DELETE')`, quoted)
	if err != nil {
		return err
	}
	if (!isTrue(r[0]) || d.o.Incremental.DeleteOpen && !isTrue(r[1])) && !d.o.ReadOnly {
		d.Add(capture.StateFailed, "signal table", name, fmt.Sprintf("role %s may not write to it, as incremental snapshots do", d.o.Conn.User)).SQL = []string{grant}
		return nil
	}
	if d.pub != nil {
		if _, in := d.pub.members[name]; !in && d.o.Publication.Mode != "filtered" {
			return nil // told as a table that is not published
		}
	}
	d.ok("signal table", name, "%d columns, the role may write to it", len(metas[0].Columns))
	return nil
}

// heartbeat checks heartbeat.action.query by having the server read it, without
// running it.
func (d *doctor) heartbeat(ctx context.Context) error {
	h := &d.o.Heartbeat
	if !d.streams() {
		return nil
	}
	if h.Interval == 0 {
		d.ok("heartbeat", "", "off; an idle database does not keep WAL for that, since positions of keepalives are stored and confirmed too")
		return nil
	}
	if h.Query != "" {
		if _, err := d.conn.Prepare(ctx, "", h.Query, nil); err != nil {
			if sqlState(err) == "" {
				return err
			}
			d.Add(capture.StateFailed, "heartbeat", "heartbeat.action.query", "the server cannot run it: "+serverText(err)).Do = "Correct the statement, or create what it writes to"
			return nil
		}
		// EXPLAIN looks at the rights and runs nothing. What it cannot explain is left to the task.
		if _, err := query(ctx, d.conn, "EXPLAIN "+h.Query); sqlState(err) == "42501" {
			d.Add(capture.StateFailed, "heartbeat", "heartbeat.action.query", "role "+d.o.Conn.User+" may not run it: "+serverText(err)).Do = "Grant what it writes to, e.g. GRANT SELECT, INSERT, UPDATE ON TABLE … TO " + d.role
			return nil
		}
	}
	d.ok("heartbeat", "", "every %s", h.Interval)
	return nil
}
