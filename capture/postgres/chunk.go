package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/capture"
	"millrace/decode/pgvalue"
	"millrace/emit"
	snappg "millrace/snapshot/postgres"
)

// chunkReader reads one table in chunks. It implements capture.ChunkReader.
type chunkReader struct {
	e        *incrementalEngine
	st       *snapshotTable
	filter   string // the signal's condition, in parentheses
	size     int
	cols     []string
	key      []int    // columns that chunks are ordered by
	dedup    []int    // columns that tell rows apart
	types    []string // names of the key's types below domains
	casts    []string
	nullable bool
	ties     bool // several rows may have one key: all of them come in one chunk
	split    snappg.Splitter

	most, last [][]byte // the greatest key; that of the last row that was read
}

// choose finds the columns that chunks are ordered by: the surrogate key, else the
// record's key. A status says why the table cannot be read.
func (r *chunkReader) choose(surrogate *string) (status string) {
	log, spec := r.e.s.log, &r.st.rows.Spec
	r.key = spec.Key
	if surrogate != nil {
		at := slices.IndexFunc(r.st.meta.Columns, func(c columnMeta) bool { return c.Name == *surrogate })
		if at < 0 {
			log.Warn("the surrogate key is no column of the table", "table", r.st.name, "column", *surrogate)
			return capture.ScanNoKey
		}
		r.key = []int{at}
	}
	if len(r.key) == 0 {
		log.Warn("a table without a key is left out of the incremental snapshot; the signal can name a surrogate-key", "table", r.st.name)
		return capture.ScanNoKey
	}
	// Rows that share a record key are different rows all the same.
	if r.dedup = r.st.primary; len(r.dedup) == 0 {
		r.dedup = spec.Key
	}
	if len(r.dedup) == 0 {
		r.dedup = r.key
	}
	r.ties = !slices.Equal(r.key, r.st.primary)
	return ""
}

// describe fills in the columns of the query and the types of the key.
func (r *chunkReader) describe() {
	cat, spec := r.e.s.t.cat, &r.st.rows.Spec
	all := len(spec.Columns)
	r.st.pick, r.st.fields = make([]int, all), make([][]byte, all)
	for c := range spec.Columns {
		r.st.pick[c] = -1
		if spec.InValue[c] || slices.Contains(r.key, c) || slices.Contains(r.dedup, c) || slices.Contains(spec.Key, c) {
			r.st.pick[c] = len(r.cols)
			r.cols = append(r.cols, spec.Columns[c].Name)
		}
	}
	r.st.columns = len(r.cols)
	text := &pgvalue.Type{Schema: "pg_catalog", Name: "text"}
	for _, c := range r.key {
		typ, root := cat.Type(spec.Columns[c].TypeOID), cat.Type(cat.root(spec.Columns[c].TypeOID))
		if typ == nil {
			typ = text
		}
		if root == nil {
			root = text
		}
		r.types = append(r.types, root.Name)
		r.casts = append(r.casts, "::"+quoteIdent(typ.Schema)+"."+quoteIdent(typ.Name))
		r.nullable = r.nullable || !spec.Columns[c].NotNull
	}
	r.ties = r.ties || r.nullable
}

// Bounds implements capture.ChunkReader.
func (r *chunkReader) Bounds() (key, most capture.Place) { return r.place(r.last), r.place(r.most) }

func (r *chunkReader) place(key [][]byte) capture.Place {
	if key == nil {
		return capture.Place{}
	}
	vals, texts := make([]any, len(key)), make([]string, len(key))
	for i, v := range key {
		if texts[i] = "<null>"; v != nil {
			vals[i], texts[i] = javaValue(r.types[i], string(v)), string(v)
		}
	}
	return capture.Place{Offset: capture.EncodeJavaKey(vals), Text: strings.Join(texts, ",")}
}

