package postgres

import (
	"strconv"

	"millrace/internal/record"
)

// debeziumVersion is the version whose records these are; consumers see it in
// source.version.
const debeziumVersion = "3.6.1.Final"

// sourceSchemaFor makes the schema of the envelope's source block; adjust adjusts
// schema names.
func sourceSchemaFor(adjust func(string) string) *record.Schema {
	snap := &record.Schema{Type: record.String, Optional: true, Name: adjust("io.debezium.data.Enum"), Version: 1,
		Params:  []record.Param{{Key: "allowed", Value: "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"}},
		Default: record.MustDatum(record.PlainString, "false")}
	return &record.Schema{Type: record.Struct, Name: adjust("io.debezium.connector.postgresql.Source"), Version: 1, Fields: []record.Field{
		{Name: "version", Schema: record.PlainString},
		{Name: "connector", Schema: record.PlainString},
		{Name: "name", Schema: record.PlainString},
		{Name: "ts_ms", Schema: record.PlainInt64},
		{Name: "snapshot", Schema: snap},
		{Name: "db", Schema: record.PlainString},
		{Name: "sequence", Schema: record.OptionalString},
		{Name: "ts_us", Schema: record.OptionalInt64},
		{Name: "ts_ns", Schema: record.OptionalInt64},
		{Name: "schema", Schema: record.PlainString},
		{Name: "table", Schema: record.PlainString},
		{Name: "txId", Schema: record.OptionalInt64},
		{Name: "lsn", Schema: record.OptionalInt64},
		{Name: "xmin", Schema: record.OptionalInt64},
		{Name: "origin", Schema: record.OptionalString},
		{Name: "origin_lsn", Schema: record.OptionalInt64},
	}}
}

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
	srcSchema
	srcTable
	srcTxID
	srcLSN
	srcXmin
	srcOrigin
	srcOriginLSN
	srcFields
)

// sources makes source blocks. The constant texts are put into a batch once; the
// block of a row is a copy of its table's template with a few cells patched.
type sources struct {
	name, db string
	epoch    uint64 // number of the batch; a template of an older one is made anew
	base     [srcFields]record.Cell

	// State that all rows of a transaction share.
	tsUs      int64
	txID      int64 // 0: null
	xmin      int64 // 0: null
	commit    LSN   // of the transaction before; 0: null
	origin    string
	originLSN LSN

	seq place // the text of source.sequence that was made last
}

// place is the text cell of a commit and a place in the log, in one batch.
type place struct {
	epoch      uint64
	commit, at LSN
	cell       record.Cell
}

// template is one table's part of the source block.
type template struct {
	schema, table string
	epoch         uint64
	cells         [srcFields]record.Cell
}

// begin puts the constant texts into a fresh batch.
func (s *sources) begin(b *record.Batch) {
	s.epoch++
	s.base = [srcFields]record.Cell{}
	s.base[srcVersion] = b.StringCell(debeziumVersion)
	s.base[srcConnector] = b.StringCell("postgresql")
	s.base[srcName] = b.StringCell(s.name)
	s.base[srcDB] = b.StringCell(s.db)
}

// cell makes the source block of one event. marker is the text cell of
// source.snapshot, null while streaming. at 0 leaves lsn null.
func (s *sources) cell(b *record.Batch, t *template, at LSN, marker record.Cell) record.Cell {
	if t.epoch != s.epoch {
		t.epoch, t.cells = s.epoch, s.base
		t.cells[srcSchema] = b.StringCell(t.schema)
		t.cells[srcTable] = b.StringCell(t.table)
	}
	c := b.Alloc(record.Struct, srcFields)
	f := b.Children(c)
	copy(f, t.cells[:])
	f[srcTsMs] = record.Int64Cell(floorDiv(s.tsUs, 1000))
	f[srcTsUs] = record.Int64Cell(s.tsUs)
	f[srcTsNs] = record.Int64Cell(s.tsUs * 1000)
	f[srcSnapshot] = marker
	if q := &s.seq; q.epoch != s.epoch || q.commit != s.commit || q.at != at {
		*q = place{s.epoch, s.commit, at, sequence(b, s.commit, at)}
	}
	f[srcSequence] = s.seq.cell
	if s.txID != 0 {
		f[srcTxID] = record.Int64Cell(s.txID)
	}
	if at != 0 {
		f[srcLSN] = record.Int64Cell(int64(at))
	}
	if s.xmin != 0 {
		f[srcXmin] = record.Int64Cell(s.xmin)
	}
	if s.origin != "" {
		f[srcOrigin] = b.StringCell(s.origin)
		f[srcOriginLSN] = record.Int64Cell(int64(s.originLSN))
	}
	return c
}

// sequence formats ["commit","lsn"] straight into the arena; 0 prints as null.
func sequence(b *record.Batch, commit, at LSN) record.Cell {
	a := b.Arena()
	from := len(a)
	a = appendLSN(append(a, '['), commit)
	a = appendLSN(append(a, ','), at)
	a = append(a, ']')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

func appendLSN(a []byte, l LSN) []byte {
	if l == 0 {
		return append(a, "null"...)
	}
	a = append(a, '"')
	a = strconv.AppendUint(a, uint64(l), 10)
	return append(a, '"')
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
