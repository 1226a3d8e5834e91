package sqlsink

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace/internal/errs"
)

// pgSpell spells PostgreSQL's names and types. The types are those that Debezium's
// sink makes, as its recordings show, except where those lose values: a decimal of
// scale 0 or below gets scale 0 instead of -1, and a decimal of variable scale
// becomes numeric instead of double precision.
type pgSpell struct {
	keepCase bool
	plain    bool   // the types of Confluent's sink
	postgis  string // schema of PostGIS when it is installed, else ""
	vector   bool   // pgvector is there
	citext   bool   // the extension is installed
}

// nameBytes is how long a name of PostgreSQL is at most; the server cuts off the rest.
const nameBytes = 63

// fold gives a column its name: in lower case, as Debezium spells it.
func (s *pgSpell) fold(name string) string {
	if !s.keepCase {
		name = strings.ToLower(name)
	}
	return cutName(name)
}

// tableName gives a table or schema the name that the server makes of it unquoted: only
// ASCII letters are folded.
func (s *pgSpell) tableName(name string) string {
	if !s.keepCase {
		name = asciiLower(name)
	}
	return cutName(name)
}

func cutName(name string) string {
	if len(name) <= nameBytes {
		return name
	}
	cut := nameBytes
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func (s *pgSpell) quote(name string) string { return pgQuote(name) }

func pgQuote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (s *pgSpell) columnType(c *column) (string, error) {
	if t := pgPlain[c.sem.kind]; s.plain && t != "" {
		return t, nil
	}
	if t := pgSerial[c.sem.srcType]; t == c.sem.kind && t != kindNone && c.required() {
		return strings.ToLower(c.sem.srcType), nil
	}
	return s.typeOf(&c.sem)
}

// pgSerial are the types with a sequence; their columns cannot hold null.
var pgSerial = map[string]kind{"SMALLSERIAL": kindInt16, "SERIAL": kindInt32, "BIGSERIAL": kindInt64}

// Types of a PostgreSQL source that text values can be cast to.
var pgSourceTypes = map[string]string{
	"INET": "inet", "CIDR": "cidr", "MACADDR": "macaddr", "INT4RANGE": "int4range", "INT8RANGE": "int8range",
	"NUMRANGE": "numrange", "TSRANGE": "tsrange", "TSTZRANGE": "tstzrange", "DATERANGE": "daterange", "MONEY": "money",
}

func (s *pgSpell) typeOf(m *sem) (string, error) {
	switch m.kind {
	case kindInt8, kindInt16:
		return "smallint", nil
	case kindInt32, kindYear:
		return "integer", nil
	case kindInt64:
		if m.srcType == "OID" {
			return "oid", nil
		}
		return "bigint", nil
	case kindFloat32:
		return "real", nil
	case kindFloat64:
		return "double precision", nil
	case kindBool:
		if m.srcType == "BIT" {
			return "bit(1)", nil
		}
		return "boolean", nil
	case kindString:
		return s.text(m), nil
	case kindEnum, kindEnumSet, kindInterval:
		return "text", nil
	case kindBytes:
		return "bytea", nil
	case kindDecimal:
		precision := m.precision - min(0, m.scale)
		if m.precision == 0 {
			precision = 38
		}
		if precision > 1000 || m.scale > precision { // numeric(5,-2) of PostgreSQL is scale 2046 to Debezium
			return "numeric", nil
		}
		return fmt.Sprintf("numeric(%d,%d)", precision, max(0, m.scale)), nil
	case kindVarDecimal:
		return "numeric", nil
	case kindDate:
		return "date", nil
	case kindTime:
		return fmt.Sprintf("time(%d)", m.fraction()), nil
	case kindZonedTime:
		return fmt.Sprintf("time(%d) with time zone", m.fraction()), nil
	case kindTimestamp:
		return fmt.Sprintf("timestamp(%d)", m.fraction()), nil
	case kindZonedTimestamp:
		return fmt.Sprintf("timestamp(%d) with time zone", m.fraction()), nil
	}
	return s.richType(m)
}

func (s *pgSpell) text(m *sem) string {
	if t := pgSourceTypes[m.srcType]; t != "" {
		return t
	}
	if m.srcType == "CITEXT" && s.citext {
		return "citext"
	}
	if m.srcLen > 0 && m.srcLen <= 10485760 {
		switch m.srcType {
		case "BPCHAR", "CHAR", "NCHAR":
			return "char(" + strconv.Itoa(m.srcLen) + ")"
		case "VARCHAR", "NVARCHAR", "VARCHAR2":
			return "varchar(" + strconv.Itoa(m.srcLen) + ")"
		}
	}
	return "text"
}

// richType is typeOf for what is more than a number, a text or a time.
func (s *pgSpell) richType(m *sem) (string, error) {
	switch m.kind {
	case kindDuration:
		return "interval", nil
	case kindJSON:
		if m.srcType == "JSONB" {
			return "jsonb", nil
		}
		return "json", nil
	case kindUUID:
		return "uuid", nil
	case kindXML:
		return "xml", nil
	case kindLtree:
		return "ltree", nil
	case kindTSVector:
		return "tsvector", nil
	case kindBits:
		if m.bits == 0 || m.srcType == "VARBIT" {
			return "bit varying", nil
		}
		return "bit(" + strconv.Itoa(m.bits) + ")", nil
	case kindPoint:
		if m.srcType == "POINT" || s.postgis == "" {
			return "point", nil
		}
		return pgQuote(s.postgis) + ".geometry", nil
	case kindGeometry, kindGeography:
		name := map[kind]string{kindGeometry: "geometry", kindGeography: "geography"}[m.kind]
		if s.postgis == "" {
			return "bytea", nil // its EWKB, which PostGIS casts
		}
		return pgQuote(s.postgis) + "." + name, nil
	case kindVector, kindHalfVector:
		if !s.vector {
			return "json", nil // the text of a vector is that of an array, too
		}
		if m.kind == kindHalfVector {
			return "halfvec", nil
		}
		return "vector", nil
	case kindSparseVector:
		if !s.vector {
			return "text", nil
		}
		return "sparsevec", nil
	case kindMap:
		return "hstore", nil
	case kindArray:
		t, err := s.typeOf(m.elem)
		if err != nil {
			return "", err
		}
		return t + "[]", nil
	}
	return "", &errs.Error{Msg: "there is no column type for the value"}
}

func (s *pgSpell) defaultValue(c *column) (string, bool) {
	d := c.schema.Default
	if d.Root.IsNull() || c.sem.kind == kindBits { // Debezium gives bit strings none
		return "", false
	}
	e := pgEncoder{}
	text, err := e.raw(nil, &c.sem, c.schema, d.Batch(), d.Root)
	if err != nil {
		return "", false
	}
	switch c.sem.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindFloat32, kindFloat64, kindDecimal:
		if strings.Trim(string(text), "-+.eE0123456789") == "" { // not NaN or infinity
			return string(text), true
		}
	}
	return "'" + strings.ReplaceAll(string(text), "'", "''") + "'", true
}

func (s *pgSpell) addColumns(table string, defs []string) []string {
	return []string{"ALTER TABLE " + table + " ADD COLUMN " + strings.Join(defs, ", ADD COLUMN ")}
}
