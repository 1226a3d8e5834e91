package capture

import (
	"slices"
	"testing"
)

// TestResolve: the order is what Debezium gave for the same tables.
func TestResolve(t *testing.T) {
	tables := []string{"public.debezium_signal", "public.e", "public.nk", "public.zz_sentinel", "s.B x", "s.a1", "s.a2"}
	r := &SnapshotRequest{Collections: []string{"s.a.", "public.e", "S.A1", "public.gone", `s."B x"`, "s.a1", ""}}
	if got, want := r.Resolve(tables), []string{"s.a2", "s.a1", "public.e", "S.A1", "public.gone", "s.B x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		pattern, id string
		fold, want  bool
	}{{"public.t", "public.t", false, true}, {"public.T", "public.t", false, false}, {"public.T", "public.t", true, true}, {"public.t", "public.t2", false, false},
		{`"public"."t"`, "public.t", false, true}, {"`db`.`t`", "db.t", false, true}, {"public.[", "public.t", false, false}} {
		if MatchCollection(c.pattern, c.id, c.fold) != c.want {
			t.Errorf("%+v", c)
		}
	}
}
