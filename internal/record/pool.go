package record

import "sync"

// Pool keeps released batches for reuse. Batches that have grown beyond keep
// bytes are dropped, so one huge transaction does not pin memory for ever.
type Pool struct {
	Keep int // bytes of capacity above which a batch is not kept; 0: 8 MiB
	Max  int // batches kept; 0: 8

	mu   sync.Mutex
	free []*Batch
	// What the batch that came back last held, and an eighth more: a new one of that size
	// need not grow, which copies what it holds again and again.
	arena, cells, records int
}

// Get returns an empty batch that Release will bring back.
func (p *Pool) Get() *Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	b := &Batch{pool: p}
	if p.cells > 0 {
		b.arena, b.cells, b.Records = make([]byte, 0, p.arena), make([]Cell, 0, p.cells), make([]Record, 0, p.records)
	}
	return b
}

func (p *Pool) put(b *Batch) {
	arena, cells, records := len(b.arena), len(b.cells), len(b.Records)
	b.Reset()
	keep, most := p.Keep, p.Max
	if keep == 0 {
		keep = 8 << 20
	}
	if most == 0 {
		most = 8
	}
	if cap(b.arena)+cap(b.cells)*16+cap(b.Records)*128 > keep {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arena, p.cells, p.records = arena+arena/8, cells+cells/8, records+records/8
	if len(p.free) < most {
		p.free = append(p.free, b)
	}
}
