package capture

import (
	"context"
	"slices"
	"testing"
	"time"
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

// TestStopNames: the order of a stop's names is the request's, with the table under way
// last, as Debezium gave it; a stop without names ends all, whatever they are called.
func TestStopNames(t *testing.T) {
	i := &Incremental{Engine: &notes{}, queue: []Collection{{ID: "public.t"}, {ID: "public.u"}, {ID: "public.w"}, {ID: "public.x"}, {ID: "public.a\nb"}}}
	i.Stop("s", []string{"public.t", "public.x", "public.w", "public.none"})
	i.applyStops()
	i.Stop("s", nil)
	i.applyStops()
	want := notes{"ABORTED public.x,public.w,public.t", "COMPLETED", "ABORTED public.a\nb,public.u"}
	if got := *i.Engine.(*notes); !slices.Equal(got, want) || i.Running() {
		t.Errorf("%q, want %q", got, want)
	}
}

// notes keeps notifications; nothing is read.
type notes []string

func (*notes) Open(context.Context, Collection, string, string) (ChunkReader, string, error) {
	return nil, "", nil
}
func (*notes) Begin(context.Context, string, time.Time) (bool, error) { return false, nil }
func (*notes) End(context.Context, string, time.Time) error           { return nil }
func (*notes) Passed() bool                                           { return false }
func (x *notes) Notify(n Notification) {
	text := n.Type
	for _, d := range n.Data {
		if d[0] == "data_collections" {
			text += " " + d[1]
		}
	}
	*x = append(*x, text)
}
