// Package snapshot decides how tables are read before streaming: in which order,
// by which chunks, with which markers. It is pure; the folders below it do the
// reading for one database each.
//
// Next on the path: capture turns the rows into records.
package snapshot
