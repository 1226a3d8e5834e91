package record

import (
	"encoding/base64"
	"encoding/binary"
	"runtime"
	"strconv"
	"testing"
	"unsafe"
)

// The two record designs measured against each other on the same work: pgoutput
// tuple bytes -> decoded columns -> Debezium envelope -> JSON or Avro bytes, 10
// columns, 256 rows a batch, 64 batches alive as a full queue would hold them.
// BenchmarkDesign prints the figures that DESIGN.md quotes:
//
//	go test -bench Design -benchmem ./internal/record
//
// tape: this package. slab: 24-byte values that point into chunked slabs and an
// arena, so children never move, at the price of pointers the collector scans.

const (
	designRows  = 256
	designAlive = 64
)

var designColumns = [...]struct {
	name, text string
	kind       byte // i integer, s string, d decimal, f float, b boolean
}{
	{"id", "184467", 'i'}, {"customer_id", "4711", 'i'}, {"status", "shipped", 's'}, {"amount", "1234567.25", 'd'},
	{"note", "a note of some length about order 184467", 's'}, {"placed_at", "2026-01-01T10:11:12.123456Z", 's'},
	{"ship_on", "20454", 'i'}, {"qty", "67", 'i'}, {"weight", "61489.333333333336", 'f'}, {"gift", "t", 'b'},
}

func designTuple() []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(designColumns)))
	for _, c := range designColumns {
		out = append(out, 't')
		out = binary.BigEndian.AppendUint32(out, uint32(len(c.text)))
		out = append(out, c.text...)
	}
	return out
}

var (
	sourceNames   = [...]string{"version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns", "schema", "table", "txId", "lsn", "xmin"}
	envelopeNames = [...]string{"before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"}
)

func atoi(p []byte) int64 {
	var n int64
	for _, c := range p {
		n = n*10 + int64(c-'0')
	}
	return n
}

// unscaled appends the minimal two's complement of a decimal text without its point.
func unscaled(dst, p []byte) []byte {
	var n int64
	for _, c := range p {
		if c != '.' {
			n = n*10 + int64(c-'0')
		}
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(n))
	i := 0
	for i < 7 && be[i] == 0 && be[i+1] < 0x80 {
		i++
	}
	return append(dst, be[i:]...)
}

// ---- tape

func tapeRow(b *Batch, tuple []byte, template []Cell) Cell {
	row := b.Alloc(Struct, len(designColumns))
	p := tuple[2:]
	for i := range designColumns {
		n := int(binary.BigEndian.Uint32(p[1:]))
		text := p[5 : 5+n]
		p = p[5+n:]
		var c Cell
		switch designColumns[i].kind {
		case 'i':
			c = Int64Cell(atoi(text))
		case 's':
			c = b.BytesCell(String, text)
		case 'd':
			from := len(b.arena)
			b.arena = unscaled(b.arena, text)
			c = b.SpanCell(Bytes, from, len(b.arena))
		case 'f':
			f, _ := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
			c = Float64Cell(f)
		case 'b':
			c = BoolCell(text[0] == 't')
		}
		b.SetChild(row, i, c)
	}
	src := b.Alloc(Struct, len(template))
	copy(b.Children(src), template)
	b.SetChild(src, 3, Int64Cell(1767262272123))
	b.SetChild(src, 12, Int64Cell(13351614368))
	env := b.Alloc(Struct, len(envelopeNames))
	b.SetChild(env, 1, row)
	b.SetChild(env, 2, src)
	b.SetChild(env, 4, b.StringCell("c"))
	b.SetChild(env, 5, Int64Cell(1767262272200))
	b.SetChild(env, 6, Int64Cell(1767262272200123))
	b.SetChild(env, 7, Int64Cell(1767262272200123456))
	return env
}

func tapeTemplate(b *Batch) []Cell {
	t := make([]Cell, len(sourceNames))
	for i := range t {
		switch i {
		case 3, 7, 8, 11, 12:
			t[i] = Int64Cell(int64(i) * 1e15)
		case 13:
		default:
			t[i] = b.StringCell("postgresql")
		}
	}
	return t
}

