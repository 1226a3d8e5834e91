package postgres

import "testing"

// TestIncrementalOddNamesAndKeys reads tables whose names need quotes, and whose keys are
// of types that sort, print and compare in ways of their own, in chunks of two.
func TestIncrementalOddNamesAndKeys(t *testing.T) {
	r := newRig(t, signalTable+`create table "My T"("Id" int primary key, "sp ace" text); insert into "My T" select g, 'x' from generate_series(1,7) g;
	create schema "S.x"; create table "S.x"."a.b"(id int primary key); insert into "S.x"."a.b" select generate_series(1,5);
	create table tz(t timestamptz primary key); insert into tz values ('-infinity'),('infinity'),('0044-03-15 BC'),('2020-01-01'),('12020-01-01');
	create table comp(a numeric, b uuid, c bytea, d date, primary key(a,b,c,d)); insert into comp select g, ('00000000-0000-0000-0000-00000000000'||g)::uuid, decode('0'||g,'hex'), '2020-01-01' from generate_series(1,7) g;
	create table bo(b bool, f float8, primary key (b,f)); insert into bo values (true,1.5),(false,'NaN'),(true,'-Infinity'),(false,0.1);
	create domain pos as int check (value > 0); create table dm(p pos primary key); insert into dm select generate_series(1,5);
	create table ar(a int[] primary key); insert into ar values ('{1,2}'),('{3}'),('{}');
	create table js(j jsonb primary key); insert into js values ('{"a":1}'),('[1]'),('"x"');
	create table iv(i interval primary key); insert into iv values ('1 day'),('2 days'),('3 mons');
	create table ct(c "char" primary key); insert into ct values ('a'),('b'),('c')`,
		"signal.data.collection", "public.sig", "incremental.snapshot.chunk.size", "2")
	out := newSink()
	r.start(nil, out)
	for _, x := range []struct {
		q string
		n int
	}{{`public.My T`, 7}, {`public.\"My T\"`, 7}, {`S.x.a.b`, 5}, {"public.tz", 5}, {"public.comp", 7}, {"public.bo", 4}, {"public.dm", 5}, {"public.ar", 3}, {"public.js", 3}, {"public.iv", 3}, {"public.ct", 3}} {
		before := out.snapshotRows()
		r.signal("s-"+x.q, "execute-snapshot", `{"data-collections": ["`+x.q+`"]}`)
		until(t, "the rows of "+x.q, func() bool { return out.snapshotRows() >= before+x.n })
		if n := out.snapshotRows(); n != before+x.n {
			t.Errorf("%s: %d rows", x.q, n-before)
		}
	}
}
