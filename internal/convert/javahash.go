package convert

import "unicode/utf16"

// JavaHashOrder returns the order in which a Java HashMap with string keys, which
// Connect's maps are, gives them back when they were put in in the given order: by
// bucket, the table doubled whenever it is three quarters full. It returns indexes
// into keys.
func JavaHashOrder(keys []string) []int { return javaHashOrderFrom(keys, 16) }

// javaHashOrderFrom is JavaHashOrder for a table that begins with a size, a power
// of two.
func javaHashOrderFrom(keys []string, size int) []int {
	for len(keys) > size*3/4 {
		size *= 2
	}
	// Doubling keeps the order within a bucket, so the last size decides.
	buckets := make([][]int, size)
	for i, k := range keys {
		h := javaHash(k)
		at := int((h ^ h>>16) & uint32(size-1))
		buckets[at] = append(buckets[at], i)
	}
	out := make([]int, 0, len(keys))
	for _, b := range buckets {
		out = append(out, b...)
	}
	return out
}

// javaHash is String.hashCode.
func javaHash(s string) uint32 {
	var h uint32
	for _, r := range s {
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = (h*31+uint32(hi))*31 + uint32(lo)
		} else {
			h = h*31 + uint32(r)
		}
	}
	return h
}
