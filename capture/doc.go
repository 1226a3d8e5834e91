// Package capture holds what the sources of all databases have in common: the
// records that are not about a row (heartbeats, transaction metadata,
// notifications) and the counting behind them, the order of things in an
// incremental snapshot, and the channels that signals come by. But for the signal
// file it is pure; connections and error classification are in the folders below it.
//
// Next on the path: emit takes the finished batches.
package capture
