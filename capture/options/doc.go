// Package options holds what the options of the source connectors mean where
// Debezium's connectors share a meaning: which tables and columns are captured,
// what is done to a column, how records, schemas and topics are named. Everything
// is pure: texts in, decisions out; what depends on a table only is cached.
//
// "Space" is what stands before the table's name in its identifier: the schema in
// PostgreSQL, the database in MySQL. An identifier is "space.table", a column's is
// "space.table.column"; patterns are Java regular expressions that must match the
// whole identifier and ignore the case of ASCII letters.
//
// Next on the path: capture/postgres and capture/mysql parse their properties into
// these types.
package options
