package snapshot

import (
	"fmt"
	"strings"
	"testing"
)

// The markers are those of the recordings snapshot-initial-markers,
// snapshot-one-row-each, ddl-unlogged-views (empty first table) and
// snapshot-order-include-list.
func TestMarkers(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []int // rows per table
		want string
	}{
		{"three tables", []int{3, 1, 2}, "0:first 0:true 0:last_in_data_collection 1:last_in_data_collection 2:first_in_data_collection 2:last"},
		{"one row each", []int{1, 1, 1}, "0:first 1:last_in_data_collection 2:last"},
		{"first table empty", []int{0, 1, 1}, "1:last_in_data_collection 2:last"},
		{"last table empty", []int{2, 0}, "0:first 0:last"},
		{"one row of all", []int{1}, "0:last"},
		{"one row, then empty ones", []int{1, 0, 0}, "0:last"},
		{"nothing", []int{0, 0}, ""},
	} {
		var out []string
		l := Lookahead{Emit: func(table int, line []byte, m Marker) error {
			out = append(out, fmt.Sprintf("%s:%s", line, m))
			return nil
		}}
		buf := []byte{}
		for table, n := range c.rows {
			for range n {
				buf = fmt.Appendf(buf[:0], "%d", table) // reused, as a connection's buffer is
				if err := l.Row(table, buf); err != nil {
					t.Fatal(err)
				}
			}
		}
		if any, err := l.End(); err != nil || any != (c.want != "") {
			t.Errorf("%s: End: %t %v", c.name, any, err)
		}
		if got := strings.Join(out, " "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}
