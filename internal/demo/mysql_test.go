package demo

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

	"millrace/internal/testkit"
)

// Both kinds of server hold the shop, and the shop's queries give what the sink's
// file gives.
func TestMySQLShop(t *testing.T) {
	for name, at := range map[string]func(testing.TB) testkit.Endpoint{"mysql": testkit.MySQL, "mariadb": testkit.MariaDB} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(at(t).URL)
			if err != nil {
				t.Fatal(err)
			}
			db := testkit.Name("demo")
			admin, err := openMySQL(u, "")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = admin.Close() }()
			if _, err := admin.ExecContext(t.Context(), "create database "+db); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if _, err := admin.ExecContext(context.Background(), "drop database "+db); err != nil {
					t.Error(err)
				}
			}()
			s, err := openMySQLShop(t.Context(), u, db)
			if err != nil {
				t.Fatal(err)
			}
			checkShop(t, s)
			if engine := engineOf(t.Context(), &Options{MySQL: u.String()}); (engine == mariadbServer) != (name == "mariadb") {
				t.Errorf("taken for %s", engine.title)
			}
		})
	}
}

func checkShop(t *testing.T, s database) {
	t.Helper()
	if err := s.first(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := s.sell(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	for _, q := range checked {
		l, err := s.lines(t.Context(), q)
		if sum += len(l); err != nil || len(l) < 5 {
			t.Errorf("%s: %d rows, %v", q, len(l), err)
		}
	}
	if n, err := s.rows(t.Context()); err != nil || n != int64(sum) {
		t.Errorf("%d rows of %d, %v", n, sum, err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server of the demo's own, where this machine has one, is gone with its data in
// the end.
func TestEmbeddedMySQL(t *testing.T) {
	program, _, err := findMySQL(t.Context())
	if err != nil {
		t.Skip(err) // nothing that a test run could install
	}
	p, err := port(0)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "millrace-test-") // not t.TempDir, which only its owner may enter
	if err != nil {
		t.Fatal(err)
	}
	e, err := startHelper(t.Context(), helperConfig{Port: uint32(p), Runtime: dir, MySQL: program}, program)
	if err != nil {
		t.Fatal(err)
	}
	_, verr := mysqlVersion(t.Context(), fmt.Sprintf("mysql://root@127.0.0.1:%d", p))
	if err := e.stop(); err != nil || verr != nil {
		t.Fatal(err, verr)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
