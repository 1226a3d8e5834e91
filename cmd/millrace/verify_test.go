package main

import (
	"fmt"
	"testing"

	"millrace/sinkers/sqlsink"
)

// TestVerifyMovingKeys: a difference counts when it is there in every round and is about
// the same row; keys that records keep changing are left out and told of.
func TestVerifyMovingKeys(t *testing.T) {
	report := func(rows ...string) []*sqlsink.TableReport {
		r := &sqlsink.TableReport{Table: "t"}
		for _, x := range rows {
			var id, row string
			if _, err := fmt.Sscan(x, &id, &row); err != nil {
				t.Fatal(err)
			}
			r.Different++
			r.Keys = append(r.Keys, sqlsink.KeyDiff{Kind: "different", Key: map[string]string{"id": id}, Row: row})
		}
		return []*sqlsink.TableReport{r}
	}
	for _, c := range []struct {
		rounds [][]*sqlsink.TableReport
		want   string
		notes  int
	}{
		{[][]*sqlsink.TableReport{report("1 a", "2 a")}, "[1 2] 2", 0},
		{[][]*sqlsink.TableReport{report("1 a", "2 a"), report("2 a", "3 a")}, "[2] 1", 0},
		{[][]*sqlsink.TableReport{report("1 a", "2 a"), report("1 b", "2 a")}, "[2] 1", 1},
		{[][]*sqlsink.TableReport{report("1 a"), report("1 b"), report("1 b")}, "[1] 1", 0},
		{[][]*sqlsink.TableReport{report("1 a"), report("1 b"), report("1 c")}, "[] 0", 1},
	} {
		v := &verifier{}
		for i, r := range c.rounds {
			v.merge(i+1, r)
		}
		v.leave()
		keys := []string{}
		for _, k := range v.out.Tables[0].Keys {
			keys = append(keys, k.Key["id"])
		}
		if got := fmt.Sprint(keys, v.out.Tables[0].Different); got != c.want || len(v.out.Notes) != c.notes {
			t.Errorf("got %s with notes %q, want %s", got, v.out.Notes, c.want)
		}
	}
}
