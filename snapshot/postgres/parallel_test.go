package postgres

import (
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	if got := Ranges(100, 4); len(got) != 1 || got[0] != "" {
		t.Error(got)
	}
	if got := strings.Join(Ranges(1001, 2), " | "); got != "ctid >= '(0,0)'::tid AND ctid < '(500,0)'::tid | ctid >= '(500,0)'::tid" {
		t.Error(got)
	}
}
