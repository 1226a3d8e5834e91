package testkit

import "testing"

func TestDatabaseHasItsOwnLife(t *testing.T) {
	var name string
	t.Run("make", func(t *testing.T) {
		d := NewDatabase(t, "kit")
		name = d.Name
		d.Exec(t, "create table t(id int primary key); insert into t values (1)")
		var n int
		if err := d.Connect(t).QueryRow(t.Context(), "select count(*) from t").Scan(&n); err != nil || n != 1 {
			t.Fatalf("%d rows, %v", n, err)
		}
		if _, err := d.Connect(t).Exec(t.Context(), "select pg_create_logical_replication_slot($1, 'pgoutput')", name); err != nil {
			t.Fatal(err)
		}
	})
	if name == "" {
		t.Skip("no server")
	}
	d := Database{Endpoint: Postgres(t), Name: "postgres"}
	var left int
	err := d.Connect(t).QueryRow(t.Context(), "select (select count(*) from pg_database where datname=$1) + (select count(*) from pg_replication_slots where slot_name=$1)", name).Scan(&left)
	if err != nil || left != 0 {
		t.Fatalf("%d things left of database %s, %v", left, name, err)
	}
}
