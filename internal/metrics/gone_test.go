package metrics

import (
	"sync"
	"testing"
	"time"
)

// Tasks that come and go while their series are asked for (for the race detector).
func TestSeriesWhileTasksComeAndGo(t *testing.T) {
	s := New()
	var wg sync.WaitGroup
	for _, kind := range []Kind{Source, Sink} {
		wg.Go(func() {
			for range 50 {
				m := s.Task(string(kind), "0")
				m.Describe(Info{Kind: kind})
				m.Running(true)
				m.Took(10, time.Millisecond)
				m.Records.Inc()
				m.Settled()
				s.Paused(string(kind), "0", true)
				s.Retire(string(kind), "0")
				m.Took(1, time.Millisecond) // one that ends late
			}
		})
	}
	for range 20 {
		scrape(t, s)
	}
	wg.Wait()
}
