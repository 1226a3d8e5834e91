package postgres

import (
	"maps"
	"testing"
)

// publication describes the publication: all tables or their list, what it publishes.
func (r *rig) publication() string {
	r.t.Helper()
	return r.one(`select concat(case when puballtables then 'all' else coalesce((select string_agg(schemaname || '.' || tablename, ',' order by tablename collate "C") from pg_publication_tables t where t.pubname = p.pubname), 'none') end,
 ' ', concat_ws('', case when pubinsert then 'i' end, case when pubupdate then 'u' end, case when pubdelete then 'd' end, case when pubtruncate then 't' end), case when pubviaroot then ' root' end)
 from pg_publication p where pubname = $1`, r.Name)
}

func TestPublicationModes(t *testing.T) {
	r := newRig(t, `create table a (id int primary key); create table b (id int primary key); create table "C d" (id int primary key); create table sig (id text primary key, type text, data text)`,
		"errors.max.retries", "0")
	base := maps.Clone(r.props)
	start := func(props ...string) {
		t.Helper()
		r.props = maps.Clone(base)
		for i := 0; i+1 < len(props); i += 2 {
			r.props[props[i]] = props[i+1]
		}
		if err := r.start(nil, newSink()).end(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string) {
		t.Helper()
		if got := r.publication(); got != what {
			t.Errorf("%v: the publication is %q, want %q", r.props["publication.autocreate.mode"], got, what)
		}
	}
	drop := func() { r.Exec(t, `drop publication "`+r.Name+`"`) }

	start()
	want("all iudt")
	r.props = maps.Clone(base)
	r.props["publication.autocreate.mode"] = "filtered"
	r.fails("", "FOR ALL TABLES", "DROP PUBLICATION")
	drop()
	r.props["publication.autocreate.mode"] = "disabled"
	r.fails("", "Publication autocreation is disabled", "CREATE PUBLICATION")
	start("publication.autocreate.mode", "no_tables")
	want("none iudt")
	drop()
	start("publication.autocreate.mode", "filtered", "table.include.list", `public\.(a|C d)`, "skipped.operations", "t,d", "publish.via.partition.root", "true")
	want("public.C d,public.a iu root")
	// The captured tables and the signal table are set anew when they differ.
	start("publication.autocreate.mode", "filtered", "table.include.list", `public\.b`, "signal.data.collection", "public.sig")
	want("public.b,public.sig iu root")
	start("publication.autocreate.mode", "disabled", "table.include.list", `public\.a`)
	want("public.b,public.sig iu root")
	r.props["publication.autocreate.mode"], r.props["table.include.list"] = "filtered", "public.nothing"
	r.fails("", "No table matches the filters", "table.include.list")
	want("public.b,public.sig iu root")
}

func TestReplicaIdentities(t *testing.T) {
	r := newRig(t, `create table a (id int primary key, v int); create table b (id int primary key, v int not null); create unique index by_v on b (v); create table c (id int primary key); create table d (id int primary key); alter table d replica identity full`,
		"replica.identity.autoset.values", `public.a:FULL,public.b:INDEX by_v,public.d:DEFAULT`)
	out := newSink()
	x := r.start(nil, out)
	if got := r.one(`select string_agg(relname || relreplident::text, ' ' order by relname) from pg_class where relname in ('a', 'b', 'c', 'd')`); got != "af bi cd dd" {
		t.Errorf("replica identities: %s", got)
	}
	r.Exec(t, "insert into a values (1, 1); update a set v = 2; insert into b values (1, 1); delete from b")
	rs := out.waitN(t, 5)
	if rs[1].Before != "{id:1 v:1}" || rs[3].Before != "{id:0 v:1}" {
		t.Errorf("before is %s and %s", rs[1].Before, rs[3].Before)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
}
