// Package sqlsink writes topics into SQL databases: PostgreSQL, MySQL, MariaDB and
// SQLite, as io.debezium.connector.jdbc.JdbcSinkConnector does.
//
// A batch goes through three steps. Classify (change.go) says per record what it
// means: a row to write, a key to delete, a truncate, nothing. Gather (gather.go)
// sorts that into units per table and plan, keeps the last state per key, and
// puts deletes before writes, so that a unit is one statement. Write (one file per
// dialect) executes the units in one transaction.
//
// A plan (plan.go) is compiled once per topic, key schema and value schema; it
// knows the target's columns and how each value is spelt there.
//
// Ownership: Put works on the lent batch only until it returns; nothing of it is
// kept. All methods are called by one goroutine at a time.
package sqlsink
