package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"millrace/capture"
	"millrace/emit"
	"millrace/internal/record"
)

// keyClass is how values of a key column are read and compared, so that every value
// that the column can hold is found again exactly.
type keyClass byte

const (
	keyNumber  keyClass = iota // as the server prints it
	keyIndex                   // ENUM, SET, BIT and YEAR: their number, by which they are sorted
	keyFloat                   // exact, where the server's text has six digits
	keyText                    // by its bytes in the column's character set
	keyBytes                   // by its bytes
	keyLiteral                 // dates, times, UUIDs and addresses: their text
)

// keyColumn is a column that chunks are ordered by.
type keyColumn struct {
	at       int // index of the table's column
	name     string
	class    keyClass
	charset  string
	unsigned bool
	kind     string // DATA_TYPE
	nullable bool
	labels   []string // of ENUM and SET
}

// keyValue is one column of a key: exact is what conditions are made of, text what
// people and the offset see. Both nil: NULL.
type keyValue struct {
	exact, text []byte
	utf8        bool // exact is the text itself, of an offset
}

// classOf sorts a column into its class by the catalog's name of its type.
func classOf(kind string) keyClass {
	switch strings.ToLower(kind) {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "numeric":
		return keyNumber
	case "enum", "set", "bit", "year":
		return keyIndex
	case "float", "double", "real":
		return keyFloat
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return keyText
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return keyBytes
	}
	return keyLiteral
}

// expression is what is selected to get the exact form.
func (k *keyColumn) expression() string {
	switch k.class {
	case keyIndex:
		return k.name + "+0"
	case keyFloat:
		return k.name + "+0e0"
	case keyText, keyBytes:
		return "HEX(" + k.name + ")"
	}
	return k.name
}

