package sqlsink_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"millrace/internal/testkit"
)

// BenchmarkLoadData compares by hand, on MariaDB, whose default allows it, what MySQL's sink
// sends with LOAD DATA into a temporary table and a merge: the same new rows, written
// beforehand as statements of 1 MiB and as lines.
func BenchmarkLoadData(b *testing.B) {
	const n = 4000
	at := testkit.MariaDB(b)
	admin, err := sql.Open("mysql", at.User+":"+at.Password+"@tcp("+at.Host+":"+at.Port+")/?multiStatements=true")
	if err != nil {
		b.Fatal(err)
	}
	admin.SetMaxOpenConns(1)
	name := testkit.Name("sinkbench")
	do := func(q string) {
		b.Helper()
		if _, err := admin.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	do("create database " + name + "; use " + name)
	defer func() {
		_, _ = admin.Exec("drop database " + name)
		_ = admin.Close()
	}()
	columns := strings.NewReplacer("timestamptz", "datetime(6)", "boolean", "tinyint(1)").Replace(ordersTable)
	do(columns + "; " + strings.Replace(columns, "create table orders", "create temporary table stage", 1))
	const set = " on duplicate key update customer_id=values(customer_id), status=values(status), amount=values(amount), note=values(note), placed_at=values(placed_at), ship_on=values(ship_on), qty=values(qty), weight=values(weight), gift=values(gift)"
	from := 0
	rows := func(format, sep string) string {
		var out bytes.Buffer
		for i := from; i < from+n; i++ {
			if i > from {
				out.WriteString(sep)
			}
			fmt.Fprintf(&out, format, i, i%5000, i%7, i, i, i%24, i%100, i, i%2)
		}
		from += n
		return out.String()
	}
	b.Run("multi-row", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			q := "insert into orders values " + rows("(%d,%d,'status%d',%d.25,'a note of some length about order %d','2026-01-01 %02d:00:00.123456','2026-01-01',%d,%d.5,%d)", ",") + set
			b.StartTimer()
			do(q)
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("load data", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			text := rows("%d\t%d\tstatus%d\t%d.25\ta note of some length about order %d\t2026-01-01 %02d:00:00.123456\t2026-01-01\t%d\t%d.5\t%d", "\n")
			mysql.RegisterReaderHandler(name, func() io.Reader { return strings.NewReader(text) })
			b.StartTimer()
			do("start transaction")
			do("load data local infile 'Reader::" + name + "' into table stage")
			do("insert into orders select * from stage" + set)
			do("delete from stage")
			do("commit")
		}
		mysql.DeregisterReaderHandler(name)
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rows/s")
	})
}
