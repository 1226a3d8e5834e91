// Command bench measures millrace beside the limits of the machine it runs on, in
// one run, and prints the table of README.md. `make bench` runs it with servers
// that it sets up; MILLRACE_TEST_PG and MILLRACE_TEST_KAFKA name others.
//
//   - drain: the same prepared WAL (500,000 changes of a table of 10 columns, in
//     transactions of 1,000, replica identity full) through pg_recvlogical into
//     /dev/null and through millrace into Kafka. pg_recvlogical runs before and
//     after: what the two differ by is what the machine's noise is.
//   - snapshot: a table of 500,000 rows by COPY into nothing and by millrace into Kafka.
//   - latency: 200 transactions a second, from the commit's return to an ordinary consumer.
//   - bigtx (only when asked for: -only bigtx): one transaction of 5,000,000 rows of 1 KB
//     while the connector runs; peak memory, and the time from the commit to the last record.
//   - sink-postgres (when asked for): 200,000 upserts by COPY into a temporary table and one INSERT … ON
//     CONFLICT by hand, and by a JDBC sink connector from Kafka; new rows, then updates of all.
//   - start: from exec to the first answer of the REST server.
//
// How far a topic is, is asked of its leader every 20 ms; no record is read back, but for
// the latency. With -touch the machine's memory is given before each measurement.
//
// Each measurement has a process of its own, so peak memory and CPU are that
// measurement's. Kafka, PostgreSQL and millrace share the machine.
package main
