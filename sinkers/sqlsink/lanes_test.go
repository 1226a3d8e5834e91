package sqlsink_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace/internal/record"
)

// TestLanes: a large batch is divided over connections by key, and each key ends as
// its last record says; tables whose rows constrain each other are written whole.
func TestLanes(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		t.Parallel()
		blob := "blob"
		if _, ok := tg.(*postgresTarget); ok {
			blob = "bytea"
		}
		for name, also := range map[string]string{"alone": "", "unique": ", unique (n)"} {
			t.Run(name, func(t *testing.T) {
				tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b "+blob+", n int"+also+")")
				defer tg.exec(t, "drop table t")
				k, err := start(t, upserts(tg, map[string]string{"write.lanes": "3"}))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = k.Stop() }()
				want := map[int]int{}
				rnd := rand.New(rand.NewPCG(1, 2))
				for round := range 3 {
					b := &record.Batch{}
					for i := range 6000 {
						id := rnd.IntN(3000)
						if rnd.IntN(5) == 0 {
							flat(t, b, id, nil)
							delete(want, id)
							continue
						}
						n := round*6000 + i
						flat(t, b, id, map[string]any{"a": "x", "n": n})
						want[id] = n
					}
					if err := k.Put(t.Context(), b); err != nil {
						t.Fatal(err)
					}
				}
				rows := tg.read(t)["t"].Rows
				if len(rows) != len(want) {
					t.Errorf("%d rows, want %d", len(rows), len(want))
				}
				wrong := 0
				for _, r := range rows {
					var id int
					if _, err := fmt.Sscan(fmt.Sprint(r[0]), &id); err != nil {
						t.Fatal(err)
					}
					if fmt.Sprint(r[3]) != fmt.Sprint(want[id]) {
						wrong++
					}
				}
				if wrong > 0 {
					t.Errorf("%d rows are not what their last record says", wrong)
				}
			})
		}
	})
}

// TestLanesFindRefusedRows: refused rows are found when a batch is divided, and the
// others are written.
func TestLanesFindRefusedRows(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, "create table t(id int primary key, a varchar(40) not null, b bytea, n int, constraint small check (n < 4000))")
	k, err := start(t, upserts(p, map[string]string{"errors.tolerance": "all"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	for i := range 3000 {
		n := i
		if i%1000 == 7 {
			n = 5000
		}
		flat(t, b, i, map[string]any{"a": "x", "n": n})
	}
	if err := k.Put(t.Context(), b); err == nil || strings.Count(err.Error(), "small") == 0 {
		t.Fatalf("refused rows give %v", err)
	}
	if got := len(p.read(t)["t"].Rows); got != 2997 {
		t.Errorf("%d rows, want 2997", got)
	}
}
