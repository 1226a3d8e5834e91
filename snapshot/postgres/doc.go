// Package postgres reads the tables of a PostgreSQL database for a snapshot: it
// opens the transaction that all of them are read in and runs COPY. The rows come
// as lines of COPY's text form, which holds the same texts as the log does, so
// both run through the same plans.
//
// Every chunk of every table can be read by any connection that has imported the
// same exported snapshot.
//
// Next on the path: capture/postgres decodes the lines.
package postgres
