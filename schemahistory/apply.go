package schemahistory

import (
	"slices"
	"strings"

	"millrace/schemahistory/ddl"
)

// Apply reads a DDL text that ran with db as its current database, moves the model
// and answers one Step per statement (a DROP TABLE or RENAME TABLE of several
// tables is split, as the real connector publishes it).
func (m *Model) Apply(db, text string) []Step {
	var out []Step
	mode := ddl.Mode{AnsiQuotes: m.ansi, NoBackslashEscapes: m.noEsc, MariaDB: m.MariaDB, Version: m.Version}
	statements := ddl.Parse(text, mode)
	for _, s := range statements {
		if _, other := s.Node.(*ddl.Other); other && len(statements) == 1 {
			// A statement that moves nothing is published as it came, with what the
			// server wrote around it.
			s.Text = strings.TrimSpace(text)
		}
		out = append(out, m.statement(db, s)...)
	}
	return out
}

func (m *Model) id(db string, n ddl.Name) TableID {
	if n.DB != "" {
		db = n.DB
	}
	return TableID{db, n.Name}
}

func (m *Model) statement(db string, s ddl.Statement) []Step {
	step := Step{DB: db, DDL: s.Text}
	switch n := s.Node.(type) {
	case *ddl.CreateTable:
		m.createTable(&step, n)
	case *ddl.AlterTable:
		m.alterTable(&step, n)
	case *ddl.DropTable:
		return m.dropTables(db, n)
	case *ddl.RenameTable:
		return m.renameTables(db, s.Text, n)
	case *ddl.Truncate:
		id := m.id(db, n.Name)
		step.Truncated, step.DB, step.Ignored = &id, id.DB, true
	case *ddl.Database:
		m.database(&step, n)
		step.DBLevel = n.Verb != "ALTER"
	case *ddl.Index:
		m.index(&step, n)
	case *ddl.Set:
		step.DB, step.DBLevel = "", true
		m.set(n)
	case *ddl.Use:
		step.DB, step.DBLevel = n.DB, true
	}
	return []Step{step}
}

func (m *Model) set(n *ddl.Set) {
	for i, name := range n.Names {
		switch name {
		case "character_set_server":
			m.Server = n.Values[i]
		case "collation_server":
			if m.Server == "" {
				m.Server = charsetOf(n.Values[i])
			}
		case "sql_mode":
			m.SetSQLMode(n.Values[i])
		}
	}
}

func (m *Model) database(step *Step, n *ddl.Database) {
	if n.Name == "" {
		n.Name = step.DB
	}
	step.DB = n.Name
	switch {
	case n.Verb == "DROP":
		for _, id := range m.IDs() {
			if id.DB == n.Name {
				m.Remove(id)
			}
		}
		delete(m.databases, n.Name)
	case n.Charset != "":
		m.databases[n.Name] = n.Charset
	case n.Collate != "":
		m.databases[n.Name] = charsetOf(n.Collate)
	case n.Verb == "CREATE":
		m.databases[n.Name] = m.Server
	}
}

func (m *Model) createTable(step *Step, n *ddl.CreateTable) {
	id := m.id(step.DB, n.Name)
	step.DB = id.DB
	if n.Temporary {
		step.Ignored = true
		return
	}
	if n.IfNotExists && m.Table(id) != nil && n.Like == nil {
		return
	}
	step.Tables = []TableID{id}
	var t *Table
	switch {
	case n.Like != nil:
		from := m.Table(m.id(step.DB, *n.Like))
		if from == nil {
			step.Unread = errNoTable(m.id(step.DB, *n.Like))
			return
		}
		t = from.clone()
		t.ID = id
	default:
		t = m.newTable(id, n)
		if n.Select {
			step.Unread = "the columns of CREATE TABLE … SELECT are not in its text"
		}
	}
	m.Put(t)
	step.Changes = []Change{{Kind: Create, ID: id, Table: t}}
}

func (m *Model) newTable(id TableID, n *ddl.CreateTable) *Table {
	t := &Table{ID: id, Charset: m.Charset(id.DB)}
	if n.Options.Charset != "" {
		t.Charset = n.Options.Charset
	} else if n.Options.Collate != "" {
		t.Charset = charsetOf(n.Options.Collate)
	}
	if n.Options.Comment != nil {
		t.Comment, t.HasComment = *n.Options.Comment, true
	}
	for i := range n.Columns {
		d := &n.Columns[i]
		t.Columns = append(t.Columns, columnOf(d, t.Charset))
		t.columnKeys(d)
	}
	for i := range n.Keys {
		t.addKey(&n.Keys[i])
	}
	return t
}

// columnKeys adds the keys that a column definition itself makes.
func (t *Table) columnKeys(d *ddl.Column) {
	if d.PrimaryKey {
		t.PrimaryKey = []string{d.Name}
	}
	if d.Unique {
		t.addUnique(Unique{Name: d.Name, Columns: []string{d.Name}})
	}
}

