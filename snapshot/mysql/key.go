package mysql

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// KeyColumn is a column of the key that a table is read in the order of.
type KeyColumn struct {
	Name string
	Form Form
}

// Form is how a value of a column is written in a condition, so that the server
// compares it as it sorts the column.
type Form byte

// The forms.
const (
	Number Form = 'n' // as it is
	Text   Form = 't' // a text of utf8mb4, compared by the column's collation
	Plain  Form = 'p' // quoted: dates, times, addresses
	Bytes  Form = 'b' // bytes
)

// FormOf returns the form of a column type (upper case, without attributes); ok is
// false for types whose order is not that of their texts, such as ENUM and FLOAT.
func FormOf(base string) (f Form, ok bool) {
	switch base {
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT", "DECIMAL", "NUMERIC", "YEAR":
		return Number, true
	case "CHAR", "VARCHAR":
		return Text, true
	case "BINARY", "VARBINARY":
		return Bytes, true
	case "DATE", "DATETIME", "TIMESTAMP", "TIME", "UUID", "INET4", "INET6":
		return Plain, true
	}
	return 0, false
}

// append writes a value as a literal.
func (f Form) append(dst []byte, v string) []byte {
	switch f {
	case Number:
		for i := range len(v) {
			if c := v[i]; (c < '0' || c > '9') && c != '-' && c != '.' { // never so from a server
				return append(dst, "NULL"...)
			}
		}
		return append(dst, v...)
	case Text:
		dst = append(dst, "_utf8mb4 x'"...)
	case Plain:
		dst = append(append(dst, '\''), strings.ReplaceAll(strings.ReplaceAll(v, `\`, `\\`), "'", "''")...)
		return append(dst, '\'')
	default:
		dst = append(dst, "x'"...)
	}
	return append(hex.AppendEncode(dst, []byte(v)), '\'')
}

// Values are the key of a row, as the server prints it: any bytes.
type Values []string

// MarshalJSON writes values that are no text of JSON as hex behind a NUL.
func (v Values) MarshalJSON() ([]byte, error) {
	out := make([]string, len(v))
	for i, s := range v {
		if out[i] = s; !utf8.ValidString(s) || strings.HasPrefix(s, "\x00") {
			out[i] = "\x00" + hex.EncodeToString([]byte(s))
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Values) UnmarshalJSON(p []byte) error {
	var in []string
	if err := json.Unmarshal(p, &in); err != nil {
		return err
	}
	for i, s := range in {
		if h, ok := strings.CutPrefix(s, "\x00"); ok {
			b, err := hex.DecodeString(h)
			if err != nil {
				return err
			}
			in[i] = string(b)
		}
	}
	*v = in
	return nil
}

// Range is a part of a table: the rows whose keys are greater than From and not
// greater than To. Nil is no bound.
type Range struct {
	From Values `json:"from,omitempty"`
	To   Values `json:"to,omitempty"`
}

// Quote quotes a name.
func Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Source is what Select reads from.
type Source struct {
	DB, Table string
	Columns   []string
	Key       []KeyColumn // empty: in whatever order the server likes
}

func (s *Source) from() string {
	q := " FROM " + Quote(s.DB) + "." + Quote(s.Table)
	if len(s.Key) > 0 {
		q += " FORCE INDEX (PRIMARY)" // the order of the rows as they lie: nothing is sorted
	}
	return q
}

// Select makes the query of a range, in the order of the key if there is one.
func (s *Source) Select(r Range) string {
	return "SELECT " + list(s.Columns) + s.from() + s.where(r) + s.order()
}

// Boundary makes the query of the key that lies step rows behind from.
func (s *Source) Boundary(from Values, step int64) string {
	names := make([]string, len(s.Key))
	for i, k := range s.Key {
		names[i] = k.Name
	}
	return "SELECT " + list(names) + s.from() + s.where(Range{From: from}) + s.order() + " LIMIT 1 OFFSET " + strconv.FormatInt(step-1, 10)
}

func list(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = Quote(n)
	}
	return strings.Join(out, ", ")
}

func (s *Source) order() string {
	if len(s.Key) == 0 {
		return ""
	}
	names := make([]string, len(s.Key))
	for i, k := range s.Key {
		names[i] = k.Name
	}
	return " ORDER BY " + list(names)
}

func (s *Source) where(r Range) string {
	var all []string
	if r.From != nil {
		all = append(all, s.compare(r.From, " > ", " > "))
	}
	if r.To != nil {
		all = append(all, s.compare(r.To, " < ", " <= "))
	}
	if len(all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// compare writes a comparison of the whole key with the bounds in the form that
// every server reads a range of the index for: (a > 1) OR (a = 1 AND b > 2). The
// bound of the first column alone comes first, for the same reason.
func (s *Source) compare(v Values, op, last string) string {
	var sb []byte
	if len(v) > 1 {
		sb = append(sb, Quote(s.Key[0].Name)+op[:2]+"= "...)
		sb = append(s.Key[0].Form.append(sb, v[0]), " AND "...)
	}
	sb = append(sb, '(')
	for i := range v {
		if i > 0 {
			sb = append(sb, " OR "...)
		}
		sb = append(sb, '(')
		for j := range i + 1 {
			x := " = "
			if j == i {
				if x = op; i == len(v)-1 {
					x = last
				}
			}
			if j > 0 {
				sb = append(sb, " AND "...)
			}
			sb = append(sb, Quote(s.Key[j].Name)+x...)
			sb = s.Key[j].Form.append(sb, v[j])
		}
		sb = append(sb, ')')
	}
	return string(append(sb, ')'))
}

// The parts of SHOW CREATE TABLE that KeyOf looks at. Line ends within names and
// comments are escaped there.
var (
	primaryKey = regexp.MustCompile(`(?m)^ +PRIMARY KEY \((.*)\)`)
	keyPart    = regexp.MustCompile("`((?:[^`]|``)*)`(\\(\\d+\\))?( DESC)?(?:,|$|\\))")
	engine     = regexp.MustCompile(`(?m)^\) ENGINE=(\w+)`)
)

// PrimaryKey takes the columns of the primary key from the text of SHOW CREATE
// TABLE, if the table's rows lie in its order; nil: they do not, or there is none.
func PrimaryKey(create string) []string {
	e := engine.FindStringSubmatch(create)
	if e == nil || !strings.EqualFold(e[1], "InnoDB") && !strings.EqualFold(e[1], "ROCKSDB") {
		return nil
	}
	m := primaryKey.FindStringSubmatch(create)
	if m == nil {
		return nil
	}
	var out []string
	for _, p := range keyPart.FindAllStringSubmatch(m[1], -1) {
		if p[2] != "" || p[3] != "" { // part of a text, or downwards
			return nil
		}
		out = append(out, strings.ReplaceAll(p[1], "``", "`"))
	}
	return out
}
