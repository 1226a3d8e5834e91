package convert

import (
	"sync"

	"millrace/internal/record"
)

// planCache keeps what was compiled per schema pointer. It holds at most max
// entries; when full it starts afresh, so that a source that makes schemas
// without end cannot fill the memory. It is safe for concurrent use.
type planCache[K comparable, V any] struct {
	max int

	mu   sync.Mutex
	seen map[K]V
}

// get returns the entry, making it when it is not there. make runs under the
// lock; an error is not kept.
func (p *planCache[K, V]) get(k K, create func() (V, error)) (V, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.seen[k]; ok {
		return v, nil
	}
	v, err := create()
	if err != nil {
		return v, err
	}
	if p.seen == nil || p.max > 0 && len(p.seen) >= p.max {
		p.seen = map[K]V{}
	}
	p.seen[k] = v
	return v, nil
}

// planKey names a plan: what is written for a schema may depend on the topic.
type planKey struct {
	topic  *record.Topic
	schema *record.Schema
}

// minPlans is how many plans are kept at least, however small a cache is asked
// for: dropping one costs far more than the memory it takes.
const minPlans = 10_000
