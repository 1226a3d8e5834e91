package postgres

import (
	"slices"
	"strings"
	"testing"
)

// TestSnapshotOrderByRows reads tables in the order of their sizes, as Debezium does
// when it reads chunks, and by name with one reader.
func TestSnapshotOrderByRows(t *testing.T) {
	setup := `create table a(id int primary key); insert into a select generate_series(1, 3); create table b(id int primary key); insert into b values (1);
		create table c(id int primary key); insert into c select generate_series(1, 2)`
	for _, c := range []struct{ threads, order, want string }{
		{"2", "ascending", "bccaaa"}, {"2", "descending", "aaaccb"}, {"2", "disabled", "aaabcc"}, {"1", "ascending", "aaabcc"},
	} {
		t.Run(c.order+" with "+c.threads, func(t *testing.T) {
			r := newRig(t, setup, "snapshot.mode", "initial", "snapshot.max.threads", c.threads, "snapshot.tables.order.by.row.count", c.order, "snapshot.locking.mode", "shared", "snapshot.lock.timeout.ms", "20000")
			out := newSink()
			r.start(nil, out)
			got, markers := "", []string{}
			for _, g := range out.waitN(t, 6) {
				got += strings.TrimPrefix(g.Topic, "srv.public.")
				markers = append(markers, g.Snapshot)
			}
			if got != c.want || markers[5] != "last" || slices.Contains(markers[:5], "last") {
				t.Errorf("%s %v, want %s", got, markers, c.want)
			}
		})
	}
}
