package worker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Rebalance is a round of the group of workers as this worker saw it. Workers are
// named as in statuses (worker_id).
type Rebalance struct {
	// At is when it began here; it took Millis until everything that this worker had
	// to give up had stopped.
	At         time.Time `json:"at"`
	Millis     int64     `json:"duration_ms"`
	Generation int       `json:"generation"`
	Leader     string    `json:"leader"`
	// Members, Joined and Left are known to the leader only: Kafka tells nobody else.
	// Joined and Left are those that the leader can compare with the round before.
	Members []string `json:"members,omitempty"`
	Joined  []string `json:"joined,omitempty"`
	Left    []string `json:"left,omitempty"`
	// Started and Stopped are this worker's.
	Started Pieces `json:"started"`
	Stopped Pieces `json:"stopped"`
	// Reason is a sentence, "" where only the leader knows it.
	Reason string `json:"reason,omitempty"`
}

// Pieces are connectors and tasks that a worker starts or stops.
type Pieces struct {
	Connectors []string `json:"connectors"`
	Tasks      []TaskID `json:"tasks"`
}

// Rebalances is what GET /worker/rebalances answers: the newest rebalances of this
// worker, newest first; none of a worker that belongs to no group.
type Rebalances struct {
	Distributed bool        `json:"distributed"`
	WorkerID    string      `json:"worker_id"`
	List        []Rebalance `json:"rebalances"`
}

// rebalancesKept is how many rebalances a worker remembers.
const rebalancesKept = 20

// pastRebalances is the newest ones, oldest first.
type pastRebalances struct {
	mu   sync.Mutex
	list []Rebalance
}

// rebalanced implements memberHost.
func (w *Worker) rebalanced(r Rebalance) {
	p := &w.past
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, r)
	if n := len(p.list) - rebalancesKept; n > 0 {
		p.list = slices.Clone(p.list[n:])
	}
}

// Rebalances answers GET /worker/rebalances.
func (w *Worker) Rebalances() Rebalances {
	out := Rebalances{Distributed: w.member != nil, WorkerID: w.cfg.Advertised}
	w.past.mu.Lock()
	defer w.past.mu.Unlock()
	out.List = append([]Rebalance{}, w.past.list...)
	slices.Reverse(out.List)
	return out
}

// Complete adds to rounds that this worker did not lead what their leader knows of
// them.
func Complete(rounds []Rebalance, leader *Rebalances) {
	for i := range rounds {
		r := &rounds[i]
		if len(r.Members) > 0 || r.Leader != leader.WorkerID {
			continue
		}
		at := slices.IndexFunc(leader.List, func(l Rebalance) bool { return l.Generation == r.Generation && l.Leader == r.Leader })
		if at < 0 {
			continue
		}
		l := &leader.List[at]
		r.Members, r.Joined, r.Left = l.Members, l.Joined, l.Left
		if r.Reason == "" {
			r.Reason = l.Reason
		}
	}
}

// story is what a member remembers between rounds to tell a rebalance by.
type story struct {
	why     string            // what this worker knows about the reason of the next round
	dropped []Unit            // stopped before the round, because nothing may run meanwhile
	seen    map[string]string // worker by member id in the last round; when another led only the leader
	led     bool              // this worker led the last round: seen is all members
	revoked bool              // as leader: the last round took work from members
}

// Reasons that a worker knows of itself.
const (
	whyJoined  = "this worker joined the group"
	whyLost    = "the group had not heard of this worker for session.timeout.ms (or it had not heard of the group): it stopped everything and joined again"
	whyRevoked = "second round: what workers gave up in the round before is given away"
	whyBehind  = "configs could not be read in time in the round before"
	whyDelay   = "scheduled.rebalance.max.delay.ms is over: the work of a worker that had left is given away"
	whyWork    = "connectors or tasks were added or removed"
)

// tell makes the record of a round that began at a time, after which this worker has
// m.owned; before is what it had, fresh that it was no member.
func (m *member) tell(at time.Time, join *kmsg.JoinGroupResponse, before []Unit, fresh bool, past story) {
	r := Rebalance{At: at, Millis: time.Since(at).Milliseconds(), Generation: int(join.Generation), Leader: workerOf(m.leaderURL), Reason: past.why,
		Started: pieces(without(m.owned, before)), Stopped: pieces(union(past.dropped, without(before, m.owned)))}
	if fresh && r.Reason == "" {
		r.Reason = whyJoined
	}
	m.story.seen, m.story.led = map[string]string{m.leaderID: r.Leader}, false
	if join.LeaderID == m.id {
		m.story.seen, m.story.led = membersOf(join), true
		r.Members = sortedWorkers(m.story.seen)
		r.compare(m.id, m.story.seen, fresh, past)
	} else {
		m.story.revoked = false
	}
	m.host.rebalanced(r)
}

// compare finds who has come and gone. past.seen holds all former members, or only the
// former leader when another one led.
func (r *Rebalance) compare(self string, now map[string]string, fresh bool, past story) {
	joined, left := map[string]string{}, map[string]string{}
	for id, w := range past.seen {
		if now[id] == "" {
			left[id] = w
		}
	}
	for id, w := range now {
		if fresh && id == self || !fresh && past.led && past.seen[id] == "" {
			joined[id] = w
		}
	}
	r.Joined, r.Left = sortedWorkers(joined), sortedWorkers(left)
	var why []string
	if len(left) > 0 {
		why = append(why, strings.Join(r.Left, ", ")+" left: it was stopped, or not heard of for session.timeout.ms (Kafka does not tell which)")
	}
	if len(joined) > 0 && !fresh {
		why = append(why, strings.Join(r.Joined, ", ")+" joined")
	}
	switch {
	case len(why) > 0:
		r.Reason = strings.Join(why, "; ")
	case r.Reason == "" && past.revoked:
		r.Reason = whyRevoked
	}
}

// membersOf is the workers by member id; a member that cannot be read was refused before.
func membersOf(join *kmsg.JoinGroupResponse) map[string]string {
	out := map[string]string{}
	for _, jm := range join.Members {
		if s, err := decodeState(jm.ProtocolMetadata); err == nil {
			out[jm.MemberID] = workerOf(s.URL)
		}
	}
	return out
}

// workerOf is the worker_id of a worker's address.
func workerOf(url string) string {
	_, host, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	return strings.TrimSuffix(host, "/")
}

func sortedWorkers(m map[string]string) []string { return slices.Sorted(maps.Values(m)) }

func pieces(us []Unit) Pieces {
	out := Pieces{Connectors: []string{}, Tasks: []TaskID{}}
	for _, u := range sortedUnits(us) {
		if u.Task == connectorUnit {
			out.Connectors = append(out.Connectors, u.Connector)
		} else {
			out.Tasks = append(out.Tasks, TaskID{u.Connector, int(u.Task)})
		}
	}
	return out
}