// javaValue is the value that the JDBC driver reads of a text, or the text itself.
func javaValue(typ, text string) any {
	switch typ {
	case "int2", "int4", "int8", "oid":
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
		case typ == "int2":
			return int16(n)
		case typ == "int4":
			return int32(n)
		default:
			return n
		}
	case "numeric":
		if strings.Trim(text, "-0123456789.") == "" { // not NaN or infinity
			return capture.JavaDecimal(text)
		}
	case "float4":
		if f, err := strconv.ParseFloat(text, 32); err == nil {
			return float32(f)
		}
	case "float8":
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	case "bool":
		return text == "t"
	case "bytea":
		if b, err := hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil {
			return b
		}
	case "uuid":
		if u, ok := javaUUID(text); ok {
			return u
		}
	case "date":
		if sec, _, ok := javaDateTime(time.DateOnly, text); ok {
			return capture.JavaSQLDate(sec)
		}
	case "timestamp":
		if sec, nano, ok := javaDateTime("2006-01-02 15:04:05.999999", text); ok {
			return capture.JavaTimestamp{Sec: sec, Nano: nano}
		}
	}
	return text
}

// parse reads a key of an offset; nil: it is not one of these columns.
func (r *chunkReader) parse(text string) [][]byte {
	if text == "" {
		return nil
	}
	vals, err := capture.DecodeJavaKey(text)
	if err != nil || len(vals) != len(r.key) {
		r.e.s.log.Warn("the key of an incremental snapshot in the stored offset cannot be read; its table is read from the start", "table", r.st.name, "error", err)
		return nil
	}
	out := make([][]byte, len(vals))
	for i, v := range vals {
		switch x := v.(type) {
		case nil:
		case []byte:
			out[i] = []byte(`\x` + hex.EncodeToString(x))
		case bool:
			out[i] = strconv.AppendBool(nil, x)
		default:
			out[i] = []byte(capture.JavaText(v))
		}
	}
	return out
}

// Max implements capture.ChunkReader.
func (r *chunkReader) Max(ctx context.Context) (capture.Place, bool, error) {
	r.most = nil
	sql := "SELECT " + r.names("") + " FROM " + quoteIdent(r.st.meta.Schema) + "." + quoteIdent(r.st.meta.Name)
	if r.filter != "" {
		sql += " WHERE " + r.filter
	}
	rows, err := exec(ctx, r.e.conn, sql+" ORDER BY "+r.names(" DESC")+" LIMIT 1")
	if err != nil {
		return capture.Place{}, false, refused(fmt.Errorf("read the greatest key of %s: %w", r.st.name, err))
	}
	if len(rows) == 1 {
		r.most = rows[0]
	}
	return r.place(r.most), r.most != nil, nil
}

// Chunk implements capture.ChunkReader.
func (r *chunkReader) Chunk(ctx context.Context, add func(identity string, row []byte)) (int, capture.Place, error) {
	exprs := make([]string, len(r.cols))
	for c, name := range r.cols {
		exprs[c] = snappg.Ident(name)
	}
	sql := snappg.Select(r.st.meta.Schema, r.st.meta.Name, exprs, and(r.filter, r.where())) + " ORDER BY " + r.names("") + r.limit(r.size)
	last := r.last
	n, err := snappg.Copy(ctx, r.e.conn, snappg.Query{SQL: sql}, func(line []byte) error {
		if err := r.place1(line); err != nil {
			return err
		}
		last = keyOf(r.st.fields, r.key)
		add(keyText(r.st.fields, r.dedup), line)
		return nil
	})
	if err != nil {
		return 0, capture.Place{}, refused(fmt.Errorf("read a chunk of %s: %w", r.st.name, err))
	}
	r.last = last
	return int(n), r.place(last), nil
}

// place1 splits a row into the columns of the table.
func (r *chunkReader) place1(line []byte) error {
	f, err := r.split.Split(line)
	if err != nil {
		return err
	}
	for c, from := range r.st.pick {
		if r.st.fields[c] = nil; from >= 0 {
			r.st.fields[c] = f[from]
		}
	}
	return nil
}

// Emit implements capture.ChunkReader.
func (r *chunkReader) Emit(ctx context.Context, rows [][]byte) error {
	s, st := r.e.s, r.st
	for _, line := range rows {
		if err := r.place1(line); err != nil {
			return err
		}
		b := s.batch()
		row, err := st.rows.DecodeTexts(b, st.fields)
		if err != nil {
			return st.fail(err, s.at.LSN)
		}
		if row.Failures != nil {
			s.warnFailures(&st.table, row.Failures)
		}
		st.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: s.now.UnixNano(), Source: s.incrementalSource(b, &st.src)})
		st.done++
		if s.full() {
			if err := s.send(ctx, s.meanwhile); err != nil {
				return err
			}
		}
	}
	st.count()
	return nil
}
