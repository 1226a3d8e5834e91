// Package objectstore writes topics as files: JSON, CSV, Avro, Parquet or plain
// bytes, into S3 or a directory. One engine serves two front ends, Confluent's S3
// sink (partitioners, rotation by count, time and schema) and Aiven's (file name
// templates, files cut at each commit).
//
// A file is made in memory, beyond a budget on the local disk, and uploaded when it
// is complete, so that no half upload is ever left behind and memory stays bounded
// however many files are open. Offsets are committed up to the first record that is
// not in an uploaded file: Durable tells the runner. Names are made of the first
// offset, so what is read again after a crash is written over itself.
//
// The path of a record: Sink.Put → layout (which file, is it time to cut) → encoder
// → spool → upload → target.
package objectstore
