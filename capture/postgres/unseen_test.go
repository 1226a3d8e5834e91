package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/testkit/pgserver"
)

// TestUnseenCommit: a commit that waits for a synchronous standby is streamed before
// queries see it. A snapshot by signal must not bring the older row behind it.
func TestUnseenCommit(t *testing.T) {
	t.Parallel()
	s := pgserver.New(t)
	file := filepath.Join(t.TempDir(), "signals.json")
	r := rigOn(t, s, "unseen", "create table a (id int primary key, v text); insert into a values (1, 'old'), (2, 'old')",
		"read.only", "true", "signal.enabled.channels", "file", "signal.file", file, "signal.poll.interval.ms", "20")
	out := newSink()
	x := r.start(nil, out)
	r.Exec(t, "insert into a values (3, 'first')")
	out.waitN(t, 1)
	standbys := func(set string) {
		s.Exec("unseen", "alter system set synchronous_standby_names = '"+set+"'", "select pg_reload_conf()")
		until(t, "the server knows its standbys", func() bool { return s.One("unseen", "show synchronous_standby_names") == set })
	}
	standbys("nobody")
	c := r.Connect(t).PgConn()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), "update a set v = 'new' where id = 1").ReadAll()
		done <- err
	}()
	out.waitN(t, 2)
	if err := os.WriteFile(file, []byte(`{"id":"s1","type":"execute-snapshot","data":{"data-collections": ["public.a"]}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the signal is read", func() bool { st, err := os.Stat(file); return err == nil && st.Size() == 0 })
	until(t, "the snapshot asks what is visible", func() bool {
		return s.One("unseen", "select count(*)::text from pg_stat_activity where query like '%txid_current_snapshot()%' and application_name = 'Debezium General'") != "0"
	})
	for _, g := range out.records()[2:] {
		t.Errorf("came too early: %s", g)
	}
	standbys("")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := state(out.waitN(t, 5), "a")["{id:1}"]; !strings.Contains(got, "new") {
		t.Errorf("the last state is %s", got)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
}
