package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/decode/binlog"
	"millrace/schemahistory"
)

// A row event says how many columns a table had when it was written, of which wire
// types, and with binlog_row_metadata=FULL their names too. A definition from the
// history that contradicts this is out of step: tables may be changed without a trace
// in the log (sql_log_bin=0), and a history may have been rebuilt from a catalog that
// is newer than the log. Values must not be put under wrong names, so the definition
// is then made of what the log says and of what the catalog says of these columns.

// named reports whether the log has the names of the columns.
func named(m *binlog.TableMap) bool { return len(m.Columns) > 0 && m.Columns[0].Name != "" }

// agrees reports whether a definition can be that of rows in the log.
func agrees(v *schemahistory.Table, m *binlog.TableMap) bool {
	if v == nil || len(v.Columns) != len(m.Columns) {
		return false
	}
	for i := range m.Columns {
		if w := &m.Columns[i]; w.Name != "" && !strings.EqualFold(w.Name, v.Columns[i].Name) || !carries(&v.Columns[i], w) {
			return false
		}
	}
	return true
}

// resolve finds a definition for the rows of a table whose recorded one (nil: there is
// none) does not agree with them. It answers nil when the rows are to be skipped.
func (s *session) resolve(ctx context.Context, id schemahistory.TableID, m *binlog.TableMap, have *schemahistory.Table) (*schemahistory.Table, error) {
	text, err := showCreate(ctx, s.t.db, id)
	if err != nil && retriable(err) {
		return nil, err
	}
	var now *schemahistory.Table
	if err == nil {
		fresh := s.t.newModel()
		fresh.SetCharset(id.DB, s.t.model.Charset(id.DB))
		fresh.Apply(id.DB, text)
		now = fresh.Table(id)
	}
	var v *schemahistory.Table
	reason, from := "rows", "the catalog"
	switch {
	case agrees(now, m):
		v = now
	case named(m):
		if v, err = s.fromLog(ctx, id, m, have, now); err != nil {
			return nil, err
		}
		reason, from, text = "metadata", "the log's own metadata, as the catalog is of another time", ""
	case now != nil && len(now.Columns) > len(m.Columns):
		if v = aligned(now, m); v != nil {
			reason, from, text = "metadata", "the catalog without the columns that the log does not have yet", ""
		}
	}
	if v == nil {
		return nil, s.unresolved(id, m, have, err)
	}
	s.log.Warn("the definition of a table was missing or did not fit its rows; it was taken from "+from, "table", id.String(), "file", s.file, "gtid", s.gtid)
	s.t.reread(reason)
	s.t.model.Put(v)
	s.inc.Altered(id.DB + "." + id.Name)
	if text == "" {
		text = describe(v)
	}
	step := &schemahistory.Step{DB: id.DB, DDL: text, Changes: []schemahistory.Change{{Kind: schemahistory.Create, ID: id, Table: v}}, Tables: []schemahistory.TableID{id}}
	return v, s.t.remember(ctx, s.ddlPosition(), s.now.UnixMilli(), step)
}

// unresolved does what inconsistent.schema.handling.mode says.
func (s *session) unresolved(id schemahistory.TableID, m *binlog.TableMap, have *schemahistory.Table, cause error) error {
	why := "is not in the schema history"
	if have != nil {
		why = "has " + strconv.Itoa(len(have.Columns)) + " columns in the schema history but " + strconv.Itoa(len(m.Columns)) + " in the log, or columns of other types,"
	}
	if s.t.opts.OnBadSchema == "fail" {
		return fault(cause, "SET GLOBAL binlog_row_metadata = 'FULL' makes the log name its columns from now on. For these rows: take a new snapshot (delete the connector's offsets, or set snapshot.mode=when_needed), or set inconsistent.schema.handling.mode=warn to skip them",
			"Rows of table %s.%s at %s:%d cannot be read: the table %s and the catalog does not have a definition that fits them", id.DB, id.Name, s.file, s.at.Pos, why)
	}
	s.log.Warn("rows of a table are skipped, as inconsistent.schema.handling.mode says", "table", id.String(), "why", why)
	return nil
}

