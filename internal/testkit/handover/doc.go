// Package handover holds a test with a real Java worker: a Debezium connector runs
// on Kafka Connect, is taken over by millrace with the same group and the same
// storage topics, and is given back, again and again, while a writer inserts
// numbered rows and changes tables. It needs Java and is run by scripts/handover
// (build tag java).
package handover
