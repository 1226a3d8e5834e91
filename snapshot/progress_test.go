package snapshot

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestChunks(t *testing.T) {
	for _, c := range []struct {
		read  []Pages
		pages int64
		want  string
	}{
		{nil, 0, "[{{0 -1} false}]"},
		{nil, 10, "[{{0 -1} false}]"},
		{nil, 11, "[{{0 10} false} {{10 -1} false}]"},
		{nil, 30, "[{{0 10} false} {{10 20} false} {{20 -1} false}]"},
		{[]Pages{{0, 20}}, 30, "[{{0 20} true} {{20 -1} false}]"},
		{[]Pages{{0, 20}, {25, 27}}, 45, "[{{0 20} true} {{25 27} true} {{20 25} false} {{27 37} false} {{37 -1} false}]"},
		{[]Pages{{10, -1}}, 45, "[{{10 -1} true} {{0 10} false}]"},
		{[]Pages{{0, 20}}, 5, "[{{0 20} true} {{20 -1} false}]"}, // it has become smaller
	} {
		p := Progress{Read: c.read}
		if got := fmt.Sprint(p.Chunks(c.pages, 10)); got != c.want {
			t.Errorf("%v of %d: %s, want %s", c.read, c.pages, got, c.want)
		}
	}
}

// However often reading is interrupted, and whatever chunks were ready by then, every
// page is read, and none twice but for newer rows.
func TestProgressCoversAll(t *testing.T) {
	for range 2000 {
		pages, size := rand.Int64N(60), rand.Int64N(9)+1
		times := make([]int, pages+5)
		p := Progress{}
		p.Begin("t", "x")
		for done := false; !done; {
			chunks := p.Chunks(pages, size)
			rand.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
			stop := rand.IntN(len(chunks) + 3)
			done = stop >= len(chunks)
			for i, c := range chunks {
				if i == stop {
					break
				}
				if c.Again {
					continue
				}
				for at := range times {
					if int64(at) >= c.From && (c.To < 0 || int64(at) < c.To) {
						times[at]++
					}
				}
				p.Add(c.Pages, 1)
			}
			q, err := ParseProgress(p.String())
			if err != nil || q.String() != p.String() {
				t.Fatal(q, p, err)
			}
			p = q
		}
		for at, n := range times {
			if n != 1 {
				t.Fatalf("page %d of %d was read %d times", at, pages, n)
			}
		}
	}
}

func TestProgressOfTables(t *testing.T) {
	var p Progress
	p.Begin("a", "1")
	p.Add(Pages{0, 5}, 50)
	p.Begin("a", "1")
	if p.Rows != 50 || len(p.Read) != 1 {
		t.Error("the same reading was forgotten")
	}
	p.Begin("a", "2")
	if p.Rows != 0 || p.Read != nil {
		t.Error("another reading was taken for the same")
	}
	p.End("2")
	if !p.Finished("a", "2") || p.Finished("a", "1") || p.Finished("b", "2") {
		t.Error(p.String())
	}
}
