// Package pgvalue turns PostgreSQL column values into Connect values by Debezium's
// rules: which schema a column gets, how its text form becomes a Cell, what its
// default is, what stands for an unchanged TOAST value and for a null in a
// NOT NULL column. It is pure: no I/O, no goroutine, no logger.
//
// The stream (pgoutput, text form) and the snapshot (COPY, binary form where a type has
// a simple one, else text) give the same value wherever Debezium's own two paths agree;
// where they differ the plan knows (Path).
package pgvalue

import "millrace/internal/record"

// Path says where a value comes from: Debezium differs between the two for a few
// types, and we emit what it emits.
type Path int

// The two paths.
const (
	Stream Path = iota
	Snapshot
)

// Modes are the handling modes of a connector, as their config texts (lower case).
type Modes struct {
	Decimal        string // precise, string, double
	Time           string // adaptive, adaptive_time_microseconds, connect, isostring, microseconds, nanoseconds
	Binary         string // bytes, base64, base64-url-safe, hex
	Hstore         string // json, map
	Interval       string // numeric, string
	MoneyDigits    int
	IncludeUnknown bool
	// Placeholder is unavailable.value.placeholder, "hex:" already decoded.
	Placeholder []byte
	// FieldName adjusts field names (field.name.adjustment.mode); nil: as they are.
	FieldName func(string) string
	// SchemaName adjusts schema names (schema.name.adjustment.mode); nil: as they are.
	SchemaName func(string) string
	// ConvertFailure is event.converting.failure.handling.mode: "fail" makes a value
	// that cannot be converted an error, "warn", "skip" and "" leave the field null
	// (in a NOT NULL column: its fallback) and report it in pgoutput.Row.Failures.
	ConvertFailure string
}

// Type is a row of pg_type as far as decoding needs it.
type Type struct {
	OID     uint32
	Schema  string // namespace
	Name    string // typname, e.g. "int4", "_text", "mood"
	Kind    byte   // pg_type.typtype: b, c, d, e, p, r, m
	Base    uint32 // domain: typbasetype
	BaseMod int32  // domain: typtypmod
	Elem    uint32 // array: typelem (only when typlen = -1 and typcategory A), else 0
	Labels  []string
	// Output is the qualified, quoted name of the type's output function (typoutput),
	// by which a snapshot asks for the text form within a binary COPY; "" unknown.
	Output string
}

// Types resolves OIDs. Lookups of OIDs it does not know return nil, and the
// column is treated as of unknown type.
type Types interface {
	Type(oid uint32) *Type
}

// Column is what the catalog, the RELATION message and the connector's options
// say about one column.
type Column struct {
	Name    string
	TypeOID uint32
	Typmod  int32 // atttypmod; -1 none
	NotNull bool
	Default string // pg_get_expr text; "" none
	Serial  bool   // default is nextval(): the snapshot path names the type serial
	// Comment is never shown: Debezium's connector does not read comments.
	Comment string
	// InKey: the plan is for the record's key, where a name is read in the stream
	// too; Debezium gives every row of a table with such a key the same key there.
	InKey bool

	// Column options of the connector, already matched against this column.
	Truncate  int                   // column.truncate.to.N.chars; -1 none
	MaskChars int                   // column.mask.with.N.chars; -1 none
	Hash      func(v []byte) []byte // column.mask.hash…: appends nothing, returns the hex text; nil none
	Propagate bool                  // column/datatype.propagate.source.type
}

// Plan is how one column is decoded.
type Plan struct {
	// Name is the field's name after adjustment.
	Name string
	// Schema is the field's schema, default and parameters included. Nil: the type
	// is not supported and the column is omitted.
	Schema *record.Schema
	// Decode makes the cell of a value's text form. The text is only read during
	// the call. It copies into b's arena what it keeps.
	Decode func(b *record.Batch, text []byte) (record.Cell, error)
	// DecodeBinary makes the same cell of a value's binary form (COPY, FORMAT binary).
	// Nil: the text form must be read. Only plans of the snapshot path have it.
	DecodeBinary func(b *record.Batch, data []byte) (record.Cell, error)
	// Null is the value for NULL: nil for null, else the fallback of a NOT NULL
	// column (its default, or Debezium's fallback for the type).
	Null *record.Datum
	// Toast is the value for an unchanged TOAST column without an old value.
	Toast *record.Datum
	// ToastErr is set when Debezium cannot give a placeholder (the value is null, with a warning).
	ToastErr bool
}
