package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memberHost is what the group membership needs from the worker.
type memberHost interface {
	// configured is all work by the configs read so far, and their offset.
	configured() ([]Unit, int64)
	// catchUp reads the configs up to an offset.
	catchUp(ctx context.Context, offset int64) error
	// apply makes owned the work of this worker; it returns when everything that
	// is no longer owned has stopped.
	apply(owned []Unit)
	// became tells who leads now.
	became(view groupView)
	// rebalanced is told of every round that came to its end.
	rebalanced(r Rebalance)
}

// groupView is what a worker knows about its group.
type groupView struct {
	generation int
	lost       bool // not a member at the moment
	leader     bool
	leaderURL  string // "" unknown
	sessioned  bool   // requests between workers are signed
	// owners are the members' work, known to the leader only.
	owners map[Unit]string // url
}

// member is this worker's membership in the group of workers: join, sync,
// heartbeat, leave, by Kafka's group protocol with Connect's messages.
type member struct {
	cl      *kgo.Client
	host    memberHost
	log     *slog.Logger
	group   string
	url     string
	protos  []string
	session time.Duration
	beat    time.Duration
	limit   time.Duration // rebalance.timeout.ms
	sync    time.Duration // worker.sync.timeout.ms
	unsync  time.Duration // worker.unsync.backoff.ms
	assign  Assignor

	rejoin chan struct{} // cap 1: somebody wants a rebalance
	poke   chan struct{} // cap 1: send a heartbeat now

	// only the loop's goroutine
	id         string
	generation int32
	leaderID   string
	leaderURL  string
	owned      []Unit
	protocol   string
	led        int32 // the generation that this worker assigned last
	story      story
}

// requestRejoin asks for a rebalance soon.
func (m *member) requestRejoin() { notify(m.rejoin) }

// requestBeat asks for a heartbeat now: a rebalance may have begun.
func (m *member) requestBeat() { notify(m.poke) }

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run keeps the membership until ctx ends, then stops all work and leaves.
func (m *member) run(ctx context.Context) {
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		err := m.round(ctx)
		if err == nil {
			pause = 100 * time.Millisecond
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errLost) {
			m.log.Warn("lost the membership in the group; stopping all work and joining again", "group.id", m.group, "error", err)
			m.forget()
			continue
		}
		m.log.Warn("cannot join the group of workers; trying again", "group.id", m.group, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 5*time.Second)
	}
	m.host.apply(nil)
	m.leave()
}

// errLost: the coordinator no longer counts this member.
var errLost = errors.New("the group's coordinator no longer knows this worker")

func (m *member) forget() {
	m.host.became(groupView{generation: int(m.generation), lost: true})
	m.story = story{why: whyLost, dropped: m.owned}
	m.id, m.generation, m.owned, m.leaderID, m.leaderURL = "", -1, nil, "", ""
	m.host.apply(nil)
}

// round is one generation: join, sync, apply, then heartbeats until something
// happens. A nil error means: go on with the next round.
func (m *member) round(ctx context.Context) error {
	at, fresh := time.Now(), m.generation < 0
	drain(m.rejoin)
	if m.protocol == protoEager {
		m.stopAll()
	}
	join, err := m.join(ctx)
	if err != nil {
		return err
	}
	if m.protocol == protoEager {
		m.stopAll() // also when the protocol has just become this one
	}
	before, past := m.owned, m.story
	shares, owners, wait, err := m.lead(ctx, join)
	if err != nil {
		return err
	}
	a, err := m.syncGroup(ctx, join, shares)
	if err != nil {
		return err
	}
	m.generation, m.leaderID, m.leaderURL = join.Generation, a.Leader, a.LeaderURL
	hb, stop := context.WithCancel(ctx)
	event := make(chan error, 1)
	beating := make(chan struct{})
	go func() { defer close(beating); event <- m.beatUntil(hb) }()
	defer func() { stop(); <-beating }()
	m.owned = without(m.owned, a.Revoked)
	if a.Version == 0 {
		m.owned = nil
	}
	current := a.Err == 0 && m.catchUp(ctx, a.Offset)
	if current {
		m.owned = union(m.owned, a.Assigned)
	}
	m.host.became(groupView{generation: int(join.Generation), leader: a.Leader == m.id, leaderURL: a.LeaderURL, sessioned: m.protocol == protoSessioned, owners: owners})
	m.host.apply(m.owned)
	m.story.why, m.story.dropped = "", nil
	m.tell(at, join, before, fresh, past)
	m.log.Debug("group assignment", "generation", join.Generation, "leader", a.LeaderURL, "owned", len(m.owned), "revoked", len(a.Revoked))
	if len(a.Revoked) > 0 || a.Err != 0 {
		m.story.why = whyRevoked
		if a.Err != 0 {
			m.story.why = whyBehind
		}
		return nil // what was revoked has stopped: let it be given away
	}
	if a.DelayMs > 0 {
		wait = time.Duration(a.DelayMs) * time.Millisecond
	}
	var delayed <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		delayed = t.C
	}
	var read <-chan struct{}
	if !current {
		done := make(chan struct{})
		read = done
		go func() { defer close(done); m.readLate(hb, a.Offset) }()
		defer func() { stop(); <-done }()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-event:
		return err
	case <-delayed:
		m.story.why = whyDelay
	case <-read:
		m.story.why = whyBehind
	case <-m.rejoin:
		m.story.why = whyWork
	}
	return nil
}

