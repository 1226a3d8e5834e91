package capture

import (
	"encoding/json"
	"errors"
	"sync"
)

// Inbox takes signals that come over the REST API, from any goroutine, for the
// goroutine that reads the log. The zero value is empty.
type Inbox struct {
	mu      sync.Mutex
	waiting []Signal
}

// Put adds a signal after a look at it: incremental says whether the source can read
// tables incrementally, nil when it can. An error says what is wrong with the request.
func (b *Inbox) Put(id, kind string, data []byte, incremental error) error {
	s := Signal{ID: id, Type: kind, Data: json.RawMessage(data)}
	if kind == SignalExecute {
		req, err := s.SnapshotRequest()
		switch {
		case err != nil:
			return err
		case len(req.Collections) == 0:
			return errors.New("execute-snapshot names no tables: set data-collections")
		case !req.Blocking && incremental != nil:
			return incremental
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, s)
	return nil
}

// Take empties it.
func (b *Inbox) Take() []Signal {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.waiting
	b.waiting = nil
	return out
}