func tapeJSON(dst []byte, b *Batch, c Cell, names [][]string, depth int) []byte {
	switch c.kind {
	case Null:
		return append(dst, "null"...)
	case Int64:
		return strconv.AppendInt(dst, c.Int(), 10)
	case Float64:
		return strconv.AppendFloat(dst, c.Float(), 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(dst, c.Bool())
	case String:
		dst = append(dst, '"')
		dst = append(dst, b.Raw(c)...)
		return append(dst, '"')
	case Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, b.Raw(c))
		return append(dst, '"')
	}
	n := names[0]
	dst = append(dst, '{')
	for i, k := range b.Children(c) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, n[i]...)
		sub := names
		if depth == 0 {
			if i == 1 {
				sub = names[1:]
			} else {
				sub = names[2:]
			}
		}
		dst = tapeJSON(dst, b, k, sub, depth+1)
	}
	return append(dst, '}')
}

func tapeAvro(dst []byte, b *Batch, c Cell) []byte {
	switch c.kind {
	case Null:
		return append(dst, 0)
	case Int64:
		return binary.AppendVarint(dst, c.Int())
	case Float64:
		return binary.LittleEndian.AppendUint64(dst, uint64(c.bits))
	case Boolean:
		return append(dst, byte(c.bits))
	case String, Bytes:
		dst = binary.AppendVarint(dst, int64(c.n))
		return append(dst, b.Raw(c)...)
	}
	for _, k := range b.Children(c) {
		dst = tapeAvro(dst, b, k)
	}
	return dst
}

// ---- slab

type slabValue struct {
	p    unsafe.Pointer // bytes, or first child
	n    uint64         // number, length, or number of children
	kind Type
}

type slabBatch struct {
	slabs [][]slabValue
	at    int
	arena []byte // chunk in use; older chunks stay alive through the pointers
}

func (b *slabBatch) alloc(n int) []slabValue {
	for {
		if b.at == len(b.slabs) {
			b.slabs = append(b.slabs, make([]slabValue, 0, 4096))
		}
		s := &b.slabs[b.at]
		if len(*s)+n <= cap(*s) {
			*s = (*s)[:len(*s)+n]
			out := (*s)[len(*s)-n:]
			clear(out)
			return out
		}
		b.at++
	}
}

func (b *slabBatch) reset() {
	for i := range b.slabs {
		b.slabs[i] = b.slabs[i][:0]
	}
	b.at, b.arena = 0, b.arena[:0]
}

func (b *slabBatch) bytes(kind Type, p []byte) slabValue {
	if len(b.arena)+len(p) > cap(b.arena) {
		b.arena = make([]byte, 0, 64<<10)
	}
	from := len(b.arena)
	b.arena = append(b.arena, p...)
	return slabValue{unsafe.Pointer(&b.arena[from]), uint64(len(p)), kind}
}

func slabStruct(v []slabValue) slabValue {
	return slabValue{unsafe.Pointer(&v[0]), uint64(len(v)), Struct}
}

func (v slabValue) raw() []byte           { return unsafe.Slice((*byte)(v.p), v.n) }
func (v slabValue) children() []slabValue { return unsafe.Slice((*slabValue)(v.p), v.n) }
func slabInt(n int64) slabValue           { return slabValue{nil, uint64(n), Int64} }

func slabRow(b *slabBatch, tuple []byte, template []slabValue) slabValue {
	row := b.alloc(len(designColumns))
	p := tuple[2:]
	var scratch [8]byte
	for i := range designColumns {
		n := int(binary.BigEndian.Uint32(p[1:]))
		text := p[5 : 5+n]
		p = p[5+n:]
		switch designColumns[i].kind {
		case 'i':
			row[i] = slabInt(atoi(text))
		case 's':
			row[i] = b.bytes(String, text)
		case 'd':
			row[i] = b.bytes(Bytes, unscaled(scratch[:0], text))
		case 'f':
			f, _ := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
			row[i] = slabValue{nil, Float64Cell(f).bits, Float64}
		case 'b':
			row[i] = slabValue{nil, BoolCell(text[0] == 't').bits, Boolean}
		}
	}
	src := b.alloc(len(template))
	copy(src, template)
	src[3], src[12] = slabInt(1767262272123), slabInt(13351614368)
	env := b.alloc(len(envelopeNames))
	env[1], env[2], env[4] = slabStruct(row), slabStruct(src), b.bytes(String, []byte("c"))
	env[5], env[6], env[7] = slabInt(1767262272200), slabInt(1767262272200123), slabInt(1767262272200123456)
	return slabStruct(env)
}

