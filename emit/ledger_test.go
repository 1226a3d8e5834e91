package emit

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/record"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts print as their expected output")

// TestLedgerScripts runs testdata/ledger/*.txt: a command per line, then ---- and
// what the ledger looks like afterwards, up to an empty line.
func TestLedgerScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/ledger/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var l Ledger
		var out []string
		for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
			cmds, _, _ := strings.Cut(block, "\n----")
			var said []string
			for _, cmd := range strings.Split(cmds, "\n") {
				if s := ledgerCommand(t, &l, cmd); s != "" {
					said = append(said, s)
				}
			}
			end, _ := l.Committable()
			said = append(said, fmt.Sprintf("committable=%v unacked=%d unsettled=%d", end, l.Unacked(), l.Unsettled()))
			out = append(out, cmds+"\n----\n"+strings.Join(said, "\n"))
		}
		got := strings.Join(out, "\n\n") + "\n"
		if *rewrite {
			if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != string(data) {
			t.Errorf("%s: got\n%s", f, got)
		}
	}
}

func ledgerCommand(t *testing.T, l *Ledger, cmd string) string {
	if strings.HasPrefix(cmd, "#") {
		return ""
	}
	var verb string
	var a, b int
	n, _ := fmt.Sscan(cmd, &verb, &a, &b)
	switch {
	case verb == "open" && n == 2:
		return fmt.Sprintf("batch %d", l.Open(at(a)))
	case verb == "open":
		return fmt.Sprintf("batch %d", l.Open(nil))
	case verb == "sent":
		l.Sent(uint64(a), b)
	case verb == "acked":
		if l.Acked(uint64(a), b) {
			return "advanced"
		}
	case verb == "seal":
		if l.Seal(uint64(a)) {
			return "advanced"
		}
	case verb == "fail":
		l.Failed(uint64(a))
	default:
		t.Fatalf("unknown command %q", cmd)
	}
	return ""
}

// TestLedgerNeverRunsAhead checks the invariant against a model, in random order
// of acknowledgements.
func TestLedgerNeverRunsAhead(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var l Ledger
		type state struct {
			left           int
			sealed, failed bool
		}
		var all []state
		for range 300 {
			switch k := rng.IntN(10); {
			case k < 3 || len(all) == 0:
				if got := l.Open(at(len(all))); got != uint64(len(all)) {
					t.Fatalf("batch number %d, want %d", got, len(all))
				}
				all = append(all, state{})
			default:
				i := rng.IntN(len(all))
				s := &all[i]
				switch {
				case !s.sealed && k < 5:
					n := 1 + rng.IntN(3)
					l.Sent(uint64(i), n)
					s.left += n
				case s.left > 0:
					n := 1 + rng.IntN(s.left)
					if seed%10 == 0 && rng.IntN(50) == 0 {
						l.Failed(uint64(i))
						s.failed = true
					}
					s.left -= n
					l.Acked(uint64(i), n)
				case !s.sealed:
					s.sealed = true
					l.Seal(uint64(i))
				}
			}
			want := -1
			for i, s := range all {
				if s.left > 0 || !s.sealed || s.failed {
					break
				}
				want = i
			}
			end, _ := l.Committable()
			if (end == nil) != (want < 0) || end != nil && end != record.Position(at(want)) {
				t.Fatalf("seed %d: committable %v, want %d", seed, end, want)
			}
		}
	}
}
