// Package mysql is the source of MySQL and MariaDB: it reads the binary log as a
// replica, keeps table versions in schemahistory, decodes row images through
// decode/binlog and decode/myvalue, and makes the records of the real MySQL and
// MariaDB connectors.
//
// One goroutine per task owns the replication connection and the batch that is
// being filled; see capture/postgres for the shape that both sources share. A
// position is the place where reading starts again: the BEGIN of the running
// transaction with a count of what was done inside of it, or the end of the last
// one.
//
// Next on the path: emit.Pipeline.
package mysql
