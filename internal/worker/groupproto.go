package worker

import (
	"encoding/binary"
	"errors"
	"sort"
)

// Unit is a piece of work that the group assigns: a connector itself (Task -1)
// or one of its tasks.
type Unit struct {
	Connector string
	Task      int32
}

// connectorUnit is the task number of a connector itself.
const connectorUnit = -1

// Names of Connect's group protocols, by preference.
const (
	protoSessioned  = "sessioned"
	protoCompatible = "compatible"
	protoEager      = "default"
)

var protoVersions = map[string]int16{protoSessioned: 2, protoCompatible: 1, protoEager: 0}

// Assignment is what a leader tells a member (connect.md §3.1).
type Assignment struct {
	Version   int16
	Err       int16 // 0 fine, 1: the leader cannot read the configs the others have read
	Leader    string
	LeaderURL string
	Offset    int64 // of the config topic
	Assigned  []Unit
	Revoked   []Unit
	DelayMs   int32
}

// MemberState is what a member tells about itself when it joins.
type MemberState struct {
	URL    string
	Offset int64
	Owned  []Unit
}

var errProto = errors.New("malformed group message")

// encodeState is the member's metadata; equal states give equal bytes.
func encodeState(version int16, s MemberState, leader, leaderURL string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(version))
	b = appendShort(b, s.URL)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Offset))
	if version == 0 {
		return b
	}
	if len(s.Owned) == 0 && leader == "" {
		return binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	own := Assignment{Version: version, Leader: leader, LeaderURL: leaderURL, Offset: s.Offset, Assigned: s.Owned}.encode()
	b = binary.BigEndian.AppendUint32(b, uint32(len(own)))
	return append(b, own...)
}

func decodeState(p []byte) (MemberState, error) {
	r := &protoReader{p: p}
	version := r.int16()
	s := MemberState{URL: r.short(), Offset: r.int64()}
	if version >= 1 && len(r.p) >= 4 {
		if own := r.bytes(); own != nil {
			a, err := decodeAssignment(own)
			if err != nil {
				return s, err
			}
			s.Owned = a.Assigned
		}
	}
	return s, r.err
}

func (a Assignment) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(a.Version))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Err))
	b = appendShort(b, a.Leader)
	b = appendShort(b, a.LeaderURL)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Offset))
	b = appendUnits(b, a.Assigned)
	if a.Version == 0 {
		return b
	}
	b = appendUnits(b, a.Revoked)
	return binary.BigEndian.AppendUint32(b, uint32(a.DelayMs))
}

// decodeAssignment accepts messages that end early: older writers.
func decodeAssignment(p []byte) (Assignment, error) {
	r := &protoReader{p: p}
	a := Assignment{Version: r.int16(), Err: r.int16(), Leader: r.short(), LeaderURL: r.short(), Offset: r.int64()}
	if len(r.p) > 0 {
		a.Assigned = r.units()
	}
	if len(r.p) > 0 {
		a.Revoked = r.units()
	}
	if len(r.p) > 0 {
		a.DelayMs = int32(r.int32())
	}
	return a, r.err
}

// appendUnits groups units by connector, sorted, so that bytes are reproducible.
func appendUnits(b []byte, us []Unit) []byte {
	us = sortedUnits(us)
	n := 0
	for i := range us {
		if i == 0 || us[i].Connector != us[i-1].Connector {
			n++
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	for i := 0; i < len(us); {
		j := i
		for j < len(us) && us[j].Connector == us[i].Connector {
			j++
		}
		b = appendShort(b, us[i].Connector)
		b = binary.BigEndian.AppendUint32(b, uint32(j-i))
		for ; i < j; i++ {
			b = binary.BigEndian.AppendUint32(b, uint32(us[i].Task))
		}
	}
	return b
}

func sortedUnits(us []Unit) []Unit {
	out := append([]Unit(nil), us...)
	sort.Slice(out, func(i, j int) bool { return unitLess(out[i], out[j]) })
	return out
}

func unitLess(a, b Unit) bool {
	if a.Connector != b.Connector {
		return a.Connector < b.Connector
	}
	return a.Task < b.Task
}

func appendShort(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// protoReader reads Kafka's primitive types; the first error sticks.
type protoReader struct {
	p   []byte
	err error
}

func (r *protoReader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.p) {
		r.err = errProto
		return nil
	}
	out := r.p[:n]
	r.p = r.p[n:]
	return out
}

func (r *protoReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *protoReader) int32() int {
	if b := r.take(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (r *protoReader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *protoReader) short() string {
	n := int(r.int16())
	if n == -1 {
		return ""
	}
	return string(r.take(n))
}

func (r *protoReader) bytes() []byte {
	n := r.int32()
	if n == -1 {
		return nil
	}
	return r.take(n)
}

func (r *protoReader) units() []Unit {
	var out []Unit
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		c := r.short()
		for t := r.int32(); t > 0 && r.err == nil; t-- {
			out = append(out, Unit{c, int32(r.int32())})
		}
	}
	return out
}
