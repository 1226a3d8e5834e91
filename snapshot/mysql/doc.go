// Package mysql reads the tables of a MySQL or MariaDB database for a snapshot:
// connections that hand out rows of the text protocol as they lie on the wire,
// several of them reading one table in ranges of its key, and the text form of
// how far that has come, so that an interrupted snapshot can go on.
//
// The text protocol is on purpose. It gives the values that the recordings have
// (FLOAT as the server prints it), its rows need no statement to be prepared, and
// it is not slower: a row of ten columns costs the server more to print than it
// costs to read, and half of them are texts in both protocols.
//
// Next on the path: capture/mysql decodes the rows.
package mysql
