// Package schemahistory keeps the versions of MySQL tables by position in the
// log. DDL text moves a Model from one version to the next (schemahistory/ddl
// reads it), every step is recorded in a history that the real connector can read
// and that we can read from it, and the record of a schema change is made from the
// same Change.
//
// The Model is pure and copy-on-write: a *Table is immutable, so a decoder may
// keep the one its plan was compiled from.
package schemahistory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TableID names a table.
type TableID struct{ DB, Name string }

// String is the identifier as histories write it: both parts in double quotes.
func (t TableID) String() string { return `"` + t.DB + `"."` + t.Name + `"` }

// Column is a column of a table version, in the terms of the history format.
type Column struct {
	Name            string
	JDBCType        int    // java.sql.Types
	TypeName        string // upper case, with UNSIGNED, ZEROFILL, …
	Charset         string // "" null
	Length, Scale   int    // -1 absent
	Optional        bool
	AutoIncremented bool
	Generated       bool    // auto-increment or ON UPDATE, as the reference sets it
	Comment         *string // nil: none was written
	HasDefault      bool
	Default         *string  // expression text; nil: NULL
	Labels          []string // of ENUM and SET, with their quotes
}

// Unique is a unique key.
type Unique struct {
	Name       string
	Columns    []string
	Expression bool
}

// Table is one version of a table. It is immutable.
type Table struct {
	ID         TableID
	Charset    string
	PrimaryKey []string // or the unique key that stands for it
	Columns    []Column
	Uniques    []Unique
	Comment    string
	HasComment bool
}

// Column returns the index of a column, found without regard to case; -1: none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}

// Key returns the columns that make the record key: the primary key, or the unique
// key that took its place when it was added.
func (t *Table) Key() []string { return t.PrimaryKey }

// promote lets a unique key stand for the primary key, as the reference does: when
// there is none, the columns are all NOT NULL, and no part is an expression.
func (t *Table) promote(u *Unique) {
	if len(t.PrimaryKey) > 0 || u.Expression || len(u.Columns) == 0 {
		return
	}
	for _, name := range u.Columns {
		if i := t.Column(name); i < 0 || t.Columns[i].Optional {
			return
		}
	}
	t.PrimaryKey = slices.Clone(u.Columns)
}

func (t *Table) clone() *Table {
	c := *t
	c.Columns, c.PrimaryKey, c.Uniques = slices.Clone(t.Columns), slices.Clone(t.PrimaryKey), slices.Clone(t.Uniques)
	return &c
}

// Kind is what a Change did to a table.
type Kind string

// The kinds of changes, in the spelling of histories and records.
const (
	Create Kind = "CREATE"
	Alter  Kind = "ALTER"
	Drop   Kind = "DROP"
)

// Change is what one statement did to one table.
type Change struct {
	Kind     Kind
	ID       TableID
	Previous *TableID // renamed from by RENAME TABLE
	Moved    *TableID // renamed from by ALTER TABLE, which histories do not tell
	Table    *Table   // nil after a drop
}

// Step is one statement with what it did.
type Step struct {
	DB      string // database of the statement's record; "" for SET
	DDL     string // text as published
	Changes []Change
	// Tables are the tables that the statement touched, for source.table.
	Tables []TableID
	// Truncated is set for TRUNCATE, which changes no schema.
	Truncated *TableID
	// Unread says why the statement could not be followed; the tables named must
	// be read from the catalog again.
	Unread string
	// DBLevel: the statement is about a database or variables, so its record has no
	// source.table at all (other statements without tables have an empty one).
	DBLevel bool
	// Ignored: the statement makes no history record.
	Ignored bool
}

// Model is all tables at one position. The zero value is not ready; use NewModel.
type Model struct {
	tables    map[TableID]*Table
	databases map[string]string // database -> charset
	// Server is character_set_server, Database character_set_database.
	Server string
	ansi   bool
	noEsc  bool
	// MariaDB and Version (e.g. 90700) decide what executable comments hold.
	MariaDB bool
	Version int
	// Comments keeps table and column comments (include.schema.comments).
	Comments bool
	// FoldCase: lower_case_table_names is not 0.
	FoldCase bool
}

// NewModel makes an empty model.
func NewModel() *Model {
	return &Model{tables: map[TableID]*Table{}, databases: map[string]string{}}
}

func (m *Model) fold(id TableID) TableID {
	if m.FoldCase {
		return TableID{strings.ToLower(id.DB), strings.ToLower(id.Name)}
	}
	return id
}

// Table returns the current version of a table, or nil.
func (m *Model) Table(id TableID) *Table { return m.tables[m.fold(id)] }

// Put stores a new version; the model owns t from here on.
func (m *Model) Put(t *Table) {
	if !m.Comments {
		t.Comment, t.HasComment = "", false
		for i := range t.Columns {
			t.Columns[i].Comment = nil
		}
	}
	m.tables[m.fold(t.ID)] = t
}

// Remove forgets a table.
func (m *Model) Remove(id TableID) { delete(m.tables, m.fold(id)) }

// IDs lists the tables, sorted.
func (m *Model) IDs() []TableID {
	return slices.SortedFunc(maps.Keys(m.tables), func(a, b TableID) int {
		return strings.Compare(a.DB+"\x00"+a.Name, b.DB+"\x00"+b.Name)
	})
}

// Charset returns the default character set of a database.
func (m *Model) Charset(db string) string {
	if cs := m.databases[db]; cs != "" {
		return cs
	}
	return m.Server
}

// HasCharset reports whether the default character set of a database is known.
func (m *Model) HasCharset(db string) bool { return m.databases[db] != "" }

// SetCharset stores the default character set of a database.
func (m *Model) SetCharset(db, charset string) { m.databases[db] = charset }

// SetSQLMode takes the part of sql_mode that changes how DDL is read.
func (m *Model) SetSQLMode(mode string) {
	m.ansi = strings.Contains(strings.ToUpper(mode), "ANSI")
	m.noEsc = strings.Contains(strings.ToUpper(mode), "NO_BACKSLASH_ESCAPES")
}

// SetFlags sets that part from the flags of a binary log event.
func (m *Model) SetFlags(ansiQuotes, noBackslashEscapes bool) {
	m.ansi, m.noEsc = ansiQuotes, noBackslashEscapes
}

// errNoTable is a statement about a table that the model does not know.
func errNoTable(id TableID) string { return fmt.Sprintf("table %s is not known", id) }
