package postgres

import (
	"encoding/binary"
	"testing"
	"time"

	"millrace/decode/pgoutput"
	"millrace/decode/pgvalue"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// rowSession is a session in mid-transaction with one table of ten columns, and
// the INSERT, UPDATE (old row included) and DELETE of a row of it.
func rowSession(t testing.TB, metadata string) (*session, [][]byte) {
	t.Helper()
	opts, err := ParseOptions("c", 0, map[string]string{"topic.prefix": "srv", "database.hostname": "h", "database.user": "u", "database.dbname": "d",
		"plugin.name": "pgoutput", "provide.transaction.metadata": metadata, "name": "c", "connector.class": "io.debezium.connector.postgresql.PostgresConnector"})
	if err != nil {
		t.Fatal(err)
	}
	tk := &task{src: &Source{}, opts: opts, log: testkit.Log(t), interner: &record.Interner{}, topics: topics{byName: map[string]*record.Topic{}}}
	tk.source = tk.interner.Intern(sourceSchemaFor(opts.Naming.SchemaName))
	tk.cat = newCatalog(nil)
	cols := []struct {
		name, typ, text string
		oid             uint32
		mod             int32
	}{
		{"id", "int8", "1234567", 20, -1}, {"customer_id", "int4", "42", 23, -1}, {"status", "varchar", "shipped", 1043, 24}, {"amount", "numeric", "1234.50", 1700, 12<<16 | 2 + 4},
		{"note", "text", "a note of some length about an order", 25, -1}, {"placed_at", "timestamptz", "2026-11-21 03:04:05.678901+00", 1184, -1}, {"ship_on", "date", "2026-11-22", 1082, -1},
		{"qty", "int2", "7", 21, -1}, {"weight", "float8", "1.25", 701, -1}, {"gift", "bool", "t", 16, -1},
	}
	var metas []columnMeta
	tuple := binary.BigEndian.AppendUint16(nil, uint16(len(cols)))
	for _, c := range cols {
		tk.cat.types[c.oid] = &pgvalue.Type{OID: c.oid, Schema: "pg_catalog", Name: c.typ, Kind: 'b', BaseMod: -1}
		metas = append(metas, columnMeta{Name: c.name, TypeOID: c.oid, Typmod: c.mod, NotNull: true})
		tuple = binary.BigEndian.AppendUint32(append(tuple, 't'), uint32(len(c.text)))
		tuple = append(tuple, c.text...)
	}
	tb := &table{oid: 77, captured: true, name: "public.orders"}
	if err := tk.compile(t.Context(), tb, metas, []string{"id"}, "public", "orders", pgvalue.Stream); err != nil {
		t.Fatal(err)
	}
	s := newSession(tk, &Position{LSN: 1, Commit: 1, Proc: 1, Type: msgCommit})
	s.tables[77] = tb
	s.inTx, s.xid, s.commitUs, s.final, s.now = true, 99, time.Now().UnixMicro(), 1<<40, time.Now()
	s.src.tsUs, s.src.txID, s.src.commit = s.commitUs, s.xid, 1<<39
	msg := func(kind byte, parts ...string) []byte {
		m := binary.BigEndian.AppendUint32([]byte{kind}, 77)
		for _, p := range parts {
			m = append(m, p...)
		}
		return m
	}
	return s, [][]byte{msg(pgoutput.TypeInsert, "N", string(tuple)), msg(pgoutput.TypeUpdate, "O", string(tuple), "N", string(tuple)), msg(pgoutput.TypeDelete, "O", string(tuple))}
}

// TestRowsAllocateNothing is the gate of the path from message to record.
func TestRowsAllocateNothing(t *testing.T) {
	for _, metadata := range []string{"false"} {
		s, msgs := rowSession(t, metadata)
		at := LSN(1 << 40)
		fill := func() {
			b := s.batch()
			b.Reset()
			s.shared.Begin(b)
			s.src.begin(b)
			for range 100 {
				for _, m := range msgs {
					at += 100
					if err := s.change(t.Context(), at, m); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		fill()
		if n := testing.AllocsPerRun(20, fill); n != 0 {
			t.Errorf("%v allocations for 300 changes on a warm batch", n)
		}
		if n := len(s.b.Records); n != 400 {
			t.Errorf("%d records of 300 changes, 100 of them deletes", n)
		}
	}
}

func BenchmarkChange(b *testing.B) {
	s, msgs := rowSession(b, "false")
	for i, name := range []string{"insert", "update", "delete"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%300 == 0 {
					batch := s.batch()
					batch.Reset()
					s.shared.Begin(batch)
					s.src.begin(batch)
				}
				if err := s.change(b.Context(), LSN(n+2), msgs[i]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
