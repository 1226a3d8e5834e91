package sqlsink

import (
	"fmt"
	"strconv"
	"strings"
)

// mySpell spells MySQL's and MariaDB's names and types, as Debezium's sink makes
// them, except where it makes none that work: a time with zone becomes time(6) in
// UTC, an unsized bit string longtext, arrays and maps json.
type mySpell struct {
	keepCase bool
	maria    bool
	noVector bool // a server from before vectors (MySQL 9.0, MariaDB 11.7)
	plain    bool // the types of Confluent's sink
	rawSlash bool // sql_mode NO_BACKSLASH_ESCAPES: a backslash is itself
}

func (s *mySpell) fold(name string) string {
	if s.keepCase {
		return name
	}
	return strings.ToLower(name)
}

func (s *mySpell) quote(name string) string { return myQuote(name) }

func myQuote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (s *mySpell) columnType(c *column) (string, error) {
	m := &c.sem
	if t := myPlain(c); s.plain && t != "" {
		return t, nil
	}
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64:
		return myInteger(m), nil
	case kindFloat32:
		return "float", nil
	case kindFloat64:
		return "double", nil
	case kindBool:
		return "tinyint(1)", nil
	case kindString:
		return s.text(c), nil
	case kindUUID, kindXML, kindInterval, kindLtree, kindTSVector:
		if c.key {
			return "varchar(255)", nil
		}
		return "longtext", nil
	case kindEnum:
		return s.choice("enum", c), nil
	case kindEnumSet:
		return s.choice("set", c), nil
	case kindBytes:
		return myBytes(c), nil
	case kindDecimal:
		if m.srcType == "BIGINT UNSIGNED" && m.scale == 0 {
			return "bigint unsigned", nil
		}
		precision := m.precision - min(0, m.scale)
		if m.precision == 0 {
			precision = 38
		}
		if m.scale > precision { // numeric(5,-2) of PostgreSQL is scale 2046 to Debezium
			return "decimal(65,30)", nil
		}
		return fmt.Sprintf("decimal(%d,%d)", min(65, precision), min(30, max(0, m.scale))), nil
	case kindVarDecimal:
		return "decimal(65,30)", nil
	case kindDate:
		return "date", nil
	case kindTime, kindZonedTime:
		return "time(" + strconv.Itoa(m.fraction()) + ")", nil
	case kindTimestamp:
		return "datetime(" + strconv.Itoa(m.fraction()) + ")", nil
	case kindZonedTimestamp:
		return "timestamp(" + strconv.Itoa(m.fraction()) + ")", nil
	case kindDuration:
		return "bigint", nil
	case kindYear:
		return "year", nil
	case kindBits:
		if m.bits == 0 || m.bits > 64 {
			return "longtext", nil
		}
		return "bit(" + strconv.Itoa(m.bits) + ")", nil
	case kindPoint:
		return "point", nil
	case kindGeometry, kindGeography:
		return "geometry", nil
	case kindVector:
		if s.noVector {
			return "json", nil
		}
		return "vector(2048)", nil
	}
	return "json", nil // json, arrays, maps, sparse vectors
}

func myInteger(m *sem) string {
	switch m.kind {
	case kindInt8:
		return "tinyint"
	case kindInt16:
		switch {
		case m.srcType == "TINYINT" && m.srcLen == 1:
			return "tinyint(1)"
		case m.srcType == "TINYINT":
			return "tinyint"
		}
		return "smallint"
	case kindInt32:
		switch m.srcType {
		case "MEDIUMINT":
			return "mediumint"
		}
		return "int"
	}
	if m.srcType == "BIGINT UNSIGNED" {
		return "bigint unsigned"
	}
	return "bigint"
}

func (s *mySpell) text(c *column) string {
	m := &c.sem
	if m.srcLen > 0 {
		switch {
		case (m.srcType == "CHAR" || m.srcType == "BPCHAR" || m.srcType == "NCHAR") && m.srcLen <= 255:
			return "char(" + strconv.Itoa(m.srcLen) + ")"
		case (m.srcType == "VARCHAR" || m.srcType == "NVARCHAR") && !(c.key && m.srcLen > 255):
			return mySized("varchar", "text", 16383, m.srcLen)
		}
	}
	if c.key {
		return "varchar(255)"
	}
	return "longtext"
}

// mySized is the type for values of up to n characters or bytes: one with that length, or the
// large type that holds as many.
func mySized(word, large string, most, n int) string {
	switch {
	case n <= most:
		return word + "(" + strconv.Itoa(n) + ")"
	case n <= 1<<16-1:
		return large
	case n <= 1<<24-1:
		return "medium" + large
	}
	return "long" + large
}

func myBytes(c *column) string {
	m := &c.sem
	switch {
	case (m.srcType == "VARBINARY" || m.srcType == "BINARY") && m.srcLen > 0:
		return mySized("varbinary", "blob", 65535, m.srcLen) // as Debezium; binary would fill values up with zeros
	case m.srcType == "TINYBLOB" || m.srcType == "BLOB" || m.srcType == "MEDIUMBLOB":
		return strings.ToLower(m.srcType)
	case c.key:
		return "varbinary(255)"
	}
	return "longblob"
}

func (s *mySpell) choice(word string, c *column) string {
	if len(c.sem.allowed) == 0 {
		if c.key {
			return "varchar(255)"
		}
		return "longtext"
	}
	out := word + "("
	for i, v := range c.sem.allowed {
		if i > 0 {
			out += ","
		}
		out += string(s.literal(nil, []byte(v)))
	}
	return out + ")"
}

// literal appends a text as a string literal.
func (s *mySpell) literal(dst, text []byte) []byte {
	dst = append(dst, '\'')
	for _, c := range text {
		if c == '\'' || c == '\\' && !s.rawSlash {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '\'')
}

func (s *mySpell) defaultValue(c *column) (string, bool) {
	typ, err := s.columnType(c)
	if err != nil || c.schema.Default.Root.IsNull() {
		return "", false
	}
	for _, no := range []string{"text", "blob", "json", "geometry", "point"} { // these take no default
		if strings.HasSuffix(typ, no) {
			return "", false
		}
	}
	if strings.HasPrefix(typ, "vector") {
		return "", false
	}
	d := c.schema.Default
	e := myEncoder{spell: s}
	text, err := e.value(nil, &c.sem, c.schema, d.Batch(), d.Root, typ)
	return string(text), err == nil
}

func (s *mySpell) addColumns(table string, defs []string) []string {
	return []string{"ALTER TABLE " + table + " ADD COLUMN (" + strings.Join(defs, ", ") + ")"}
}
