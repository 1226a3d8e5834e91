// Package postgres is the source task of a PostgreSQL connector: connections,
// publication and slot, the initial snapshot, and the stream of the write-ahead
// log by the pgoutput plugin.
//
// A task runs attempts. An attempt connects, prepares publication and slot, takes
// the snapshot that is due, and streams until it is asked to stop or the
// connection fails; then the next attempt goes on where the last batch ended. One
// goroutine does all of that and owns the connections; heartbeat statements run
// beside it on a connection of their own.
//
// Position is the one truth about how far the task is. The invariants:
//   - what lies before the stored position is in Kafka (emit.Ledger);
//   - the slot is confirmed only up to the stored position (session.takeStored);
//   - a restart drops exactly what lies before the stored position (resumer).
//
// Frames are lent by the connection until the next read; rows are decoded straight
// into a record.Batch, which the session owns until it is sent.
//
// Next on the path: decode/pgoutput makes values of tuples, emit takes the batches.
package postgres
