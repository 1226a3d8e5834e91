//go:build invariants

package record

// poison overwrites everything a batch held, so that a reader which kept a slice
// or a cell past Reset sees garbage in tests instead of stale but plausible data.
func poison(b *Batch) {
	a := b.arena[:cap(b.arena)]
	for i := range a {
		a[i] = 0xDB
	}
	c := b.cells[:cap(b.cells)]
	for i := range c {
		c[i] = Cell{bits: 1 << 62, n: 1 << 31, kind: 0xDB}
	}
	r := b.Records[:cap(b.Records)]
	for i := range r {
		r[i] = Record{Partition: -0x24242424, Offset: -0x24242424}
	}
}
