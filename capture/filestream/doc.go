// Package filestream is Kafka's example source: it follows a file and makes a
// record of every complete line. Its offset is {"position":n}, the bytes of all
// lines that were read; its partition is {"filename":"…"}.
//
// It is here because Connect's guides, tests and users' first steps use it.
package filestream