// readLate tries to read the configs up to an offset until it can, or until
// worker.unsync.backoff.ms is over.
func (m *member) readLate(ctx context.Context, offset int64) {
	ctx, cancel := context.WithTimeout(ctx, m.unsync)
	defer cancel()
	for ctx.Err() == nil && !m.catchUp(ctx, offset) {
		sleep(ctx, m.sync)
	}
}

// stopAll: under the eager protocol nothing runs while the group assigns.
func (m *member) stopAll() {
	if len(m.owned) > 0 {
		m.story.dropped = union(m.story.dropped, m.owned)
		m.owned = nil
		m.host.apply(nil)
	}
}

func drain(ch chan struct{}) {
	select {
	case <-ch:
	default:
	}
}

// catchUp reads the configs the leader assigned by; work that is not known here
// yet cannot start.
func (m *member) catchUp(ctx context.Context, offset int64) bool {
	sctx, cancel := context.WithTimeout(ctx, m.sync)
	defer cancel()
	if err := m.host.catchUp(sctx, offset); err != nil {
		m.log.Warn("cannot catch up with the configs; taking no new work in this round", "error", err)
		return false
	}
	return true
}

func (m *member) join(ctx context.Context) (*kmsg.JoinGroupResponse, error) {
	_, offset := m.host.configured()
	for {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.MemberID, req.ProtocolType = m.group, m.id, "connect"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(m.session.Milliseconds()), int32(m.limit.Milliseconds())
		for _, p := range m.protos {
			jp := kmsg.NewJoinGroupRequestProtocol()
			jp.Name = p
			jp.Metadata = encodeState(protoVersions[p], MemberState{URL: m.url, Offset: offset, Owned: m.owned}, m.leaderID, m.leaderURL)
			req.Protocols = append(req.Protocols, jp)
		}
		resp, err := req.RequestWith(ctx, m.cl)
		if err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
		switch err := kerr.ErrorForCode(resp.ErrorCode); {
		case err == nil:
			m.id = resp.MemberID
			if resp.Protocol != nil {
				m.protocol = *resp.Protocol
			}
			return resp, nil
		case errors.Is(err, kerr.MemberIDRequired):
			m.id = resp.MemberID
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
			return nil, errLost
		case errors.Is(err, kerr.InconsistentGroupProtocol):
			return nil, fmt.Errorf("join: the group has members of another kind (or eager Connect workers): %w", err)
		default:
			return nil, fmt.Errorf("join: %w", err)
		}
	}
}