func (t *Table) addUnique(u Unique) {
	t.Uniques = append(t.Uniques, u)
	t.promote(&u)
}

// addKey adds a table key; primary key columns become NOT NULL.
func (t *Table) addKey(k *ddl.Key) {
	cols := make([]string, len(k.Columns))
	for i, name := range k.Columns {
		cols[i] = name
		if j := t.Column(name); j >= 0 {
			cols[i] = t.Columns[j].Name
			if k.Primary {
				t.notNull(j)
			}
		}
	}
	if k.Primary {
		t.PrimaryKey = cols
		return
	}
	name := k.Name
	if name == "" && len(cols) > 0 {
		name = cols[0]
	}
	t.addUnique(Unique{Name: name, Columns: cols, Expression: k.Expression})
}

func (t *Table) notNull(i int) {
	c := &t.Columns[i]
	c.Optional = false
	if c.HasDefault && c.Default == nil {
		c.HasDefault = false
	}
}

func (m *Model) alterTable(step *Step, n *ddl.AlterTable) {
	id := m.id(step.DB, n.Name)
	step.DB = id.DB
	step.Tables = []TableID{id}
	old := m.Table(id)
	if old == nil {
		step.Unread = errNoTable(id)
		return
	}
	t := old.clone()
	change := Change{Kind: Alter, ID: id}
	if cs := n.Options.Charset; cs != "" || n.Options.Collate != "" {
		switch cs {
		case "":
			cs = charsetOf(n.Options.Collate)
		case "default": // CONVERT TO CHARACTER SET DEFAULT
			cs = m.Charset(id.DB)
		}
		t.Charset = cs
		for i := range t.Columns {
			if n.Options.ConvertTo && t.Columns[i].Charset != "" {
				t.Columns[i].Charset = cs
			}
		}
	}
	if n.Options.Comment != nil {
		t.Comment, t.HasComment = *n.Options.Comment, true
	}
	// All renames of one statement happen at once: names are those of before.
	renames := map[string]string{}
	for i := range n.Actions {
		if why := m.action(t, &n.Actions[i], renames); why != "" {
			step.Unread = why
		}
		if n.Actions[i].Verb == ddl.RenameTo {
			to := m.id(step.DB, n.Actions[i].To)
			m.Remove(id)
			change.Moved, change.ID, t.ID = &TableID{id.DB, id.Name}, to, to
			step.DB, step.Tables = to.DB, []TableID{to}
		}
	}
	t.rename(renames)
	m.Put(t)
	change.Table = t
	step.Changes = []Change{change}
}

func (t *Table) rename(names map[string]string) {
	if len(names) == 0 {
		return
	}
	to := func(s string) string {
		if n, ok := names[strings.ToLower(s)]; ok {
			return n
		}
		return s
	}
	for i := range t.Columns {
		t.Columns[i].Name = to(t.Columns[i].Name)
	}
	for i := range t.PrimaryKey {
		t.PrimaryKey[i] = to(t.PrimaryKey[i])
	}
	for i := range t.Uniques {
		cols := slices.Clone(t.Uniques[i].Columns)
		for j := range cols {
			cols[j] = to(cols[j])
		}
		t.Uniques[i].Columns = cols
	}
}

// action does one specification; it answers why when it cannot be followed.
func (m *Model) action(t *Table, a *ddl.Action, renames map[string]string) string {
	at := -1
	if a.From != "" {
		at = t.Column(a.From)
	}
	switch a.Verb {
	case ddl.AddColumn:
		if t.Column(a.Column.Name) >= 0 {
			if a.IfExists {
				return ""
			}
			return "column " + a.Column.Name + " is there already"
		}
		t.insert(columnOf(&a.Column, t.Charset), a, len(t.Columns))
		t.columnKeys(&a.Column)
		if a.Column.PrimaryKey {
			t.addKey(&ddl.Key{Primary: true, Columns: []string{a.Column.Name}})
		}
	case ddl.ModifyColumn, ddl.ChangeColumn:
		return t.redefine(a, at)
	case ddl.DropColumn:
		t.dropColumn(at)
	case ddl.RenameColumn:
		if at < 0 {
			return "column " + a.From + " is not known"
		}
		renames[strings.ToLower(a.From)] = a.Column.Name
	case ddl.SetDefault, ddl.DropDefault:
		if at < 0 {
			return "column " + a.From + " is not known"
		}
		t.Columns[at].alterDefault(a)
	case ddl.AddKey:
		t.addKey(&a.Key)
	case ddl.DropPrimaryKey:
		t.PrimaryKey = nil
	case ddl.DropKey:
		t.dropKey(a.From)
	case ddl.RenameKey:
		for i := range t.Uniques {
			if strings.EqualFold(t.Uniques[i].Name, a.From) {
				t.Uniques[i].Name = a.Key.Name
			}
		}
	}
	return ""
}

