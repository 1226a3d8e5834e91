// Package store keeps what a worker must remember: connector configs, source
// offsets and statuses, in Kafka Connect's own record formats, so that a Java
// worker and millrace read each other's storage.
//
// Configs, Offsets and Statuses are codecs and state over a Log, an append-only
// keyed log that is read back: a compacted Kafka topic (KafkaLog), a file of
// standalone mode (FileLog, offsets only) or memory (MemoryLog). The state of a
// store changes only when a record comes back from its log, so that every worker
// of a group sees the same history in the same order.
//
// The next package on the path is internal/worker, which decides what should run.
package store
