package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/decode/pgoutput"
	"millrace/decode/pgvalue"
	"millrace/snapshot"
	snappg "millrace/snapshot/postgres"
)

// snapshotTable is a table that a snapshot reads.
type snapshotTable struct {
	table
	meta  *tableMeta
	sql   string   // the whole query, or the user's statement
	exprs []string // its columns; nil for a statement of the user
	// binary decodes rows in binary form. Nil: they come as text, and pick, columns and
	// fields say how: for each column of the table the field of the query, -1 none.
	binary  *pgoutput.Copy
	pick    []int
	columns int // fields of the query
	fields  [][]byte

	size   tableSize
	about  int64 // rows by the server's statistics, 0 unknown
	chunks []snapshot.PageChunk

	done    int64 // rows read
	counted int64 // of them in the metric
	counter prometheus.Counter
}

// tableSize is what the catalog says about how a table lies on disk.
type tableSize struct {
	pages int64
	file  string // its file, another one once the table was rewritten
	// paged: rows can be read by ranges of pages.
	paged bool
	rows  int64 // estimate, -1 unknown
}

// choose picks and compiles the tables to read, in reading order.
func (r *snapshotReader) choose(ctx context.Context, tables []*tableMeta, overrides map[string]string) error {
	o := &r.opts.Snapshot
	var names []string
	for _, m := range tables {
		if m.Schema+"."+m.Name == r.opts.Signal.Table || r.kind == "INITIAL" && !o.Include.Match(m.Schema, m.Name) {
			continue
		}
		if len(m.Columns) == 0 {
			r.log.Warn("a table without columns is left out of the snapshot", "table", m.Schema+"."+m.Name)
			continue
		}
		st := &snapshotTable{meta: m}
		st.oid, st.captured, st.name = m.OID, true, m.Schema+"."+m.Name
		if err := r.compile(ctx, &st.table, m.Columns, m.Key, m.Schema, m.Name, pgvalue.Snapshot); err != nil {
			return err
		}
		if over, ok := overrides[st.name]; ok {
			if err := r.override(ctx, st, over); err != nil {
				return err
			}
		} else {
			r.selectAll(st)
		}
		if r.metrics != nil {
			st.counter = r.metrics.SnapshotRows(st.name)
		}
		r.tables = append(r.tables, st)
		names = append(names, quoteIdent(m.Schema)+"."+quoteIdent(m.Name))
	}
	if o.Locking == "shared" && len(names) > 0 {
		if err := snappg.Lock(ctx, r.conn, o.LockTimeout.Milliseconds(), names); err != nil {
			return err
		}
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	return r.order(ctx)
}

// selectAll makes the query of a table: the columns that the value or the key need,
// in binary form or, where the type has none that is known, as the text that its
// output function gives.
func (r *snapshotReader) selectAll(st *snapshotTable) {
	spec := &st.rows.Spec
	var cols []int
	for i := range spec.Columns {
		if st.rows.Reads(i) {
			cols = append(cols, i)
		}
	}
	known := len(cols) > 0
	if !known { // rows without values
		for i := range spec.Columns {
			cols = append(cols, i)
		}
	}
	names, forms := make([]string, len(cols)), make([]string, len(cols))
	for n, i := range cols {
		names[n] = snappg.Ident(spec.Columns[i].Name)
		forms[n] = names[n]
		if !st.rows.Binary(i) {
			typ := r.cat.Type(spec.Columns[i].TypeOID)
			if known = known && typ != nil && typ.Output != ""; known {
				forms[n] = typ.Output + "(" + names[n] + ")"
			}
		}
	}
	if known {
		st.binary, st.exprs = st.rows.NewCopy(cols), forms
	} else {
		st.exprs = names
		st.byText(cols)
	}
	st.sql = snappg.Select(st.meta.Schema, st.meta.Name, st.exprs, "")
}

// byText prepares for rows as text, whose fields are the columns cols (-1: none).
func (st *snapshotTable) byText(cols []int) {
	n := len(st.rows.Spec.Columns)
	st.columns, st.pick, st.fields = len(cols), make([]int, n), make([][]byte, n)
	for i := range st.pick {
		st.pick[i] = slices.Index(cols, i)
	}
}

// override takes a statement of the user. It is run as it is; its rows come in binary
// form when every column has the type of the table's column and that form is known.
func (r *snapshotReader) override(ctx context.Context, st *snapshotTable, statement string) error {
	property := "snapshot.select.statement.overrides." + st.name
	st.sql = strings.TrimRight(strings.TrimSpace(statement), "; \n\t")
	found, err := snappg.Columns(ctx, r.conn, st.sql)
	if err != nil {
		return fault(err, "Correct the statement", "The property %s does not work", property)
	}
	cols, binary := make([]int, len(found)), true
	for n, f := range found {
		i := slices.IndexFunc(st.rows.Spec.Columns, func(c pgvalue.Column) bool { return c.Name == f.Name })
		if i < 0 {
			return fault(nil, "Select only columns of the table", "The property %s selects %q, which is no column of the table", property, f.Name)
		}
		binary = binary && st.rows.Reads(i) && st.rows.Binary(i) && r.cat.root(st.rows.Spec.Columns[i].TypeOID) == f.TypeOID && !slices.Contains(cols[:n], i)
		cols[n] = i
	}
	if binary {
		st.binary = st.rows.NewCopy(cols)
	} else {
		st.byText(cols)
	}
	return nil
}

const sizesSQL = `SELECT c.oid, pg_relation_size(c.oid) / current_setting('block_size')::int, pg_relation_filenode(c.oid), c.reltuples, c.relpages,
 c.relkind = 'r' AND a.amname = 'heap' AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid)
 FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE c.oid = ANY($1::oid[])`

// measure asks for the sizes of the tables. It comes after the snapshot was taken, so
// every row that the snapshot sees lies within.
func (r *snapshotReader) measure(ctx context.Context) error {
	ids := make([]string, len(r.tables))
	byOID := map[uint32]*snapshotTable{}
	for i, st := range r.tables {
		ids[i] = strconv.FormatUint(uint64(st.oid), 10)
		byOID[st.oid] = st
	}
	rows, err := query(ctx, r.conn, sizesSQL, "{"+strings.Join(ids, ",")+"}")
	if err != nil {
		return fmt.Errorf("ask for the sizes of the tables: %w", err)
	}
	for _, row := range rows {
		st := byOID[oid(row[0])]
		z := &st.size
		z.pages, z.file, z.rows = num(row[1]), string(row[2]), -1
		if tuples, err := strconv.ParseFloat(string(row[3]), 64); err == nil && num(row[4]) > 0 {
			z.rows = int64(tuples / float64(num(row[4])) * float64(z.pages))
		}
		z.paged = isTrue(row[5]) && st.exprs != nil && r.serverMajor >= 14
		st.about = max(z.rows, 0)
	}
	return nil
}

// order applies snapshot.tables.order.by.row.count. As in Debezium it matters when
// tables are read in chunks, which is with more than one reader or a multiplier. Rows
// of small tables are counted, those of large ones estimated.
func (r *snapshotReader) order(ctx context.Context) error {
	o := &r.opts.Snapshot
	if o.OrderByRows == "" || o.OrderByRows == "disabled" || o.Threads <= 1 && o.Multiplier <= 1 || len(r.tables) < 2 {
		return nil
	}
	const large = 4096 // pages
	rows := map[*snapshotTable]int64{}
	for _, st := range r.tables {
		if rows[st] = st.size.rows; st.size.pages > large && st.size.rows > 0 {
			continue
		}
		res, err := exec(ctx, r.conn, "SELECT count(*) FROM "+quoteIdent(st.meta.Schema)+"."+quoteIdent(st.meta.Name))
		if err != nil {
			return fmt.Errorf("count the rows of %s for snapshot.tables.order.by.row.count: %w", st.name, err)
		}
		rows[st] = num(res[0][0])
	}
	slices.SortStableFunc(r.tables, func(a, b *snapshotTable) int {
		d := int(min(max(rows[a]-rows[b], -1), 1))
		if o.OrderByRows == "descending" {
			d = -d
		}
		return d
	})
	return nil
}

// print identifies how a table is read. A table that was read with other columns, or
// by another statement, is read again after an interruption.
func (st *snapshotTable) print() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(st.sql))
	return strconv.FormatUint(h.Sum64(), 36)
}
