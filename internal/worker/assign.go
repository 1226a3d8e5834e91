package worker

import (
	"sort"
	"time"
)

// Assignor is the leader's memory between rebalances. It is pure but for the
// clock that is handed in.
type Assignor struct {
	// Delay is how long work of a vanished member stays unassigned, so that a
	// worker that comes back at once finds its own again. 0: no time.
	Delay time.Duration

	members  map[string]bool
	assigned map[Unit]bool
	until    time.Time // end of the running delay; zero: none
	lost     map[Unit]bool
}

// Share is what one member gets in a round.
type Share struct{ Assigned, Revoked []Unit }

// Forget drops the memory of who had what, when it is not that of the round before:
// work that others have given away since would count as lost.
func (a *Assignor) Forget() { a.members, a.assigned = nil, nil }

// Assign distributes the configured work over members that hold owned. Members
// keep what they have as far as that is fair; what must move is revoked in one
// round and given away in the next, after its old holder has stopped it. wait is
// how long all members should wait before they join again for delayed work.
func (a *Assignor) Assign(now time.Time, configured []Unit, owned map[string][]Unit) (shares map[string]Share, wait time.Duration) {
	want := map[Unit]bool{}
	for _, u := range configured {
		want[u] = true
	}
	holders := map[Unit][]string{}
	ids := make([]string, 0, len(owned))
	for id, us := range owned {
		ids = append(ids, id)
		for _, u := range us {
			holders[u] = append(holders[u], id)
		}
	}
	sort.Strings(ids)
	held := map[string][]Unit{}
	revoked := map[string][]Unit{}
	for _, id := range ids {
		for _, u := range sortedUnits(owned[id]) {
			if !want[u] || len(holders[u]) > 1 {
				revoked[id] = append(revoked[id], u) // deleted, or held by two
			} else {
				held[id] = append(held[id], u)
			}
		}
	}
	a.trackLost(now, ids, want, holders)
	var free []Unit
	for _, u := range sortedUnits(configured) {
		if len(holders[u]) == 0 && !a.lost[u] {
			free = append(free, u)
		}
	}
	if a.until.IsZero() {
		a.balance(ids, configured, held, revoked)
	}
	given := deal(ids, free, held)
	shares = map[string]Share{}
	a.members, a.assigned = map[string]bool{}, map[Unit]bool{}
	for _, id := range ids {
		shares[id] = Share{given[id], revoked[id]}
		a.members[id] = true
		for _, u := range held[id] {
			a.assigned[u] = true
		}
		for _, u := range given[id] {
			a.assigned[u] = true
		}
	}
	for u := range a.lost {
		a.assigned[u] = true
	}
	if !a.until.IsZero() {
		wait = max(a.until.Sub(now), 0)
	}
	return shares, wait
}

// Eager deals all work anew: sorted connectors and then tasks, one after the other
// to each member, as Connect's eager protocol does. All members have stopped
// everything before.
func Eager(configured []Unit, ids []string) map[string]Share {
	out := map[string]Share{}
	if len(ids) == 0 {
		return out
	}
	ids = append([]string(nil), ids...)
	sort.Strings(ids)
	next := 0
	for _, kind := range []bool{true, false} {
		for _, u := range sortedUnits(configured) {
			if (u.Task == connectorUnit) != kind {
				continue
			}
			id := ids[next%len(ids)]
			out[id] = Share{Assigned: append(out[id].Assigned, u)}
			next++
		}
	}
	return out
}

// trackLost keeps work of vanished members back while the delay runs.
func (a *Assignor) trackLost(now time.Time, ids []string, want map[Unit]bool, holders map[Unit][]string) {
	here := map[string]bool{}
	for _, id := range ids {
		here[id] = true
	}
	gone := false
	for id := range a.members {
		gone = gone || !here[id]
	}
	if a.Delay > 0 && gone && a.until.IsZero() {
		for u := range a.assigned {
			if want[u] && len(holders[u]) == 0 {
				if a.lost == nil {
					a.lost = map[Unit]bool{}
				}
				a.lost[u] = true
			}
		}
		if len(a.lost) > 0 {
			a.until = now.Add(a.Delay)
		}
	}
	for u := range a.lost {
		if !want[u] || len(holders[u]) > 0 {
			delete(a.lost, u)
		}
	}
	if len(a.lost) == 0 || !now.Before(a.until) {
		a.lost, a.until = nil, time.Time{}
	}
}

// balance revokes what members hold above their fair share, connectors and tasks
// apart.
func (a *Assignor) balance(ids []string, configured []Unit, held, revoked map[string][]Unit) {
	for _, kind := range []bool{true, false} {
		total := 0
		for _, u := range configured {
			if (u.Task == connectorUnit) == kind {
				total++
			}
		}
		floor, above := total/max(len(ids), 1), total%max(len(ids), 1)
		for _, id := range ids {
			n := count(held[id], kind)
			most := floor
			if n > floor && above > 0 {
				most++ // as many members as there is work left over may have one more
				above--
			}
			var keep []Unit
			for _, u := range held[id] {
				if (u.Task == connectorUnit) == kind && n > most {
					revoked[id] = append(revoked[id], u)
					n--
					continue
				}
				keep = append(keep, u)
			}
			held[id] = keep
		}
	}
}

func count(us []Unit, connectors bool) int {
	n := 0
	for _, u := range us {
		if (u.Task == connectorUnit) == connectors {
			n++
		}
	}
	return n
}

// deal gives new work to the least loaded members: connectors first, then tasks.
func deal(ids []string, free []Unit, held map[string][]Unit) map[string][]Unit {
	out := map[string][]Unit{}
	if len(ids) == 0 {
		return out
	}
	for _, kind := range []bool{true, false} {
		load := map[string]int{}
		for _, id := range ids {
			load[id] = count(held[id], kind)
		}
		for _, u := range free {
			if (u.Task == connectorUnit) != kind {
				continue
			}
			best := ids[0]
			for _, id := range ids[1:] {
				if load[id] < load[best] {
					best = id
				}
			}
			load[best]++
			out[best] = append(out[best], u)
		}
	}
	return out
}
