package record

import "testing"

// BenchmarkAppendJavaDouble is the price of one double column.
func BenchmarkAppendJavaDouble(b *testing.B) {
	buf := make([]byte, 0, 32)
	for b.Loop() {
		buf = AppendJavaDouble(buf[:0], 61489.333333333336)
	}
}
