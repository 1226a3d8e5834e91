// Package demo is `millrace demo`: the whole path in one process, to be looked at.
//
// It starts a real PostgreSQL (fetched once, then cached), an in-process Kafka
// and Schema Registry on real ports, makes an inventory database, runs a worker
// through the same code as `millrace run`, posts an ordinary Debezium connector
// JSON and a JDBC sink JSON to its REST API, writes changes like a small shop
// would, and shows the envelopes and how fast they come. Any of the servers can be
// replaced by an existing one. When it ends, whatever it started or made is gone.
//
// Parts: postgres.go (the embedded server, run by a helper process that dies with
// this one), servers.go (Kafka, registry), shop.go (tables and writer), watch.go
// (consumer, latencies, sink), screen.go (what is printed), demo.go (the order of it all).
package demo