// literal writes a value that is not NULL.
func (k *keyColumn) literal(v keyValue) string {
	p := string(v.exact)
	switch k.class {
	case keyNumber, keyIndex:
		return p
	case keyFloat:
		if !strings.ContainsAny(p, "eE") {
			p += "e0" // else it would be a decimal
		}
		return p
	case keyText:
		if v.utf8 {
			return "_utf8mb4 x'" + hex.EncodeToString(v.exact) + "'"
		}
		return "_" + k.charset + " x'" + p + "'"
	case keyBytes:
		return "x'" + p + "'"
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(p) + "'"
}

// java is the value for the offset.
func (k *keyColumn) java(v keyValue) any {
	if v.text == nil {
		return nil
	}
	text := string(v.text)
	n, whole := new(big.Int).SetString(text, 10)
	switch {
	case k.kind == "decimal":
		return capture.JavaDecimal(text)
	case !whole && (k.class == keyNumber || k.kind == "bit" || k.kind == "year"):
		return text
	case k.kind == "bigint" && k.unsigned || k.kind == "bit" && !n.IsInt64():
		return n
	case k.kind == "bigint" || k.kind == "bit" || k.kind == "int" && k.unsigned:
		return n.Int64()
	case k.kind == "year" && text != "0000":
		t, _ := time.Parse("2006", text)
		return capture.JavaSQLDate(t.Unix())
	case k.class == keyNumber || k.kind == "year":
		return int32(n.Int64())
	case k.class == keyFloat:
		f, _ := strconv.ParseFloat(text, 64)
		if k.kind == "float" {
			return float32(f)
		}
		return f
	case k.class == keyBytes:
		return v.text
	}
	return javaTime(k.kind, text)
}

// javaTime is a date or time as the driver of the real connector gives it, or the
// text itself when it is none that Java has.
func javaTime(kind, text string) any {
	switch kind {
	case "datetime", "timestamp":
		if t, err := time.Parse("2006-01-02 15:04:05.999999", text); err == nil {
			return capture.JavaTimestamp{Sec: t.Unix(), Nano: int32(t.Nanosecond())}
		}
	case "date":
		if t, err := time.Parse(time.DateOnly, text); err == nil {
			return capture.JavaLocalDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
		}
	case "time":
		p, negative := strings.CutPrefix(text, "-")
		f := strings.Split(p, ":")
		if len(f) != 3 {
			break
		}
		d, err := time.ParseDuration(f[0] + "h" + f[1] + "m" + f[2] + "s")
		if err != nil {
			break
		}
		if negative {
			d = -d
		}
		sec := d / time.Second
		if d%time.Second < 0 {
			sec--
		}
		return capture.JavaDuration{Sec: int64(sec), Nano: int32(d - sec*time.Second)}
	}
	return text
}

// ofJava takes a value of an offset; ok false: it is none of this column.
func (k *keyColumn) ofJava(v any) (out keyValue, ok bool) {
	if v == nil {
		return keyValue{}, k.nullable
	}
	text := capture.JavaText(v)
	out.text = []byte(text)
	out.exact = out.text
	switch k.kind {
	case "enum", "set":
		n := k.index(text)
		out.exact = []byte(strconv.FormatUint(n, 10))
		return out, n > 0 || text == ""
	case "year":
		out.exact = out.text[:min(4, len(out.text))] // of a date
	}
	switch k.class {
	case keyNumber, keyIndex, keyFloat:
		_, err := strconv.ParseFloat(string(out.exact), 64)
		return out, err == nil && !strings.ContainsAny(text, "xXnNiI_")
	case keyText:
		out.utf8 = true
	case keyBytes:
		out.exact = []byte(hex.EncodeToString(out.text))
	}
	return out, true
}

// index is the number of a label of ENUM, or of a list of labels of SET; 0: it is
// none.
func (k *keyColumn) index(text string) (n uint64) {
	list := []string{text}
	if k.kind == "set" {
		list = strings.Split(text, ",")
	}
	for _, s := range list {
		i := slices.Index(k.labels, s)
		switch {
		case i < 0:
			return 0
		case k.kind == "set":
			n |= 1 << i
		default:
			n = uint64(i) + 1
		}
	}
	return n
}

// chunkReader reads one table in chunks. It implements capture.ChunkReader.
type chunkReader struct {
	s     *session
	conn  *sql.Conn
	tb    *table
	ident *identity
	from  string // table and columns
	where string // the signal's condition
	keys  []keyColumn
	ties  bool // several rows may have one key: all of them come in one chunk
	size  int

	last, most []keyValue
	fields     [][]byte
}

// Bounds implements capture.ChunkReader.
func (r *chunkReader) Bounds() (key, most capture.Place) { return r.place(r.last), r.place(r.most) }

func (r *chunkReader) place(key []keyValue) capture.Place {
	if key == nil {
		return capture.Place{}
	}
	vals, texts := make([]any, len(key)), make([]string, len(key))
	for i, v := range key {
		vals[i] = r.keys[i].java(v)
		if texts[i] = string(v.text); v.text == nil {
			texts[i] = "<null>"
		}
	}
	return capture.Place{Offset: capture.EncodeJavaKey(vals), Text: strings.Join(texts, ",")}
}

// parse reads a key of an offset; nil: it is not one of these columns.
func (r *chunkReader) parse(text string) []keyValue {
	if text == "" {
		return nil
	}
	vals, err := capture.DecodeJavaKey(text)
	if err == nil && len(vals) == len(r.keys) {
		out := make([]keyValue, len(vals))
		for i, v := range vals {
			var ok bool
			if out[i], ok = r.keys[i].ofJava(v); !ok {
				err = fmt.Errorf("%v is no value of column %s", v, r.keys[i].name)
			}
		}
		if err == nil {
			return out
		}
	}
	r.s.log.Warn("the key of an incremental snapshot in the stored offset cannot be read; its table is read from the start", "table", r.tb.name, "error", err)
	return nil
}

// Max implements capture.ChunkReader.
func (r *chunkReader) Max(ctx context.Context) (capture.Place, bool, error) {
	r.most = nil
	text := "SELECT " + r.list(func(k *keyColumn) string { return k.expression() + ", " + k.name }) + " FROM " + r.from + and(" WHERE ", r.where) +
		" ORDER BY " + r.list(func(k *keyColumn) string { return k.name + " DESC" }) + " LIMIT 1"
	err := r.query(ctx, text, 2*len(r.keys), func(f []sql.RawBytes) {
		for i := range r.keys {
			r.most = append(r.most, keyValue{exact: slices.Clone(f[2*i]), text: r.text(i, f[2*i], f[2*i+1])})
		}
	})
	if err != nil {
		return capture.Place{}, false, fmt.Errorf("read the greatest key of %s: %w", r.tb.name, err)
	}
	return r.place(r.most), r.most != nil, nil
}

// text is what people see of a key: the number of bits, the exact form of floats.
func (r *chunkReader) text(i int, exact, shown []byte) []byte {
	if k := &r.keys[i]; k.kind == "bit" || k.class == keyFloat {
		return slices.Clone(exact)
	}
	return slices.Clone(shown)
}

// query runs a SELECT of n columns. What the server refuses is a *capture.QueryError.
func (r *chunkReader) query(ctx context.Context, text string, n int, row func(f []sql.RawBytes)) error {
	rows, err := r.conn.QueryContext(ctx, text)
	if err != nil {
		return refused(err)
	}
	defer func() { _ = rows.Close() }()
	raw, ptrs := make([]sql.RawBytes, n), make([]any, n)
	for i := range raw {
		ptrs[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		row(raw)
	}
	return refused(rows.Err())
}

// refused marks what a server says about a statement, as opposed to a connection
// that broke or a fault that passes.
func refused(err error) error {
	var my *driver.MySQLError
	if errors.As(err, &my) && !retriable(err) {
		return &capture.QueryError{Err: err}
	}
	return err
}

// Chunk implements capture.ChunkReader.
func (r *chunkReader) Chunk(ctx context.Context, add func(string, []byte)) (int, capture.Place, error) {
	held, last, err := r.read(ctx, r.condition()+r.order()+" LIMIT "+strconv.Itoa(r.size))
	if err != nil || len(held) == 0 {
		return 0, capture.Place{}, err
	}
	if r.ties && len(held) == r.size {
		// The next chunk begins behind the last key, so all rows that have it come now.
		held = slices.DeleteFunc(held, func(c chunkRow) bool { return sameKey(c.key, last) })
		more, _, err := r.read(ctx, and(" WHERE ", r.equal(last, len(last)), r.where))
		if err != nil {
			return 0, capture.Place{}, err
		}
		held = append(held, more...)
	}
	for _, c := range held {
		add(c.identity, c.line)
	}
	r.last = last
	return len(held), r.place(last), nil
}

// chunkRow is a row of a chunk.
type chunkRow struct {
	key      []keyValue
	identity string
	line     []byte
}

func sameKey(a, b []keyValue) bool {
	return slices.EqualFunc(a, b, func(x, y keyValue) bool {
		return (x.exact == nil) == (y.exact == nil) && string(x.exact) == string(y.exact)
	})
}

// read reads rows and the key of the last one.
func (r *chunkReader) read(ctx context.Context, rest string) (out []chunkRow, last []keyValue, err error) {
	cols := r.tb.version.Columns
	n := len(cols)
	names := make([]string, n, n+len(r.keys))
	for i := range cols {
		if names[i] = "NULL"; r.ident.needs[i] {
			names[i] = quote(cols[i].Name)
		}
	}
	for i := range r.keys {
		names = append(names, r.keys[i].expression())
	}
	err = r.query(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+r.from+rest, len(names), func(f []sql.RawBytes) {
		key := make([]keyValue, len(r.keys))
		for i := range r.keys {
			key[i] = keyValue{exact: slices.Clone(f[n+i]), text: r.text(i, f[n+i], f[r.keys[i].at])}
		}
		r.fields = r.fields[:0]
		for _, v := range f[:n] {
			r.fields = append(r.fields, v)
		}
		c := chunkRow{key: key, line: packRow(nil, r.fields)}
		for i := range r.keys {
			if r.keys[i].class == keyFloat { // the identity is exact, as in the log
				r.fields[r.keys[i].at] = key[i].exact
			}
		}
		c.identity = r.ident.ofTexts(r.fields)
		out, last = append(out, c), key
	})
	return out, last, err
}

func (r *chunkReader) list(of func(k *keyColumn) string) string {
	out := make([]string, len(r.keys))
	for i := range r.keys {
		out[i] = of(&r.keys[i])
	}
	return strings.Join(out, ", ")
}

func (r *chunkReader) order() string {
	return " ORDER BY " + r.list(func(k *keyColumn) string { return k.name })
}

// and joins conditions behind a keyword; "" when there are none.
func and(keyword string, conditions ...string) string {
	out := ""
	for _, c := range conditions {
		if c != "" {
			if out += " AND "; len(out) == len(" AND ") {
				out = keyword
			}
			out += c
		}
	}
	return out
}

// condition is what rows of the next chunk fulfil: behind the last key that was
// read, up to the greatest one.
func (r *chunkReader) condition() string {
	behind := ""
	if r.last != nil {
		behind = r.behind(r.last)
	}
	return and(" WHERE ", behind, r.upTo(r.most), r.where)
}

// equal is the condition that the first n columns are those of a key.
func (r *chunkReader) equal(key []keyValue, n int) string {
	out := make([]string, n)
	for i := range n {
		if k := &r.keys[i]; key[i].exact == nil {
			out[i] = k.name + " IS NULL"
		} else {
			out[i] = k.name + " = " + k.literal(key[i])
		}
	}
	return "(" + strings.Join(out, " AND ") + ")"
}

// behind is the condition that a row comes behind a key, NULL first. It is a list
// of ranges of the columns, which an index can serve; row comparisons it cannot.
func (r *chunkReader) behind(key []keyValue) string {
	return r.ranges(key, func(k *keyColumn, v keyValue, _ bool) string {
		if v.exact == nil {
			return k.name + " IS NOT NULL"
		}
		return k.name + " > " + k.literal(v)
	})
}

// upTo is the condition that a row comes before a key or has it.
func (r *chunkReader) upTo(key []keyValue) string {
	return r.ranges(key, func(k *keyColumn, v keyValue, last bool) string {
		op := " < "
		switch {
		case v.exact == nil && last:
			return k.name + " IS NULL"
		case v.exact == nil:
			return "" // nothing comes before NULL
		case last:
			op = " <= "
		}
		if k.nullable {
			return "(" + k.name + " IS NULL OR " + k.name + op + k.literal(v) + ")"
		}
		return k.name + op + k.literal(v)
	})
}

// ranges joins a condition on each column for the rows that have the key's values
// in the columns before it.
func (r *chunkReader) ranges(key []keyValue, of func(k *keyColumn, v keyValue, last bool) string) string {
	var or []string
	for i, v := range key {
		part := of(&r.keys[i], v, i == len(key)-1)
		if part != "" && i > 0 {
			part = r.equal(key, i) + " AND " + part
		}
		if part != "" {
			or = append(or, part)
		}
	}
	if len(or) == 0 {
		return "FALSE"
	}
	return "(" + strings.Join(or, " OR ") + ")"
}

// Emit implements capture.ChunkReader.
func (r *chunkReader) Emit(ctx context.Context, rows [][]byte) error {
	s, tb := r.s, r.tb
	for _, line := range rows {
		var err error
		if r.fields, err = unpackRow(r.fields[:0], line); err != nil {
			return err
		}
		// skipped.operations has no say here: who signals for rows gets them, as in Debezium.
		b := s.batch()
		row, fails := tb.rows.Texts(b, r.fields)
		if fails != nil {
			if err := s.failed(tb, fails); err != nil {
				return err
			}
		}
		tb.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: s.now.UnixNano(), Source: s.incrementalSource(b, &tb.src)})
		if s.full() {
			if err := s.send(ctx); err != nil {
				return err
			}
		}
	}
	if m := s.t.metrics; m != nil {
		m.SnapshotRows(tb.name).Add(float64(len(rows)))
	}
	return nil
}

// incrementalSource is the source block of a row of an incremental snapshot: the
// place where it is emitted and the time of now.
func (s *session) incrementalSource(b *record.Batch, t *template) record.Cell {
	us, gtid := s.src.tsUs, s.src.gtid
	s.src.tsUs = s.now.UnixMicro()
	if gtid == "" && s.lastGTID != "" {
		s.src.gtid = s.lastGTID
		s.src.moved()
	}
	c := s.src.cell(b, t, 0, b.StringCell("incremental"))
	if s.src.tsUs = us; s.src.gtid != gtid {
		s.src.gtid = gtid
		s.src.moved()
	}
	return c
}
