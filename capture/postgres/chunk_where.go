package postgres

import (
	"slices"
	"strconv"
	"strings"
)

// names lists the key columns for ORDER BY.
func (r *chunkReader) names(order string) string {
	out := make([]string, len(r.key))
	for j, c := range r.key {
		out[j] = quoteIdent(r.st.meta.Columns[c].Name) + order
	}
	return strings.Join(out, ", ")
}

// where is the condition of the next chunk: behind the last key that was read, up
// to the greatest one. Rows without nulls are compared as rows, which an index
// can serve; nulls sort last.
func (r *chunkReader) where() string {
	if !r.nullable {
		cols := "(" + r.names("") + ")"
		if len(r.key) == 1 {
			cols = r.names("")
		}
		out := cols + " <= " + r.row(r.most)
		if r.last != nil {
			out = cols + " > " + r.row(r.last) + " AND " + out
		}
		return out
	}
	out := "NOT (" + r.greater(r.most) + ")"
	if r.last != nil {
		out = "(" + r.greater(r.last) + ") AND " + out
	}
	return out
}

// limit ends the query of a chunk. Rows with one key must not be cut apart, since
// the next chunk begins behind that key.
func (r *chunkReader) limit(n int) string {
	if r.ties {
		return " FETCH FIRST " + strconv.Itoa(n) + " ROWS WITH TIES"
	}
	return " LIMIT " + strconv.Itoa(n)
}

func (r *chunkReader) value(v []byte, j int) string { return quoteLiteral(string(v)) + r.casts[j] }

func (r *chunkReader) row(key [][]byte) string {
	out := make([]string, len(key))
	for j, v := range key {
		out[j] = r.value(v, j)
	}
	if len(out) == 1 {
		return out[0]
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// greater is the condition that a row comes behind key, null last, never unknown.
func (r *chunkReader) greater(key [][]byte) string {
	var or []string
	same := ""
	for j, v := range key {
		name := quoteIdent(r.st.meta.Columns[r.key[j]].Name)
		if v != nil {
			or = append(or, "("+same+"("+name+" IS NULL OR "+name+" > "+r.value(v, j)+"))")
			same += name + " IS NOT DISTINCT FROM " + r.value(v, j) + " AND "
		} else {
			same += name + " IS NULL AND "
		}
	}
	if len(or) == 0 {
		return "false"
	}
	return strings.Join(or, " OR ")
}

// keyOf copies the key columns of a row.
func keyOf(fields [][]byte, cols []int) [][]byte {
	out := make([][]byte, len(cols))
	for j, c := range cols {
		out[j] = slices.Clone(fields[c])
	}
	return out
}

// keyText makes one text of the key columns of a row; "" when one is missing or
// null.
func keyText(fields [][]byte, cols []int) string {
	var sb strings.Builder
	for _, c := range cols {
		if c >= len(fields) {
			return ""
		}
		if fields[c] == nil {
			return "" // several rows may have it
		}
		sb.Write(fields[c])
		sb.WriteString("\x00\x00")
	}
	return sb.String()
}

// and joins conditions; "" is none.
func and(conditions ...string) string {
	return strings.Join(slices.DeleteFunc(conditions, func(c string) bool { return c == "" }), " AND ")
}
