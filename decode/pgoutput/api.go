// Package pgoutput reads the messages of PostgreSQL's pgoutput plugin
// (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html)
// and decodes tuples into a Batch through the plans of decode/pgvalue. It is pure:
// bytes in, values and typed errors out; every entry is fuzzed.
package pgoutput

import (
	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// Relation is a RELATION message.
type Relation struct {
	OID             uint32
	Schema, Name    string
	ReplicaIdentity byte // d, n, f, i
	Columns         []RelationColumn
}

// RelationColumn is a column of a RELATION message.
type RelationColumn struct {
	Key     bool // part of the replica identity
	Name    string
	TypeOID uint32
	Typmod  int32
}

// TableSpec is what Compile needs for one version of a table: the columns in
// relation order with catalog metadata and options, which of them are in the
// value, and which, in order, make the key.
type TableSpec struct {
	Schema, Name string
	Columns      []pgvalue.Column
	InValue      []bool // per column: passes the column filter
	Key          []int  // indexes into Columns in key order; empty: no key
	KeyName      string // schema names, already adjusted
	ValueName    string
	Path         pgvalue.Path
	// ExtraKey is an additional required string key field (regex topic naming); "" none.
	ExtraKeyName, ExtraKeyValue string
}

// Table is a compiled table version.
type Table struct {
	Spec        TableSpec
	KeySchema   *record.Schema // nil: no key
	ValueSchema *record.Schema // <topic>.Value, optional struct
	// Omitted names the columns left out because their type is not supported.
	Omitted []string
	// unexported plans follow in table.go
	tablePlans
}

// Row is a decoded tuple.
type Row struct {
	Value record.Cell // struct by ValueSchema
	Key   record.Cell // struct by KeySchema, or null
	// Toasted counts the columns of the tuple that hold a placeholder, since their
	// unchanged TOAST value was not sent; Table.ToastedColumns names them.
	Toasted int
	// Failures are the columns whose value could not be converted; their fields are
	// null, or the fallback of a NOT NULL column. Nil in the normal case.
	Failures []Failure
}

// Failure is a column value that could not be converted.
type Failure struct {
	Column string
	Err    error
}

// OldTuple is the old tuple of an UPDATE or DELETE as the message carries it.
type OldTuple struct {
	// Kind is 'K' (only the columns of the replica identity), 'O' (the whole old
	// row), or 0 when none was sent.
	Kind byte
	// Data starts at the column count; it is lent as long as the message.
	Data []byte
}
