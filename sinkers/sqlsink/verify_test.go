package sqlsink_test

import (
	"fmt"
	"strings"
	"testing"

	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/sinkers/sqlsink"
)

// TestVerify: what the sink wrote is equal, each way to spoil it is found, and
// comparing changes nothing.
func TestVerify(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		blob := "blob"
		if _, ok := tg.(*postgresTarget); ok {
			blob = "bytea"
		}
		tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b "+blob+", n int)")
		b := &record.Batch{}
		for i := range 50 {
			flat(t, b, i, map[string]any{"a": fmt.Sprint("row ", i), "b": []byte{0, byte(i)}, "n": i})
		}
		flat(t, b, 7, nil)
		flat(t, b, 8, map[string]any{"a": placeholder, "b": []byte(placeholder), "n": 80})
		props := upserts(tg, nil)
		k, err := start(t, props)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := k.Stop(); err != nil {
			t.Fatal(err)
		}
		if got := compared(t, props, b); got != "49 of 49" {
			t.Errorf("after the sink: %s", got)
		}
		before := readT(t, tg)
		tg.exec(t, "delete from t where id = 3")
		tg.exec(t, "insert into t (id, a) values (7, 'still there'), (1000, 'foreign')")
		tg.exec(t, "update t set a = 'Row 5' where id = 5")
		tg.exec(t, "update t set n = null, b = null where id = 8")
		spoilt := readT(t, tg)
		want := "50 of 49; missing 3; extra 7; extra 1000; different 5 in a; different 8 in b, n"
		if got := compared(t, props, b); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if readT(t, tg) != spoilt || before == spoilt {
			t.Error("comparing has changed the table")
		}
		tg.exec(t, "drop table t")
		if got := compared(t, props, b); !strings.Contains(got, "no such table") {
			t.Errorf("without the table: %s", got)
		}
	})
}

// compared runs a comparison and prints it.
func compared(t *testing.T, props map[string]string, b *record.Batch) string {
	t.Helper()
	v, err := sqlsink.NewVerifier(sqlsink.Class, props, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	reports, err := v.Compare(t.Context())
	if err != nil || len(reports) != 1 {
		t.Fatalf("%d reports: %v", len(reports), err)
	}
	r := reports[0]
	out := fmt.Sprintf("%d of %d", r.Rows, r.Expected)
	if r.Problem != "" {
		out += "; " + r.Problem
	}
	for _, k := range r.Keys {
		out += "; " + k.Kind + " " + k.Key["id"]
		if len(k.Columns) > 0 {
			out += " in " + strings.Join(k.Columns, ", ")
		}
	}
	return out
}

// TestVerifyNeedsKeys: rows without keys cannot be told apart.
func TestVerifyNeedsKeys(t *testing.T) {
	props := map[string]string{"connector.class": sqlsink.Class, "connection.url": "jdbc:sqlite:x.db"}
	if _, err := sqlsink.NewVerifier(sqlsink.Class, props, testkit.Log(t)); err == nil || !strings.Contains(err.Error(), "by key") {
		t.Errorf("got %v", err)
	}
	if _, err := sqlsink.NewVerifier("org.example.Sink", props, testkit.Log(t)); err == nil {
		t.Error("another sink is taken")
	}
}
