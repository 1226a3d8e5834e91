package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestMain also plays the helper, as the millrace binary does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == HelperCommand {
		if err := RunHelper(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestShop runs the shop on an embedded PostgreSQL and looks whether everything is
// gone afterwards.
func TestShop(t *testing.T) {
	p, err := port(0)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "millrace-test-") // not t.TempDir, which only its owner may enter
	if err != nil {
		t.Fatal(err)
	}
	e, err := startPostgres(t.Context(), p, dir)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = e.stop()
		}
	}()
	s, err := openShop(t.Context(), e.url)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.first(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := s.sell(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range checked {
		l, err := s.lines(t.Context(), q)
		if err != nil || len(l) < 8 {
			t.Errorf("%s: %d rows, %v", q, len(l), err)
		}
	}
	var level string
	if err := s.conn.QueryRow(t.Context(), "show wal_level").Scan(&level); err != nil || level != "logical" {
		t.Errorf("wal_level %q, %v", level, err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
	stopped = true
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", e.dir, err)
	}
	if c, err := pgx.Connect(context.Background(), e.url); err == nil {
		_ = c.Close(context.Background())
		t.Error("PostgreSQL still answers")
	}
}

func TestServersHavePortsOfTheirOwn(t *testing.T) {
	for range 2 { // the second time the usual ports are taken
		addr, stop, err := startKafka()
		if err != nil || !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Fatal(addr, err)
		}
		defer func() { _ = stop() }()
		url, stop2, err := startRegistry()
		if err != nil || !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Fatal(url, err)
		}
		defer func() {
			if err := stop2(); err != nil {
				t.Error(err)
			}
		}()
	}
}

func TestPretty(t *testing.T) {
	n, err := parseJSON([]byte(`{"before":null,"after":{"id":1,"name":"a <b>"},"list":[1,2,{"x":true}],"empty":{},
		"source":{"version":"0.1","connector":"postgresql","name":"dbserver1","ts_ms":1700000000000,"snapshot":"false","db":"inventory"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "before": null,
  "after": {"id": 1, "name": "a <b>"},
  "list": [1, 2, {"x": true}],
  "empty": {},
  "source": {
    "version": "0.1", "connector": "postgresql", "name": "dbserver1",
    "ts_ms": 1700000000000, "snapshot": "false", "db": "inventory"
  }
}`
	if got := (palette{}).pretty(n, 72); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := colours.pretty(n, 72); visible(strings.ReplaceAll(got, "\n", "")) != visible(strings.ReplaceAll(want, "\n", "")) {
		t.Errorf("colours change the layout:\n%s", got)
	}
	if got := thousands(-1234567); got != "-1,234,567" {
		t.Error(got)
	}
}
