package mysql

import (
	"encoding/binary"
	"errors"
	"strconv"

	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// identity tells rows of a table apart, from result sets and from row images alike:
// by the primary key in full, whatever the record's key and the options for
// columns make of it.
type identity struct {
	task    *task
	version *schemahistory.Table
	columns []int
	needs   []bool // columns that a chunk selects
	texts   *myvalue.Table
	wire    *binlog.TableMap // the table map that image is for
	image   *myvalue.Table
	scratch record.Batch
}

// exactModes lose nothing of a value.
var exactModes = myvalue.Modes{Decimal: "string", BigintUnsigned: "precise", Time: "adaptive_time_microseconds", Binary: "bytes"}

// ofTexts gives the identity of a row of a result set; "" when it has none.
func (x *identity) ofTexts(fields [][]byte) string {
	if len(x.columns) == 0 {
		return ""
	}
	x.scratch.Reset()
	row, _ := x.texts.Texts(&x.scratch, fields)
	return x.key(row.Key)
}

// ofImage gives the identity of a row image; fill has what the image lacks.
func (x *identity) ofImage(wire *binlog.TableMap, m, fill *binlog.Image) (string, error) {
	if len(x.columns) == 0 {
		return "", nil
	}
	if x.wire != wire {
		plan, err := x.compile(wire)
		if err != nil {
			return "", err
		}
		x.wire, x.image = wire, plan
	}
	x.scratch.Reset()
	row, _ := x.image.Image(&x.scratch, m, fill)
	return x.key(row.Key), nil
}

func (x *identity) key(c record.Cell) string {
	return string(appendCell(nil, &x.scratch, c))
}

// appendCell writes a value so that equal ones are equal bytes.
func appendCell(dst []byte, b *record.Batch, c record.Cell) []byte {
	switch c.Kind() {
	case record.Struct, record.Array, record.Map:
		for _, x := range b.Children(c) {
			dst = appendCell(dst, b, x)
		}
		return dst
	case record.String, record.Bytes:
		p := b.Raw(c)
		return append(binary.AppendUvarint(append(dst, 's'), uint64(len(p))), p...)
	case record.Float32, record.Float64:
		return append(strconv.AppendFloat(append(dst, 'f'), c.Float(), 'g', -1, 64), 0)
	case record.Null:
		return append(dst, 'n')
	}
	return binary.AppendVarint(append(dst, 'i'), c.Int())
}

// packRow writes fields with their lengths behind one bit for NULL.
func packRow(dst []byte, fields [][]byte) []byte {
	for _, f := range fields {
		if f == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(f))+1), f...)
	}
	return dst
}

var errPackedRow = errors.New("a packed row is cut off")

func unpackRow(fields [][]byte, p []byte) ([][]byte, error) {
	for len(p) > 0 {
		n, size := binary.Uvarint(p)
		if size <= 0 || n > uint64(len(p)-size)+1 {
			return nil, errPackedRow
		}
		p = p[size:]
		if n == 0 {
			fields = append(fields, nil)
			continue
		}
		fields = append(fields, p[:n-1:n-1])
		p = p[n-1:]
	}
	return fields, nil
}
