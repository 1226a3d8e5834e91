// Package ddl reads the statements of a MySQL or MariaDB binary log that move
// tables, columns or names. It is tolerant: what it does not know inside a
// statement it skips to the next comma or bracket, and a statement it does not
// know at all is Other. It never needs the whole SQL grammar, is pure, and is
// fuzzed.
package ddl

// Name is a possibly qualified name; DB is "" when the statement gives none.
type Name struct{ DB, Name string }

// Statement is one statement of a text. Text is the source from its first to its
// last token, without the semicolon; text in double quotes stands in single ones,
// as the reference publishes it.
type Statement struct {
	Text string
	// Node is one of *CreateTable, *AlterTable, *DropTable, *RenameTable,
	// *Truncate, *Database, *Index, *Set, *Use or *Other.
	Node any
}

// CreateTable is CREATE [OR REPLACE] [TEMPORARY] TABLE.
type CreateTable struct {
	Name        Name
	Temporary   bool
	IfNotExists bool
	OrReplace   bool
	Like        *Name
	Select      bool // … AS SELECT: the columns are not in the text unless Columns says so
	Columns     []Column
	Keys        []Key
	Options     Options
}

// Options are the table options that matter.
type Options struct {
	Charset, Collate string
	Comment          *string
	ConvertTo        bool // CONVERT TO CHARACTER SET: text columns change too
}

// Column is a column definition.
type Column struct {
	Name             string
	Type             string // upper case with UNSIGNED, ZEROFILL, … as written: "INT UNSIGNED"
	Length, Scale    int    // -1 none
	Charset, Collate string
	Binary           bool     // BINARY attribute of a text type
	Labels           []string // of ENUM and SET, quotes taken off, escapes kept as written
	RawLabels        []string // of ENUM and SET as written, with quotes
	NotNull          bool
	Null             bool // NULL was written
	HasDefault       bool
	Default          *string // nil: NULL; the literal's text without quotes
	DefaultQuoted    bool
	DefaultExpr      bool // (expression)
	DefaultHex       bool // written as x'…', b'…', 0x… or 0b…
	AutoIncrement    bool
	Generated        bool
	OnUpdate         bool
	PrimaryKey       bool
	Unique           bool
	Comment          *string
	Hidden           bool // INVISIBLE
}

// Key is a table key.
type Key struct {
	Name       string
	Primary    bool
	Unique     bool
	Columns    []string
	Expression bool // has a part that is an expression
}

// AlterTable is ALTER TABLE with its actions in order.
type AlterTable struct {
	Name    Name
	Actions []Action
	Options Options
}

// Verb is what an Action does.
type Verb int

// The verbs of ALTER TABLE.
const (
	AddColumn Verb = iota
	ModifyColumn
	ChangeColumn // From is the old name
	DropColumn   // From
	RenameColumn // From to Column.Name
	SetDefault   // From, Column.Default
	DropDefault  // From
	AddKey
	DropPrimaryKey
	DropKey // From
	RenameKey
	RenameTo // To
)

// Action is one specification of an ALTER TABLE.
type Action struct {
	Verb     Verb
	From     string
	Column   Column
	Key      Key
	To       Name
	First    bool
	After    string // "" at the end
	IfExists bool   // IF EXISTS or IF NOT EXISTS
}

// DropTable is DROP TABLE.
type DropTable struct {
	Names               []Name
	Temporary, IfExists bool
}

// RenameTable is RENAME TABLE; pairs are done in order.
// Pairs are where each "a TO b" stands in the statement's text.
type RenameTable struct {
	From, To []Name
	Pairs    [][2]int
}

// Truncate is TRUNCATE TABLE.
type Truncate struct{ Name Name }

// Database is CREATE, ALTER or DROP DATABASE.
type Database struct {
	Verb             string // CREATE, ALTER, DROP
	Name             string
	Exists           bool // IF [NOT] EXISTS
	Charset, Collate string
}

// Index is CREATE or DROP INDEX.
type Index struct {
	Drop  bool
	Table Name
	Key   Key
}

// Set is SET var = value, …
type Set struct{ Names, Values []string }

// Use is USE db.
type Use struct{ DB string }

// Other is any statement that moves no table or column. Words are its first
// keywords in upper case.
type Other struct{ Words []string }

// Mode is the part of sql_mode that changes how text is read.
type Mode struct {
	AnsiQuotes         bool // "x" is a name
	NoBackslashEscapes bool
	MariaDB            bool // /*M! … */ is code
	Version            int  // e.g. 90700: /*!80000 … */ is code up to it
}
