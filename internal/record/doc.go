// Package record is the currency of millrace: the Connect schema tree, the tape
// of cells that holds values, and the Batch that carries both between goroutines.
//
// A Schema is immutable and, once interned, identified by its pointer, so every
// other package compiles its work once per schema and caches the plan by pointer.
//
// A Batch owns all memory its records point into: Cells (16 bytes each, without
// pointers, so the garbage collector never scans them) and Arena (text and
// bytes). A Cell is a scalar, or a reference to children that lie next to each
// other in Cells, or to bytes in Arena. Cells of different batches must never be
// mixed; use Batch.Import to copy.
//
// Ownership: whoever holds the *Batch owns it and everything returned by its
// accessors stays valid until Release (or Reset). Crossing a channel hands
// ownership over.
//
// Next on the path: emit.Envelope appends records, internal/transform rewrites
// them, internal/convert turns them into bytes, emit produces them.
package record