// lead computes the assignment if this worker was made the leader.
func (m *member) lead(ctx context.Context, join *kmsg.JoinGroupResponse) (map[string][]byte, map[Unit]string, time.Duration, error) {
	if join.LeaderID != m.id {
		return nil, nil, 0, nil
	}
	states := map[string]MemberState{}
	owned := map[string][]Unit{}
	newest := int64(0)
	for _, jm := range join.Members {
		s, err := decodeState(jm.ProtocolMetadata)
		if err != nil {
			return nil, nil, 0, fmt.Errorf("read what member %s says about itself: %w", jm.MemberID, err)
		}
		states[jm.MemberID] = s
		owned[jm.MemberID] = s.Owned
		newest = max(newest, s.Offset)
	}
	mismatch := !m.catchUp(ctx, newest)
	configured, offset := m.host.configured()
	var shares map[string]Share
	var wait time.Duration
	switch {
	case mismatch:
		shares = map[string]Share{}
	case m.protocol == protoEager:
		shares = Eager(configured, memberIDs(owned))
	default:
		if m.led != m.generation {
			m.assign.Forget() // another worker has led since, or the last round came to nothing
		}
		shares, wait = m.assign.Assign(time.Now(), configured, owned)
	}
	m.led = join.Generation
	out := map[string][]byte{}
	owners := map[Unit]string{}
	m.story.revoked = false
	for id, s := range states {
		sh := shares[id]
		m.story.revoked = m.story.revoked || len(sh.Revoked) > 0
		a := Assignment{Version: protoVersions[m.protocol], Leader: m.id, LeaderURL: states[m.id].URL, Offset: offset,
			Assigned: sh.Assigned, Revoked: sh.Revoked, DelayMs: int32(wait.Milliseconds())}
		if mismatch {
			a.Err = 1
		}
		out[id] = a.encode()
		if m.protocol == protoEager {
			s.Owned = nil
		}
		for _, u := range union(without(s.Owned, sh.Revoked), sh.Assigned) {
			owners[u] = s.URL
		}
	}
	return out, owners, wait, nil
}

func memberIDs(owned map[string][]Unit) []string {
	var out []string
	for id := range owned {
		out = append(out, id)
	}
	return out
}

func (m *member) syncGroup(ctx context.Context, join *kmsg.JoinGroupResponse, shares map[string][]byte) (Assignment, error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID = m.group, join.Generation, m.id
	req.ProtocolType, req.Protocol = kmsg.StringPtr("connect"), join.Protocol
	for id, b := range shares {
		ga := kmsg.NewSyncGroupRequestGroupAssignment()
		ga.MemberID, ga.MemberAssignment = id, b
		req.GroupAssignment = append(req.GroupAssignment, ga)
	}
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return Assignment{}, fmt.Errorf("sync: %w", err)
	}
	switch err := kerr.ErrorForCode(resp.ErrorCode); {
	case err == nil:
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID):
		return Assignment{}, errLost
	default:
		return Assignment{}, fmt.Errorf("sync: %w", err)
	}
	if len(resp.MemberAssignment) == 0 {
		return Assignment{}, errors.New("sync: the leader assigned nothing to this worker")
	}
	a, err := decodeAssignment(resp.MemberAssignment)
	if err != nil {
		return a, fmt.Errorf("read the leader's assignment: %w", err)
	}
	return a, nil
}

// beatUntil sends heartbeats until a rebalance is due (nil), the membership is
// lost, or ctx ends.
func (m *member) beatUntil(ctx context.Context) error {
	last := time.Now()
	tick := time.NewTicker(m.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-m.poke:
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.Generation, req.MemberID = m.group, m.generation, m.id
		sent := time.Now()
		hctx, cancel := context.WithDeadline(ctx, last.Add(m.session-m.beat))
		resp, err := req.RequestWith(hctx, m.cl)
		cancel()
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			last = sent // what the coordinator counts from, at the earliest
		case errors.Is(err, kerr.RebalanceInProgress):
			return nil
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
			return errLost
		case time.Since(last) >= m.session-m.beat:
			return errLost // others may be given our work any moment
		}
	}
}

// leave tells the coordinator, so that others take over at once.
func (m *member) leave() {
	if m.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	lm := kmsg.NewLeaveGroupRequestMember()
	lm.MemberID = m.id
	lm.Reason = kmsg.StringPtr("the worker is shutting down")
	req.Members = append(req.Members, lm)
	if _, err := req.RequestWith(ctx, m.cl); err != nil {
		m.log.Warn("cannot leave the group; others take over after session.timeout.ms", "group.id", m.group, "error", err)
	}
}

func without(us, gone []Unit) []Unit {
	g := map[Unit]bool{}
	for _, u := range gone {
		g[u] = true
	}
	var out []Unit
	for _, u := range us {
		if !g[u] {
			out = append(out, u)
		}
	}
	return out
}

func union(a, b []Unit) []Unit {
	seen := map[Unit]bool{}
	var out []Unit
	for _, us := range [][]Unit{a, b} {
		for _, u := range us {
			if !seen[u] {
				seen[u] = true
				out = append(out, u)
			}
		}
	}
	return sortedUnits(out)
}