// dropKey forgets a unique key. Where it stands for the primary key its columns stay
// the record key, as the reference has it.
func (t *Table) dropKey(name string) {
	t.Uniques = slices.DeleteFunc(t.Uniques, func(u Unique) bool { return strings.EqualFold(u.Name, name) })
}

func (t *Table) dropColumn(at int) {
	if at < 0 {
		return
	}
	name := t.Columns[at].Name
	same := func(s string) bool { return strings.EqualFold(s, name) }
	t.Columns = slices.Delete(t.Columns, at, at+1)
	t.PrimaryKey = slices.DeleteFunc(t.PrimaryKey, same)
	for i := range t.Uniques {
		t.Uniques[i].Columns = slices.DeleteFunc(slices.Clone(t.Uniques[i].Columns), same)
	}
}

// redefine is MODIFY and CHANGE: a new definition, perhaps a new name and place.
func (t *Table) redefine(a *ddl.Action, at int) string {
	if at < 0 {
		if a.IfExists {
			return ""
		}
		return "column " + a.From + " is not known"
	}
	old := t.Columns[at].Name
	c := columnOf(&a.Column, t.Charset)
	t.Columns = slices.Delete(t.Columns, at, at+1)
	t.insert(c, a, at)
	t.rename(map[string]string{strings.ToLower(old): c.Name})
	t.columnKeys(&a.Column)
	return ""
}

func (t *Table) insert(c Column, a *ddl.Action, at int) {
	switch {
	case a.First:
		at = 0
	case a.After != "":
		if i := t.Column(a.After); i >= 0 {
			at = i + 1
		}
	}
	t.Columns = slices.Insert(t.Columns, at, c)
}

func quote(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func (m *Model) dropTables(db string, n *ddl.DropTable) []Step {
	if n.Temporary {
		return []Step{{DB: db, Ignored: true}}
	}
	var out []Step
	var all []TableID
	for _, name := range n.Names {
		id := m.id(db, name)
		text := "DROP TABLE "
		if n.IfExists {
			text += "IF EXISTS "
		}
		m.Remove(id)
		all = append(all, id)
		out = append(out, Step{DB: id.DB, DDL: text + quote(id.DB) + "." + quote(id.Name), Changes: []Change{{Kind: Drop, ID: id}}})
	}
	shareTables(out, all)
	return out
}

// shareTables gives each step the tables of its neighbours in the same database: the
// reference makes groups of them, in the order of the statement.
func shareTables(steps []Step, all []TableID) {
	for from, to := 0, 0; from < len(steps); from = to {
		for to < len(steps) && steps[to].DB == steps[from].DB {
			to++
		}
		for i := from; i < to; i++ {
			steps[i].Tables = all[from:to:to]
		}
	}
}

// renameTables moves tables pair by pair. Each pair is a step of its own, with the
// statement's own words in front; the steps show what is there when all pairs are
// done, so a name that only existed in between has no change.
func (m *Model) renameTables(db, text string, n *ddl.RenameTable) []Step {
	var out []Step
	var all []TableID
	for i := range n.From {
		from, to := m.id(db, n.From[i]), m.id(db, n.To[i])
		all = append(all, to)
		step := Step{DB: to.DB, DDL: text[:n.Pairs[0][0]] + text[n.Pairs[i][0]:n.Pairs[i][1]]}
		old := m.Table(from)
		if old == nil {
			step.Unread = errNoTable(from)
		} else {
			t := old.clone()
			t.ID = to
			m.Remove(from)
			m.Put(t)
			step.Changes = []Change{{Kind: Alter, ID: to, Previous: &from, Table: t}}
		}
		out = append(out, step)
	}
	shareTables(out, all)
	for i := range out {
		if c := out[i].Changes; len(c) == 1 && m.Table(c[0].ID) == nil {
			out[i].Changes = nil
		}
	}
	return out
}

func (m *Model) index(step *Step, n *ddl.Index) {
	id := m.id(step.DB, n.Table)
	step.DB = id.DB
	old := m.Table(id)
	if old == nil {
		if n.Key.Unique {
			step.Tables, step.Unread = []TableID{id}, errNoTable(id)
		}
		return
	}
	t := old.clone()
	switch {
	case n.Drop:
		// Nothing is published, as by the reference; but the key is gone.
		if t.dropKey(n.Key.Name); len(t.Uniques) != len(old.Uniques) {
			m.Put(t)
		}
		return
	case n.Key.Unique:
		t.addKey(&n.Key)
		if len(old.PrimaryKey) > 0 {
			m.Put(t) // the record key stays, so nothing is published
			return
		}
	default:
		return
	}
	m.Put(t)
	step.Tables = []TableID{id}
	step.Changes = []Change{{Kind: Alter, ID: id, Table: t}}
}
