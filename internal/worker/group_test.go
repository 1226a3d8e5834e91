package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sort"
	"testing"
	"time"
)

func TestAssignmentsReadBack(t *testing.T) {
	a := Assignment{Version: 2, Leader: "m-1", LeaderURL: "http://127.0.0.1:8083/", Offset: 17, DelayMs: 1000,
		Assigned: []Unit{{"a", -1}, {"a", 0}, {"b", 3}}, Revoked: []Unit{{"ż", -1}}}
	got, err := decodeAssignment(a.encode())
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Fatalf("got %+v, %v, want %+v", got, err, a)
	}
	// A message of version 0 ends behind the assigned work.
	short := a.encode()
	short = short[:bytes.LastIndex(short, []byte{0, 0, 0, 1, 0, 2, 0xc5, 0xbc})]
	if got, err = decodeAssignment(short); err != nil || len(got.Revoked) != 0 || len(got.Assigned) != 3 {
		t.Fatalf("short message: %+v, %v", got, err)
	}
}

func TestStatesReadBackAndAreDeterministic(t *testing.T) {
	s := MemberState{URL: "http://h:1/", Offset: 5, Owned: []Unit{{"b", 0}, {"a", -1}, {"a", 1}}}
	p := encodeState(2, s, "m", "http://h:1/")
	q := encodeState(2, MemberState{URL: s.URL, Offset: 5, Owned: []Unit{{"a", 1}, {"b", 0}, {"a", -1}}}, "m", "http://h:1/")
	if !bytes.Equal(p, q) {
		t.Error("equal states give different bytes")
	}
	got, err := decodeState(p)
	if err != nil || !reflect.DeepEqual(got.Owned, sortedUnits(s.Owned)) || got.URL != s.URL || got.Offset != 5 {
		t.Fatalf("got %+v, %v", got, err)
	}
	// The bytes of a Java worker that joins for the first time.
	first := []byte{0, 2, 0, 22, 'h', 't', 't', 'p', ':', '/', '/', '1', '2', '7', '.', '0', '.', '0', '.', '1', ':', '8', '0', '8', '3', '/',
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	first[3] = byte(len("http://127.0.0.1:8083/"))
	got, err = decodeState(first)
	if err != nil || got.URL != "http://127.0.0.1:8083/" || got.Offset != -1 || got.Owned != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func FuzzGroupMessages(f *testing.F) {
	f.Add(Assignment{Version: 2, Leader: "m", Assigned: []Unit{{"a", 0}}}.encode())
	f.Add(encodeState(2, MemberState{URL: "u", Owned: []Unit{{"a", -1}}}, "m", "u"))
	f.Add([]byte{0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, err := decodeAssignment(p); err == nil {
			if _, err := decodeAssignment(a.encode()); err != nil {
				t.Errorf("what was read cannot be read again: %v", err)
			}
		}
		_, _ = decodeState(p)
	})
}

// The eager protocol's messages end early, and its deal goes round.
func TestEager(t *testing.T) {
	a := Assignment{Leader: "m", LeaderURL: "http://h:1/", Offset: 3, Assigned: []Unit{{"a", -1}, {"a", 0}}}
	if b := a.encode(); !bytes.HasSuffix(b, []byte{0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) {
		t.Errorf("assignment % x", b)
	}
	if got, err := decodeAssignment(a.encode()); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, %v", got, err)
	}
	s, err := decodeState(encodeState(0, MemberState{URL: "u", Offset: 7, Owned: []Unit{{"a", 0}}}, "m", "u"))
	if err != nil || s.URL != "u" || s.Offset != 7 || s.Owned != nil {
		t.Errorf("state %+v, %v", s, err)
	}
	got := fmt.Sprint(Eager(someWork(2, 2), []string{"m2", "m1"}))
	if got != "map[m1:{[{c00 -1} {c00 0} {c01 0}] []} m2:{[{c01 -1} {c00 1} {c01 1}] []}]" {
		t.Errorf("shares %s", got)
	}
}

// cluster plays rounds of a group without Kafka: members that come, go and take
// what the assignor gives them.
type cluster struct {
	a       Assignor
	now     time.Time
	members map[string][]Unit
	work    []Unit
}

// round returns whether a follow-up round is due.
func (c *cluster) round(t *testing.T) (again bool, wait time.Duration) {
	t.Helper()
	shares, wait := c.a.Assign(c.now, c.work, c.members)
	for id, sh := range shares {
		for _, u := range sh.Assigned {
			for other, us := range c.members {
				for _, v := range us {
					if v == u {
						t.Fatalf("%v is given to %s while %s still has it", u, id, other)
					}
				}
			}
		}
	}
	for id, sh := range shares {
		c.members[id] = union(without(c.members[id], sh.Revoked), sh.Assigned)
		again = again || len(sh.Revoked) > 0
	}
	return again, wait
}

func (c *cluster) settle(t *testing.T) {
	t.Helper()
	for i := 0; ; i++ {
		again, wait := c.round(t)
		if wait > 0 {
			c.now = c.now.Add(wait)
			again = true
		}
		if !again {
			return
		}
		if i > 20 {
			t.Fatal("the group does not come to rest")
		}
	}
}

func (c *cluster) check(t *testing.T) {
	t.Helper()
	owner := map[Unit]string{}
	least, most := map[bool]int{}, map[bool]int{}
	for id, us := range c.members {
		for _, u := range us {
			if owner[u] != "" {
				t.Fatalf("%v is held by %s and %s", u, owner[u], id)
			}
			owner[u] = id
		}
		for _, kind := range []bool{true, false} {
			n := count(us, kind)
			if v, ok := least[kind]; !ok || n < v {
				least[kind] = n
			}
			most[kind] = max(most[kind], n)
		}
	}
	if len(owner) != len(c.work) {
		t.Fatalf("%d of %d pieces of work have an owner", len(owner), len(c.work))
	}
	for _, kind := range []bool{true, false} {
		if most[kind]-least[kind] > 1 {
			t.Fatalf("unfair: %d to %d (connectors: %v): %v", least[kind], most[kind], kind, c.members)
		}
	}
}

func someWork(connectors, tasks int) []Unit {
	var out []Unit
	for i := range connectors {
		c := fmt.Sprintf("c%02d", i)
		out = append(out, Unit{c, connectorUnit})
		for j := range tasks {
			out = append(out, Unit{c, int32(j)})
		}
	}
	return out
}

// Whatever happens to members and work, the group comes to rest with every piece
// of work held once, fairly, and nothing is ever given away while it is held.
func TestAssignorConverges(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &cluster{now: time.Unix(0, 0), members: map[string][]Unit{}}
		if seed%3 == 0 {
			c.a.Delay = time.Minute
		}
		for i := range 40 {
			switch r.IntN(4) {
			case 0, 1:
				c.members[fmt.Sprintf("m%d-%d", seed, i)] = nil
			case 2:
				ids := make([]string, 0, len(c.members))
				for id := range c.members {
					ids = append(ids, id)
				}
				sort.Strings(ids)
				if len(ids) > 1 {
					delete(c.members, ids[r.IntN(len(ids))])
				}
			case 3:
				c.work = someWork(r.IntN(12), r.IntN(5))
			}
			if len(c.members) == 0 {
				continue
			}
			c.settle(t)
			c.check(t)
		}
	}
}

func TestLostWorkWaitsForItsMember(t *testing.T) {
	c := &cluster{now: time.Unix(0, 0), members: map[string][]Unit{"a": nil, "b": nil}, work: someWork(4, 1)}
	c.a.Delay = time.Minute
	c.settle(t)
	delete(c.members, "b")
	if _, wait := c.round(t); wait != time.Minute {
		t.Fatalf("wait %v, want the whole delay", wait)
	}
	if n := len(c.members["a"]); n != 4 {
		t.Fatalf("a has %d pieces during the delay, want its own 4", n)
	}
	c.now = c.now.Add(20 * time.Second)
	if _, wait := c.round(t); wait != 40*time.Second {
		t.Fatalf("wait %v, want the rest of the delay", wait)
	}
	c.now = c.now.Add(40 * time.Second)
	c.settle(t)
	c.check(t)
}

// A leader that comes back after others have led holds nothing back for members that
// went meanwhile: it does not know what became of their work.
func TestLeadershipThatComesBack(t *testing.T) {
	units := someWork(2, 2)
	for _, forgets := range []bool{false, true} {
		a := Assignor{Delay: time.Minute}
		now := time.UnixMilli(1_700_000_000_000)
		shares, _ := a.Assign(now, units, map[string][]Unit{"a": nil, "b": nil})
		if forgets {
			a.Forget()
		}
		// Another leader has taken the work of b from c, which is to be given away now.
		got, wait := a.Assign(now.Add(time.Hour), units, map[string][]Unit{"a": shares["a"].Assigned, "c": nil})
		if forgets != (wait == 0) || forgets != (len(got["c"].Assigned) == len(shares["b"].Assigned)) {
			t.Errorf("memory dropped %v: wait %s, given to c %v", forgets, wait, got["c"].Assigned)
		}
	}
}
