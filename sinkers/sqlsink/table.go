package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"millrace/internal/errs"
)

// spelling is how a dialect writes names and types. It is pure.
type spelling interface {
	// fold returns the name as the database stores it: unquoted names take its
	// default case.
	fold(name string) string
	quote(name string) string
	// columnType returns the type of a new column, or an error when there is none.
	columnType(c *column) (string, error)
	// defaultValue returns the SQL after DEFAULT, ok false when the column gets none.
	defaultValue(c *column) (sql string, ok bool)
	// addColumns returns the statements that add columns, given their definitions.
	addColumns(table string, defs []string) []string
}

// target is the connection to a database. Errors of its methods are *dbError.
type target interface {
	open(ctx context.Context) error
	// describe reads a table's columns; nil when there is no such table.
	describe(ctx context.Context, t *table) (*tableInfo, error)
	exec(ctx context.Context, sql string) error
	// write executes the units in order in one transaction.
	write(ctx context.Context, src *rows, units []*unit) error
	close()
}

// dbError is an error of the database with what it means for a retry.
type dbError struct {
	what  string // what was being done
	class errClass
	// unsure: the connection was lost while a COMMIT was under way, so the
	// transaction may be there or not.
	unsure bool
	err    error
}

type errClass uint8

const (
	errOther   errClass = iota
	errBusy             // deadlock, lock timeout, serialization: works later
	errLost             // the connection is gone
	errNoTable          // the table or a column is not there (any more)
	errSetup            // rights, a wrong password, a broken file: no record is at fault
)

func (e *dbError) Error() string { return e.what + ": " + e.err.Error() }
func (e *dbError) Unwrap() error { return e.err }

// passes tells errors that say nothing about records: they go to the runner, and
// nothing is isolated.
func passes(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	var about *errs.Error
	if errors.As(err, &about) && about.Java == errs.ConnectException {
		return true // a table that cannot be made as the records need it
	}
	var e *dbError
	if errors.As(err, &e) {
		return e.class == errLost || e.class == errBusy || e.class == errSetup
	}
	var row *badRow
	return !errors.As(err, &row)
}

// lostCommit marks the error of a COMMIT whose connection is gone.
func lostCommit(err error) error {
	var e *dbError
	if errors.As(err, &e) && e.class == errLost {
		e.unsure = true
	}
	return err
}

func classOf(err error) errClass {
	var e *dbError
	if errors.As(err, &e) {
		return e.class
	}
	return errOther
}

// table is a target table.
type table struct {
	name   string // as the format made it, for messages
	schema string // "" : the default one
	ident  string
	sql    string // quoted, for statements
	info   *tableInfo
	gather gathered
	came   [2]bool // see Sink.came
}

// tableInfo is what the database says about a table.
type tableInfo struct {
	cols map[string]*colInfo // by name; by lower-case name where case does not matter
	// solo: rows constrain each other (a second unique key, foreign keys), so a batch
	// is written in one transaction.
	solo bool
	// unkeyed: no two rows are alike to the table, so an upsert only ever inserts there.
	unkeyed bool
	// triggers: they see each change of a row, so a key that comes again in a batch is
	// written again.
	triggers bool
}

type colInfo struct {
	name       string
	typ        string // without length and precision
	notNull    bool
	hasDefault bool
	always     bool // identity column that takes no values unless overridden
	generated  bool // computed: takes no values at all
	enum       bool
	exact      bool // texts are equal only when their bytes are
}

func (t *table) unkeyed() bool { return t.info != nil && t.info.unkeyed }

// tableOf interns a table.
func (k *Sink) tableOf(name string) *table {
	if t := k.tables[name]; t != nil {
		return t
	}
	t := &table{name: name}
	parts := strings.Split(name, ".")
	fold := func(name string) string { return name } // where the case of columns does not matter, that of tables may
	if pg, ok := k.spell.(*pgSpell); ok {
		fold = pg.tableName
	}
	t.ident = fold(parts[len(parts)-1])
	t.sql = k.spell.quote(t.ident)
	if len(parts) > 1 {
		t.schema = fold(parts[len(parts)-2])
		t.sql = k.spell.quote(t.schema) + "." + t.sql
	}
	k.tables[name] = t
	return t
}

func (k *Sink) column(t *table, name string) *colInfo {
	if k.caseless {
		name = strings.ToLower(name)
	}
	return t.info.cols[name]
}

// fits tells whether the table is there as a new plan needs it.
func (k *Sink) fits(p *plan) bool {
	if p.table.info == nil || k.verify != nil {
		return false
	}
	for i := range p.cols {
		if k.find(p.table, p.cols[i].name) == nil {
			return false
		}
	}
	return true
}

// ensure makes the table and the columns of a plan when schema.evolution allows it.
func (k *Sink) ensure(ctx context.Context, p *plan, deleteOnly bool) error {
	if k.verify != nil {
		return k.verify.ensure(ctx, p)
	}
	t := p.table
	if t.info == nil {
		info, err := k.target.describe(ctx, t)
		if err != nil {
			return err
		}
		t.info = info
	}
	if t.info == nil {
		if deleteOnly {
			p.skip = true
			return nil
		}
		if !k.cfg.mayCreate() {
			return tableError(t, &errs.Error{Msg: "Could not find table: " + t.name, Hint: "Create it, or set " + k.cfg.createOption() + " to have it made"})
		}
		return k.create(ctx, p)
	}
	return k.extend(ctx, p, deleteOnly)
}

func tableError(t *table, cause error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: "Error while checking and applying table changes for collection '" + t.name + "'", Cause: cause}
}

