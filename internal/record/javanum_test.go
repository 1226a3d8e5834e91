package record

import (
	"math"
	"testing"
)

// The texts are Java 17's.
func TestJavaNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", -1.5: "-1.5", 100: "100.0", 9999999: "9999999.0", 1e7: "1.0E7", 1e-3: "0.001", 9e-4: "9.0E-4",
		0.1: "0.1", 1.0 / 3: "0.3333333333333333", 5e-324: "4.9E-324", math.MaxFloat64: "1.7976931348623157E308", 1e21: "1.0E21", 1e23: "9.999999999999999E22", 2e23: "1.9999999999999998E23",
		1 << 60: "1.15292150460684698E18", 9007199254740993: "9.007199254740992E15", 2.2250738585072014e-308: "2.2250738585072014E-308",
		math.Ldexp(1, -1029): "1.73833895195875E-310", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity", 1e100: "1.0E100", 123456.789e20: "1.23456789E25",
	} {
		if got := string(AppendJavaDouble(nil, v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float32]string{
		0.1: "0.1", 123456789: "1.23456792E8", 1.17549435e-38: "1.17549435E-38", 3.4028235e38: "3.4028235E38", 16777217: "1.6777216E7", 1e10: "1.0E10", 1.4e-45: "1.4E-45", 1.5: "1.5",
	} {
		if got := string(AppendJavaFloat(nil, v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := string(AppendJavaDouble(nil, math.NaN())); got != "NaN" {
		t.Error(got)
	}
}

func TestJavaNumbersAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		for _, v := range []float64{1.5, 1e10, 3.14159e-7, 1 << 60} {
			buf = AppendJavaDouble(buf[:0], v)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
