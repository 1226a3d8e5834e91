// Package oracle replays cases against a running daemon and compares what lands
// in Kafka with what the real Debezium on Kafka Connect wrote.
//
// A case (testdata/oracle/AREA/NAME.yaml) is SQL to run before the connector
// exists, connector config on top of defaults, and steps to take once it streams.
// Its recording (NAME.expected.json) is the normalised result of the same case on
// Debezium 3.6.1.Final and Kafka Connect 4.3.1: names of the run are turned into
// fixed ones, positions and transaction ids into NAME#1, NAME#2 in order of first
// appearance in each topic (equal positions stay equal), clocks into "<ts>".
//
// Parts: Value (JSON that keeps the order of fields), Normal (normalisation),
// Case and Recording (files), Hub (one Kafka consumer for all cases that run at
// a time), Driver (runs one case).
package oracle