func (k *Sink) create(ctx context.Context, p *plan) error {
	t := p.table
	var defs, keys []string
	for _, c := range k.createOrder(p) {
		def, err := k.define(c)
		if err != nil {
			return tableError(t, err)
		}
		defs = append(defs, def)
		if c.key {
			keys = append(keys, k.spell.quote(c.name))
		}
	}
	if len(keys) > 0 {
		defs = append(defs, "PRIMARY KEY("+strings.Join(keys, ", ")+")")
	}
	sql := "CREATE TABLE " + t.sql + " (" + strings.Join(defs, ", ") + ")"
	k.log.Info("creating table", "table", t.name, "sql", sql)
	made := k.target.exec(ctx, sql)
	info, err := k.target.describe(ctx, t)
	if err != nil {
		return err
	}
	if t.info = info; info == nil {
		if made == nil {
			made = errors.New("the table is not visible after it was made")
		} else if c := classOf(made); c == errLost || c == errBusy {
			return made
		}
		return tableError(t, made)
	}
	if made != nil { // another task was faster
		return k.extend(ctx, p, false)
	}
	if !k.covers(info, p) {
		return tableError(t, errors.New("the table was made, but lacks columns of the records"))
	}
	return nil
}

func (k *Sink) extend(ctx context.Context, p *plan, deleteOnly bool) error {
	t := p.table
	var defs []string
	for i := range p.cols {
		c := &p.cols[i]
		if info := k.find(t, c.name); info != nil {
			c.name = info.name
			if c.alt != nil && temporal(info.typ) {
				c.sem = *c.alt
			}
			continue
		}
		if deleteOnly || !k.cfg.evolve {
			return tableError(t, &errs.Error{Msg: fmt.Sprintf("Cannot alter table %s because schema evolution is disabled; it has no column %q", t.name, c.name), Hint: "Add the column, leave the field out (field.exclude.list), or set " + k.cfg.evolveOption()})
		}
		if c.key || !c.schema.Optional && c.schema.Default == nil {
			return tableError(t, &errs.Error{Msg: fmt.Sprintf("Cannot ALTER table '%s' because field '%s' is not optional but has no default value", t.name, c.field), Hint: "Add the column by hand"})
		}
		def, err := k.define(c)
		if err != nil {
			return tableError(t, err)
		}
		defs = append(defs, def)
	}
	if len(defs) == 0 {
		return nil
	}
	for _, sql := range k.spell.addColumns(t.sql, defs) {
		k.log.Info("adding columns", "table", t.name, "sql", sql)
		if err := k.target.exec(ctx, sql); err != nil {
			if c := classOf(err); c == errLost || c == errBusy {
				return err
			}
			k.log.Debug("adding columns failed, looking whether another task was faster", "error", err)
			if info, e := k.target.describe(ctx, t); e != nil || info == nil || !k.covers(info, p) {
				return tableError(t, err)
			}
		}
	}
	info, err := k.target.describe(ctx, t)
	if err != nil {
		return err
	}
	if info == nil || !k.covers(info, p) {
		return tableError(t, fmt.Errorf("the table lacks columns although they were added"))
	}
	t.info = info
	return nil
}

func (k *Sink) covers(info *tableInfo, p *plan) bool {
	probe := table{info: info}
	for i := range p.cols {
		if k.column(&probe, p.cols[i].name) == nil {
			return false
		}
	}
	return true
}

// define spells a column of CREATE and ALTER.
func (k *Sink) define(c *column) (string, error) {
	typ, err := k.spell.columnType(c)
	if err != nil {
		return "", err
	}
	def := k.spell.quote(c.name) + " " + typ
	if c.schema.Default != nil && !strings.HasSuffix(typ, "serial") { // whose default is its sequence
		if sql, ok := k.spell.defaultValue(c); ok {
			def += " DEFAULT " + sql
			if k.cfg.plain {
				return def, nil
			}
		}
	}
	if c.required() {
		return def + " NOT NULL", nil
	}
	return def + " NULL", nil
}

// createOrder is the order of the columns of a new table: keys first, or as
// Confluent's sink has it: Kafka coordinates under their own names, the value's
// fields, other keys by name.
func (k *Sink) createOrder(p *plan) []*column {
	out := make([]*column, len(p.cols))
	for i := range p.cols {
		out[i] = &p.cols[i]
	}
	if !k.cfg.plain {
		return out
	}
	rank := func(c *column) int {
		switch {
		case k.cfg.coordinates[0] == "" && (c.from == fromTopic || c.from == fromPartition || c.from == fromOffset):
			return -1
		case c.row >= 0:
			return c.row
		}
		return 1 << 30
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := rank(out[i]), rank(out[j])
		return a < b || a == b && a == 1<<30 && out[i].name < out[j].name
	})
	return out
}

// find looks a column up; Confluent's sink also takes one in another case.
func (k *Sink) find(t *table, name string) *colInfo {
	if info := k.column(t, name); info != nil || !k.cfg.plain {
		return info
	}
	var found *colInfo
	for n, info := range t.info.cols {
		if strings.EqualFold(n, name) {
			if found != nil {
				return nil
			}
			found = info
		}
	}
	return found
}

// temporal tells whether a column type holds dates or times.
func temporal(typ string) bool {
	return strings.HasPrefix(typ, "time") || strings.HasPrefix(typ, "date") || strings.HasPrefix(typ, "interval") || typ == "year"
}

func (c *config) mayCreate() bool {
	if c.plain {
		return !c.noCreate
	}
	return c.evolve
}

func (c *config) createOption() string {
	if c.plain {
		return "auto.create=true"
	}
	return "schema.evolution=basic"
}

func (c *config) evolveOption() string {
	if c.plain {
		return "auto.evolve=true"
	}
	return "schema.evolution=basic"
}
