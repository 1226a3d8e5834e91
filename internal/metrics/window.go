package metrics

import (
	"sync"
	"time"
)

// windowFor is how long one of a meter's two windows lasts, as Kafka's
// metrics.sample.window.ms; means and maxima are those of the last one or two.
const windowFor = 30 * time.Second

// meter keeps the mean and the maximum of what was measured lately, so that a
// maximum falls again. It is safe for concurrent use; the zero value is ready.
type meter struct {
	mu        sync.Mutex
	cur, past window
}

type window struct {
	began    time.Time
	n        uint64
	sum, top float64
}

// add notes a value.
func (m *meter) add(now time.Time, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	m.cur.n++
	m.cur.sum += v
	m.cur.top = max(m.cur.top, v)
}

// roll begins a new window when the current one is over.
func (m *meter) roll(now time.Time) {
	switch age := now.Sub(m.cur.began); {
	case age >= 2*windowFor:
		m.past, m.cur = window{}, window{began: now}
	case age >= windowFor:
		m.past, m.cur = m.cur, window{began: now}
	}
}

// read returns the mean and the maximum; 0 when there was nothing.
func (m *meter) read(now time.Time) (mean, top float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	if n := m.cur.n + m.past.n; n > 0 {
		mean = (m.cur.sum + m.past.sum) / float64(n)
	}
	return mean, max(m.cur.top, m.past.top)
}

// pace tells how fast a counter grows, from what it was at earlier looks. It is
// safe for concurrent use; the zero value is ready.
type pace struct {
	mu    sync.Mutex
	looks []look // oldest first
}

type look struct {
	at    time.Time
	value float64
}

// rate is the growth per second over the last two windows, as far as there were
// looks; 0 at the first one.
func (p *pace) rate(now time.Time, v float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.looks) > 1 && now.Sub(p.looks[0].at) > 2*windowFor {
		p.looks = p.looks[1:]
	}
	if n := len(p.looks); n == 0 || now.Sub(p.looks[n-1].at) >= time.Second {
		p.looks = append(p.looks, look{now, v})
	}
	first := p.looks[0]
	if d := now.Sub(first.at).Seconds(); d > 0 && v > first.value {
		return (v - first.value) / d
	}
	return 0
}

// state is what a task does, as far as its ratios tell.
type state int

const (
	stateOther state = iota
	stateRunning
	statePaused
)

// ratios keeps how much of its time a task was in each state. It is safe for
// concurrent use.
type ratios struct {
	mu           sync.Mutex
	began, since time.Time
	is           state
	spent        [3]time.Duration
}

// begin starts a task's time; a paused task that goes on keeps its own.
func (r *ratios) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.is == statePaused {
		return
	}
	r.began, r.since, r.is, r.spent = now, now, stateOther, [3]time.Duration{}
}

func (r *ratios) set(now time.Time, s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began, r.since = now, now
	}
	r.spent[r.is] += now.Sub(r.since)
	r.is, r.since = s, now
}

// read returns the part of the time that the task ran and was paused.
func (r *ratios) read(now time.Time) (running, paused float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := now.Sub(r.began)
	if r.began.IsZero() || all <= 0 {
		return 0, 0
	}
	spent := r.spent
	spent[r.is] += now.Sub(r.since)
	return float64(spent[stateRunning]) / float64(all), float64(spent[statePaused]) / float64(all)
}
