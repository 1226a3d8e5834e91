// Package loss holds, as tests, the ways in which change data capture has lost
// data in the field: a PostgreSQL source and its pipeline to Kafka run in this
// process, both behind proxies that cut, slow and hang their connections, and are
// killed and started anew from the offset that was stored by then. Each test is one
// scenario and says what Debezium does in it.
//
// What is written carries one number that grows by one with every change, so a gap
// in a topic is a loss, whatever its cause, and a step back is a repeat.
package loss
