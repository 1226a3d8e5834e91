package snapshot

// Chunk is a piece of a table that is read by one query. An initial snapshot of
// one reader has one chunk per table; a parallel one several, each of which any
// connection that has imported the same exported snapshot can read.
type Chunk struct {
	Table int    // index into the plan's tables, in reading order
	Where string // condition of the chunk; "" the whole table
}

// Whole makes one chunk per table.
func Whole(tables int) []Chunk {
	out := make([]Chunk, tables)
	for i := range out {
		out[i].Table = i
	}
	return out
}
