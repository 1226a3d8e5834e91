// Package postgres reads the tables of a PostgreSQL database for a snapshot: it
// opens the transaction that all of them are read in and runs COPY, in binary form
// or as text. Rows go from the socket to the decoder without a copy in between.
//
// Large tables are read in chunks of pages, in the order in which they lie there.
// Every chunk of every table can be read by any connection that has imported the
// same exported snapshot, and what was read is known exactly after an interruption.
//
// Next on the path: capture/postgres decodes the rows.
package postgres