func slabJSON(dst []byte, c slabValue, names [][]string, depth int) []byte {
	switch c.kind {
	case Null:
		return append(dst, "null"...)
	case Int64:
		return strconv.AppendInt(dst, int64(c.n), 10)
	case Float64:
		return strconv.AppendFloat(dst, Cell{bits: c.n}.Float(), 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(dst, c.n != 0)
	case String:
		dst = append(dst, '"')
		dst = append(dst, c.raw()...)
		return append(dst, '"')
	case Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, c.raw())
		return append(dst, '"')
	}
	n := names[0]
	dst = append(dst, '{')
	for i, k := range c.children() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, n[i]...)
		sub := names
		if depth == 0 {
			if i == 1 {
				sub = names[1:]
			} else {
				sub = names[2:]
			}
		}
		dst = slabJSON(dst, k, sub, depth+1)
	}
	return append(dst, '}')
}

func slabAvro(dst []byte, c slabValue) []byte {
	switch c.kind {
	case Null:
		return append(dst, 0)
	case Int64:
		return binary.AppendVarint(dst, int64(c.n))
	case Float64:
		return binary.LittleEndian.AppendUint64(dst, c.n)
	case Boolean:
		return append(dst, byte(c.n))
	case String, Bytes:
		dst = binary.AppendVarint(dst, int64(c.n))
		return append(dst, c.raw()...)
	}
	for _, k := range c.children() {
		dst = slabAvro(dst, k)
	}
	return dst
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n) + ":"
	}
	return out
}

func designNames() [][]string {
	var cols []string
	for _, c := range designColumns {
		cols = append(cols, c.name)
	}
	return [][]string{quoted(envelopeNames[:]), quoted(cols), quoted(sourceNames[:])}
}

// designRun keeps designAlive batches in a ring; every iteration refills one with
// designRows rows and encodes them. A collection every 512 rows stands for the
// rest of the daemon's garbage, so that what is alive costs what it would cost.
func designRun[B any](bench *testing.B, batches []B, fill func(B, []byte) []byte) {
	var dst []byte
	bench.ReportAllocs()
	rows := 0
	for bench.Loop() {
		dst = fill(batches[rows/designRows%len(batches)], dst[:0])
		rows += designRows
		if rows%(designRows*256) == 0 {
			runtime.GC()
		}
	}
	bench.ReportMetric(float64(bench.Elapsed().Nanoseconds())/float64(rows), "ns/row")
	bench.ReportMetric(float64(len(dst))/designRows, "bytes/row")
}

func BenchmarkDesign(bench *testing.B) {
	tuple, names := designTuple(), designNames()
	for _, format := range []string{"json", "avro"} {
		bench.Run("tape/"+format, func(bench *testing.B) {
			batches := make([]*Batch, designAlive)
			for i := range batches {
				batches[i] = &Batch{}
			}
			designRun(bench, batches, func(b *Batch, dst []byte) []byte {
				b.Reset()
				template := tapeTemplate(b)
				for range designRows {
					env := tapeRow(b, tuple, template)
					if format == "json" {
						dst = tapeJSON(dst, b, env, names, 0)
					} else {
						dst = tapeAvro(dst, b, env)
					}
				}
				return dst
			})
		})
		bench.Run("slab/"+format, func(bench *testing.B) {
			batches := make([]*slabBatch, designAlive)
			for i := range batches {
				batches[i] = &slabBatch{}
			}
			fixed := &slabBatch{}
			template := make([]slabValue, len(sourceNames))
			for i := range template {
				switch i {
				case 3, 7, 8, 11, 12:
					template[i] = slabInt(int64(i) * 1e15)
				case 13:
				default:
					template[i] = fixed.bytes(String, []byte("postgresql"))
				}
			}
			designRun(bench, batches, func(b *slabBatch, dst []byte) []byte {
				b.reset()
				for range designRows {
					env := slabRow(b, tuple, template)
					if format == "json" {
						dst = slabJSON(dst, env, names, 0)
					} else {
						dst = slabAvro(dst, env)
					}
				}
				return dst
			})
		})
	}
}

// TestDesignsAgree keeps the benchmark honest: both designs write the same bytes.
func TestDesignsAgree(t *testing.T) {
	b, s := &Batch{}, &slabBatch{}
	template := tapeTemplate(b)
	var st []slabValue
	for _, c := range template {
		v := slabInt(c.Int())
		switch c.kind {
		case String:
			v = s.bytes(String, b.Raw(c))
		case Null:
			v = slabValue{}
		}
		st = append(st, v)
	}
	tuple, names := designTuple(), designNames()
	x := tapeJSON(nil, b, tapeRow(b, tuple, template), names, 0)
	y := slabJSON(nil, slabRow(s, tuple, st), names, 0)
	if string(x) != string(y) {
		t.Errorf("tape %s\nslab %s", x, y)
	}
}
