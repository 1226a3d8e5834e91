package main

import (
	"os"
	"strings"
	"testing"
)

// TestTrimText: the program runs on behind it, and less of its file is resident.
func TestTrimText(t *testing.T) {
	resident := func() (kb string) {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(l, "RssFile:"); ok {
				kb = strings.TrimSpace(v)
			}
		}
		return kb
	}
	before := resident()
	trimText()
	t.Logf("resident of files: %s, then %s", before, resident())
	if r := parseRegion("400000-1478000"); r != (region{0x400000, 0x1078000}) {
		t.Errorf("%+v", r)
	}
	for _, s := range []string{"", "1-", "x-2", "5-4"} {
		if r := parseRegion(s); r != (region{}) {
			t.Errorf("%q: %+v", s, r)
		}
	}
}
