package store

import (
	"strings"
	"unicode/utf16"
)

// Map is a string map that iterates in the order of a java.util.HashMap with the
// same history of insertions. Connect writes task configs and patched connector
// configs in that order, and finds offsets by exact key bytes; hence the order
// is part of the storage format.
//
// A Map made by NewOrdered keeps insertion order instead (Java's LinkedHashMap),
// as for a config as it was posted. The zero value is not usable.
type Map struct {
	ordered bool
	buckets [][]int32 // indexes into entries; nil for ordered maps
	entries []Entry
	index   map[string]int32
	nulls   map[string]struct{} // keys whose value is null
	live    int
}

// Entry is one key and its value.
type Entry struct{ Key, Value string }

const minBuckets = 16

// NewOrdered makes an empty map that iterates in insertion order.
func NewOrdered() *Map { return &Map{ordered: true, index: map[string]int32{}} }

// NewHash makes an empty map that iterates as new HashMap<>() does.
func NewHash() *Map { return &Map{buckets: make([][]int32, minBuckets), index: map[string]int32{}} }

// HashCopy makes a map as new HashMap<>(m) does: the table is sized for m at once
// and entries are inserted in m's order. A nil m gives an empty map.
func HashCopy(m *Map) *Map {
	out := NewHash()
	if m.Len() == 0 {
		return out
	}
	n := 1
	// tableSizeFor(size / 0.75 + 1)
	want := int(float32(m.Len())/0.75 + 1.0)
	for n < want {
		n <<= 1
	}
	out.buckets = make([][]int32, n)
	for _, e := range m.Entries() {
		out.Put(e.Key, e.Value)
		if m.IsNull(e.Key) {
			out.PutNull(e.Key)
		}
	}
	return out
}

// HashOf makes a map as putting m's entries one by one into new HashMap<>() does.
func HashOf(m *Map) *Map {
	out := NewHash()
	if m == nil {
		return out
	}
	for _, e := range m.Entries() {
		out.Put(e.Key, e.Value)
		if m.IsNull(e.Key) {
			out.PutNull(e.Key)
		}
	}
	return out
}

// FromStrings makes a hash map of a Go map; for tests and callers without order.
func FromStrings(m map[string]string) *Map {
	out := NewHash()
	for k, v := range m {
		out.Put(k, v)
	}
	return out
}

// Len is the number of entries.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	return m.live
}

// Get returns the value of a key; a null value reads as "" and true.
func (m *Map) Get(key string) (string, bool) {
	if m == nil {
		return "", false
	}
	i, ok := m.index[key]
	if !ok {
		return "", false
	}
	return m.entries[i].Value, true
}

// Value returns the value of a key, or "".
func (m *Map) Value(key string) string { v, _ := m.Get(key); return v }

// IsNull reports whether the key is there with a null value.
func (m *Map) IsNull(key string) bool {
	if m == nil {
		return false
	}
	_, ok := m.nulls[key]
	return ok
}

// PutNull stores a null value.
func (m *Map) PutNull(key string) {
	m.Put(key, "")
	if m.nulls == nil {
		m.nulls = map[string]struct{}{}
	}
	m.nulls[key] = struct{}{}
}

// Put stores a value; a known key keeps its place.
func (m *Map) Put(key, value string) {
	delete(m.nulls, key)
	if i, ok := m.index[key]; ok {
		m.entries[i].Value = value
		return
	}
	i := int32(len(m.entries))
	m.entries = append(m.entries, Entry{key, value})
	m.index[key] = i
	m.live++
	if m.ordered {
		return
	}
	b := spread(key) & uint32(len(m.buckets)-1)
	m.buckets[b] = append(m.buckets[b], i)
	if m.live > len(m.buckets)*3/4 {
		m.grow()
	}
}

// grow doubles the table; entries keep their relative order within a bucket.
func (m *Map) grow() {
	old := m.buckets
	m.buckets = make([][]int32, 2*len(old))
	for _, b := range old {
		for _, i := range b {
			n := spread(m.entries[i].Key) & uint32(len(m.buckets)-1)
			m.buckets[n] = append(m.buckets[n], i)
		}
	}
}

// Delete removes a key.
func (m *Map) Delete(key string) {
	i, ok := m.index[key]
	if !ok {
		return
	}
	delete(m.index, key)
	delete(m.nulls, key)
	m.live--
	if m.ordered {
		return
	}
	b := spread(key) & uint32(len(m.buckets)-1)
	for j, x := range m.buckets[b] {
		if x == i {
			m.buckets[b] = append(append([]int32{}, m.buckets[b][:j]...), m.buckets[b][j+1:]...)
			return
		}
	}
}

// Entries returns the entries in iteration order; the slice is the caller's.
func (m *Map) Entries() []Entry {
	if m == nil {
		return nil
	}
	out := make([]Entry, 0, m.live)
	if m.ordered {
		for i, e := range m.entries {
			if j, ok := m.index[e.Key]; ok && j == int32(i) {
				out = append(out, e)
			}
		}
		return out
	}
	for _, b := range m.buckets {
		for _, i := range b {
			out = append(out, m.entries[i])
		}
	}
	return out
}

// Strings returns a Go map with the entries that are not null.
func (m *Map) Strings() map[string]string {
	out := make(map[string]string, m.Len())
	for _, e := range m.Entries() {
		if !m.IsNull(e.Key) {
			out[e.Key] = e.Value
		}
	}
	return out
}

// Clone copies the map with its order.
func (m *Map) Clone() *Map {
	if m == nil {
		return nil
	}
	out := &Map{ordered: m.ordered, live: m.live, entries: append([]Entry(nil), m.entries...), index: make(map[string]int32, len(m.index))}
	for k, v := range m.index {
		out.index[k] = v
	}
	for k := range m.nulls {
		if out.nulls == nil {
			out.nulls = map[string]struct{}{}
		}
		out.nulls[k] = struct{}{}
	}
	if !m.ordered {
		out.buckets = make([][]int32, len(m.buckets))
		for i, b := range m.buckets {
			out.buckets[i] = append([]int32(nil), b...)
		}
	}
	return out
}

// Equal reports whether both hold the same entries, in whatever order.
func (m *Map) Equal(o *Map) bool {
	if m.Len() != o.Len() {
		return false
	}
	for _, e := range m.Entries() {
		if v, ok := o.Get(e.Key); !ok || v != e.Value || m.IsNull(e.Key) != o.IsNull(e.Key) {
			return false
		}
	}
	return true
}

// String prints the map as Java's AbstractMap.toString does.
func (m *Map) String() string {
	var sb strings.Builder
	sb.WriteByte('{')
	for i, e := range m.Entries() {
		if i > 0 {
			sb.WriteString(", ")
		}
		sb.WriteString(e.Key)
		sb.WriteByte('=')
		if m.IsNull(e.Key) {
			sb.WriteString("null")
		} else {
			sb.WriteString(e.Value)
		}
	}
	sb.WriteByte('}')
	return sb.String()
}

// spread is HashMap.hash: String.hashCode over UTF-16 units, high bits mixed in.
func spread(s string) uint32 {
	var h uint32
	for _, r := range s {
		if r < 0x10000 {
			h = 31*h + uint32(r)
			continue
		}
		a, b := utf16.EncodeRune(r)
		h = 31*(31*h+uint32(a)) + uint32(b)
	}
	return h ^ h>>16
}
