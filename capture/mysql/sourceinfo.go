package mysql

import (
	"millrace/internal/record"
	"millrace/snapshot"
)

// debeziumVersion is what source.version says.
const debeziumVersion = "3.6.1.Final"

// Places of the fields in the source block.
const (
	srcVersion = iota
	srcConnector
	srcName
	srcTsMs
	srcSnapshot
	srcDB
	srcSequence
	srcTsUs
	srcTsNs
	srcTable
	srcServerID
	srcGTID
	srcFile
	srcPos
	srcRow
	srcThread
	srcQuery
	srcFields
)

func sourceSchema(flavor Flavor, adjust func(string) string) *record.Schema {
	name := "io.debezium.connector." + string(flavor) + ".Source"
	if adjust != nil {
		name = adjust(name)
	}
	snap := &record.Schema{Type: record.String, Optional: true, Name: "io.debezium.data.Enum", Version: 1,
		Params: []record.Param{{Key: "allowed", Value: "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"}}}
	snap.Default = record.MustDatum(record.PlainString, "false")
	s := &record.Schema{Type: record.Struct, Name: name, Version: 1, Fields: make([]record.Field, srcFields)}
	f := s.Fields
	for i, n := range [srcFields]string{"version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns", "table", "server_id", "gtid", "file", "pos", "row", "thread", "query"} {
		f[i].Name = n
	}
	for i, x := range map[int]*record.Schema{srcVersion: record.PlainString, srcConnector: record.PlainString, srcName: record.PlainString, srcTsMs: record.PlainInt64, srcSnapshot: snap,
		srcDB: record.PlainString, srcSequence: record.OptionalString, srcTsUs: record.OptionalInt64, srcTsNs: record.OptionalInt64, srcTable: record.OptionalString,
		srcServerID: record.PlainInt64, srcGTID: record.OptionalString, srcFile: record.PlainString, srcPos: record.PlainInt64, srcRow: record.PlainInt32,
		srcThread: record.OptionalInt64, srcQuery: record.OptionalString} {
		f[i].Schema = x
	}
	return s
}

// sources makes source blocks. Texts that many rows share are put into a batch
// once; the block of a row is a copy with a few cells patched.
type sources struct {
	flavor  Flavor
	name    string
	epoch   uint64 // number of the batch
	base    [srcFields]record.Cell
	markers [snapshot.Markers]record.Cell

	// State that all rows of an event share.
	tsUs     int64
	serverID int64
	gtid     string
	file     string
	pos      int64
	thread   int64
	query    string

	lastRow int // number of the last row in its event; a statement behind it has the same one, as recorded

	shared      [3]record.Cell // gtid, file, query of this state in this batch
	sharedEpoch uint64
}

// template is one table's part of the source block.
type template struct {
	db, table string
	named     bool // the table field is set even when it is empty
	epoch     uint64
	cells     [srcFields]record.Cell
}

func (s *sources) begin(b *record.Batch) {
	s.epoch++
	s.base = [srcFields]record.Cell{}
	s.base[srcVersion] = b.StringCell(debeziumVersion)
	s.base[srcConnector] = b.StringCell(string(s.flavor))
	s.base[srcName] = b.StringCell(s.name)
	for m := range s.markers {
		s.markers[m] = record.Cell{}
	}
}

// moved says that gtid, file or query are others than at the event before.
func (s *sources) moved() { s.sharedEpoch = 0 }

func (s *sources) texts(b *record.Batch) {
	if s.sharedEpoch == s.epoch {
		return
	}
	s.sharedEpoch = s.epoch
	s.shared = [3]record.Cell{1: b.StringCell(s.file)}
	if s.gtid != "" {
		s.shared[0] = b.StringCell(s.gtid)
	}
	if s.query != "" {
		s.shared[2] = b.StringCell(s.query)
	}
}

// cell makes the source block of row number row of the event.
func (s *sources) cell(b *record.Batch, t *template, row int, marker record.Cell) record.Cell {
	s.lastRow = row
	if t.epoch != s.epoch {
		t.epoch, t.cells = s.epoch, s.base
		t.cells[srcDB] = b.StringCell(t.db)
		if t.table != "" || t.named {
			t.cells[srcTable] = b.StringCell(t.table)
		}
	}
	s.texts(b)
	c := b.Alloc(record.Struct, srcFields)
	f := b.Children(c)
	copy(f, t.cells[:])
	f[srcTsMs] = record.Int64Cell(s.tsUs / 1000)
	f[srcTsUs] = record.Int64Cell(s.tsUs)
	f[srcTsNs] = record.Int64Cell(s.tsUs * 1000)
	f[srcSnapshot] = marker
	f[srcServerID] = record.Int64Cell(s.serverID)
	f[srcGTID], f[srcFile], f[srcQuery] = s.shared[0], s.shared[1], s.shared[2]
	f[srcPos] = record.Int64Cell(s.pos)
	f[srcRow] = record.Int32Cell(int32(row))
	if s.thread != 0 {
		f[srcThread] = record.Int64Cell(s.thread)
	}
	return c
}

// marker is the text of a snapshot marker in the batch.
func (s *sources) marker(b *record.Batch, m snapshot.Marker) record.Cell {
	if s.markers[m].IsNull() {
		s.markers[m] = b.StringCell(m.String())
	}
	return s.markers[m]
}
