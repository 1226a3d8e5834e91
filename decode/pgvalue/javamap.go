package pgvalue

import (
	"sort"
	"unicode/utf8"
)

// javaHash is Java's String.hashCode over UTF-16 units.
func javaHash(s []byte) int32 {
	var h int32
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(s[i:])
		}
		i += n
		if r >= 0x10000 {
			r -= 0x10000
			h = h*31 + int32(0xD800+(r>>10))
			r = 0xDC00 + r&0x3FF
		}
		h = h*31 + int32(r)
	}
	return h
}

// javaOrder sorts the indexes of n distinct keys into the order in which a Java
// HashMap that they were put into one by one would list them: by bucket, within a
// bucket by insertion. size is the map's first capacity, a power of two.
func javaOrder(order []int, size int, hash func(i int) int32) {
	for len(order)*4 > size*3 {
		size *= 2
	}
	bucket := func(i int) int {
		h := uint32(hash(i))
		return int((h ^ h>>16) & uint32(size-1))
	}
	sort.SliceStable(order, func(x, y int) bool { return bucket(order[x]) < bucket(order[y]) })
}