// fromLog makes the definition of the columns that the log names: each as the history
// or the catalog has it, when that goes with the log, else as the log describes it.
func (s *session) fromLog(ctx context.Context, id schemahistory.TableID, m *binlog.TableMap, have, now *schemahistory.Table) (*schemahistory.Table, error) {
	charsets, err := collations(ctx, s.t.db)
	if err != nil {
		return nil, err
	}
	v := &schemahistory.Table{ID: id, Charset: s.t.model.Charset(id.DB)}
	var key []string
	for _, t := range []*schemahistory.Table{now, have} {
		if t != nil {
			v.Charset, v.Comment, v.HasComment = t.Charset, t.Comment, t.HasComment
			key = t.PrimaryKey
		}
	}
	for i := range m.Columns {
		w := &m.Columns[i]
		c := columnOfLog(w, charsets)
		for _, t := range []*schemahistory.Table{have, now} {
			if t == nil {
				continue
			}
			if j := t.Column(w.Name); j >= 0 && carries(&t.Columns[j], w) && t.Columns[j].Optional == w.Nullable {
				c = t.Columns[j]
				c.Name = w.Name
				break
			}
		}
		v.Columns = append(v.Columns, c)
	}
	for _, i := range m.PrimaryKey {
		if i < len(v.Columns) {
			v.PrimaryKey = append(v.PrimaryKey, v.Columns[i].Name)
		}
	}
	if len(m.PrimaryKey) == 0 && !slices.ContainsFunc(key, func(k string) bool { return v.Column(k) < 0 || v.Columns[v.Column(k)].Optional }) {
		v.PrimaryKey = key // a unique key that stands for it, which the log does not tell
	}
	return v, nil
}

// aligned leaves those columns out of a newer definition that rows in the log do not
// have. It answers nil unless there is exactly one way to do so by what the log tells
// without names: types, sizes, nullability.
func aligned(now *schemahistory.Table, m *binlog.TableMap) *schemahistory.Table {
	n, k := len(now.Columns), len(m.Columns)
	// ways[i][j]: in how many ways the columns of now from i on give those of the log
	// from j on, counted up to two.
	ways := make([][]int, n+1)
	for i := n; i >= 0; i-- {
		ways[i] = make([]int, k+1)
		ways[i][k] = 1
		for j := k - 1; j >= 0 && i < n; j-- {
			ways[i][j] = ways[i+1][j]
			if exactly(&now.Columns[i], &m.Columns[j]) {
				ways[i][j] = min(2, ways[i][j]+ways[i+1][j+1])
			}
		}
	}
	if ways[0][0] != 1 {
		return nil
	}
	v := *now
	v.Columns, v.PrimaryKey, v.Uniques = nil, nil, nil
	for i, j := 0, 0; j < k; i++ {
		if ways[i+1][j] == 0 {
			v.Columns = append(v.Columns, now.Columns[i])
			j++
		}
	}
	if !slices.ContainsFunc(now.PrimaryKey, func(name string) bool { return v.Column(name) < 0 }) {
		v.PrimaryKey = now.PrimaryKey
	}
	return &v
}

// describe is a statement that makes such a table, for the history's readers; what is
// read back from there is the structure beside it.
func describe(v *schemahistory.Table) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + quote(v.ID.DB) + "." + quote(v.ID.Name) + " (")
	for i := range v.Columns {
		c := &v.Columns[i]
		if i > 0 {
			b.WriteString(", ")
		}
		base, rest, _ := strings.Cut(c.TypeName, " ")
		b.WriteString(quote(c.Name) + " " + base)
		switch {
		case len(c.Labels) > 0:
			b.WriteString("(" + strings.Join(c.Labels, ",") + ")")
		case c.Length >= 0 && c.Scale >= 0:
			fmt.Fprintf(&b, "(%d,%d)", c.Length, c.Scale)
		case c.Length >= 0:
			fmt.Fprintf(&b, "(%d)", c.Length)
		}
		if rest != "" {
			b.WriteString(" " + rest)
		}
		if c.Charset != "" {
			b.WriteString(" CHARACTER SET " + c.Charset)
		}
		if !c.Optional {
			b.WriteString(" NOT NULL")
		}
	}
	if len(v.PrimaryKey) > 0 {
		names := make([]string, len(v.PrimaryKey))
		for i, name := range v.PrimaryKey {
			names[i] = quote(name)
		}
		b.WriteString(", PRIMARY KEY (" + strings.Join(names, ", ") + ")")
	}
	b.WriteString(")")
	return b.String()
}

// collations are the server's character sets by the number of a collation.
func collations(ctx context.Context, q querier) (map[int][2]string, error) {
	rows, err := query(ctx, q, "SELECT c.ID AS id, c.CHARACTER_SET_NAME AS name, s.MAXLEN AS width FROM information_schema.COLLATIONS c JOIN information_schema.CHARACTER_SETS s ON s.CHARACTER_SET_NAME = c.CHARACTER_SET_NAME")
	if err != nil {
		return nil, fmt.Errorf("read the collations: %w", err)
	}
	out := make(map[int][2]string, len(rows))
	for _, r := range rows {
		if id, err := strconv.Atoi(r["id"]); err == nil {
			out[id] = [2]string{r["name"], r["width"]}
		}
	}
	return out, nil
}
