package ddl

import (
	"slices"
	"strings"
)

var typeList = strings.Fields(`TINYINT SMALLINT MEDIUMINT MIDDLEINT INT INT1 INT2 INT3 INT4 INT8 INTEGER BIGINT SERIAL BOOL BOOLEAN BIT FLOAT FLOAT4 FLOAT8 DOUBLE REAL
DECIMAL DEC NUMERIC FIXED CHAR CHARACTER VARCHAR VARCHARACTER NCHAR NVARCHAR NATIONAL TINYTEXT TEXT MEDIUMTEXT LONGTEXT LONG TINYBLOB BLOB MEDIUMBLOB LONGBLOB
BINARY VARBINARY DATE TIME DATETIME TIMESTAMP YEAR ENUM SET JSON GEOMETRY POINT LINESTRING POLYGON MULTIPOINT MULTILINESTRING MULTIPOLYGON GEOMETRYCOLLECTION
GEOMCOLLECTION VECTOR UUID INET4 INET6 XMLTYPE NUMBER RAW CLOB VARCHAR2`)

func isTypeWord(s string) bool {
	up := strings.ToUpper(s)
	for _, t := range typeList {
		if t == up {
			return true
		}
	}
	return false
}

// hasLength reports whether a type word is usually followed by "(…)".
func hasLength(s string) bool {
	switch strings.ToUpper(s) {
	case "DATE", "JSON", "BOOL", "BOOLEAN", "SERIAL", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "UUID":
		return false
	}
	return isTypeWord(s)
}

func (p *parser) column() Column {
	c := Column{Name: p.ident(), Length: -1, Scale: -1}
	p.columnType(&c)
	for !p.end() {
		t := p.peek()
		if t.is(",") || t.is(")") || t.is("FIRST") || t.is("AFTER") {
			break
		}
		p.attribute(&c)
	}
	return c
}

func (p *parser) columnType(c *Column) {
	first := p.next()
	if first.kind != tokWord {
		p.lost = true
		return
	}
	words := []string{strings.ToUpper(first.text)}
	switch words[0] {
	case "DOUBLE":
		if p.take("PRECISION") {
			words = append(words, "PRECISION")
		}
	case "LONG", "NATIONAL", "NCHAR", "CHAR", "CHARACTER":
		for p.peek().kind == tokWord {
			w := strings.ToUpper(p.peek().text)
			if w != "VARYING" && w != "VARCHAR" && w != "VARBINARY" && w != "CHAR" && w != "CHARACTER" || w == "CHARACTER" && p.peekAt(1).is("SET") {
				break
			}
			words = append(words, w)
			p.at++
		}
	}
	if p.peek().is("(") {
		if words[0] == "ENUM" || words[0] == "SET" {
			p.labels(c)
		} else {
			args := strings.Split(p.skipParens(), ",")
			c.Length = number(strings.TrimSpace(args[0]))
			if len(args) > 1 {
				c.Scale = number(strings.TrimSpace(args[1]))
			}
		}
	}
	for {
		w := strings.ToUpper(p.peek().text)
		if p.peek().kind != tokWord || w != "UNSIGNED" && w != "SIGNED" && w != "ZEROFILL" && (w != "BINARY" || !isText(words)) {
			break
		}
		p.at++
		if w == "BINARY" {
			c.Binary = true
		}
		words = append(words, w)
	}
	if words[len(words)-1] == "ZEROFILL" && !slices.Contains(words, "UNSIGNED") { // it implies UNSIGNED
		words = append(words[:len(words)-1], "UNSIGNED", "ZEROFILL")
	}
	c.Type = strings.Join(words, " ")
	if words[0] == "SERIAL" {
		c.Type, c.NotNull, c.AutoIncrement, c.Unique = "BIGINT UNSIGNED", true, true, true
	}
}

func isText(words []string) bool {
	switch words[0] {
	case "CHAR", "CHARACTER", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "NCHAR", "NVARCHAR", "NATIONAL", "LONG", "ENUM", "SET":
		return true
	}
	return false
}

func (p *parser) labels(c *Column) {
	p.at++ // (
	for !p.end() {
		t := p.next()
		switch {
		case t.is(")"):
			return
		case t.kind == tokNumber: // x'…' and b'…', which the reference keeps as they are written
			c.Labels = append(c.Labels, t.text)
			c.RawLabels = append(c.RawLabels, t.text)
		case t.kind == tokString:
			c.Labels = append(c.Labels, t.text)
			c.RawLabels = append(c.RawLabels, p.rawString(t))
		}
	}
	p.lost = true
}

// attribute reads one column attribute; unknown words are passed.
func (p *parser) attribute(c *Column) {
	switch {
	case p.take("NOT", "NULL"):
		c.NotNull = true
	case p.take("NULL"):
		c.Null = true
	case p.take("DEFAULT"):
		p.defaultValue(c)
		if p.mariaDB && p.take("ON", "UPDATE") { // to the reference it is part of the default there
			p.now()
		}
	case p.take("SERIAL", "DEFAULT", "VALUE"):
		c.NotNull, c.AutoIncrement, c.Unique = true, true, true
	case p.take("AUTO_INCREMENT"):
		c.AutoIncrement = true
	case p.take("ON", "UPDATE"):
		c.OnUpdate = true
		p.now()
	case p.take("PRIMARY"):
		p.take("KEY")
		c.PrimaryKey = true
	case p.take("UNIQUE"):
		p.take("KEY")
		c.Unique = true
	case p.take("KEY"):
		c.PrimaryKey = true
	case p.take("COMMENT"):
		text := p.stringText(p.next())
		c.Comment = &text
	case p.take("CHARACTER", "SET"), p.take("CHARSET"):
		c.Charset = strings.ToLower(p.ident())
	case p.take("ASCII"):
		c.Charset = "latin1"
	case p.take("UNICODE"):
		c.Charset = "ucs2"
	case p.take("BINARY"):
		c.Binary = true
	case p.take("COLLATE"):
		c.Collate = strings.ToLower(p.ident())
	case p.take("GENERATED", "ALWAYS"), p.peek().is("AS") && p.peekAt(1).is("("):
		p.take("AS")
		c.Generated = true
		if p.peek().is("(") {
			p.skipParens()
		}
	case p.take("INVISIBLE"):
		c.Hidden = true
	case p.peek().is("("):
		p.skipParens()
	default:
		p.at++
	}
}

func (p *parser) defaultValue(c *Column) {
	c.HasDefault, c.Default, c.DefaultQuoted, c.DefaultExpr, c.DefaultHex = true, nil, false, false, false
	t := p.next()
	set := func(s string) { c.Default = &s }
	switch {
	case t.is("NULL"):
	case t.is("("):
		p.at--
		c.DefaultExpr = true
		set(p.skipParens())
	case t.kind == tokString:
		c.DefaultQuoted = true
		text := p.rawString(t)
		for p.peek().kind == tokString { // 'a' 'b' is one literal, of which the reference makes a''b
			text += p.rawString(p.next())
		}
		if text[0] == '\'' || text[0] == '"' { // it keeps N'…' as it is written
			text = text[1 : len(text)-1]
		}
		set(text)
	case t.is("-") || t.is("+"):
		set(t.text + p.next().text)
	case t.kind == tokWord && strings.HasPrefix(t.text, "_") && p.peek().kind != tokEnd: // charset introducer
		c.DefaultQuoted = p.peek().kind == tokString
		set(hexDigits(p.next().text))
	default:
		from := t.from
		to := t.to
		if p.peek().is("(") {
			p.skipParens()
			to = p.toks[p.at-1].to
			c.DefaultExpr = !isNow(t.text) // MariaDB: an expression needs no brackets
		}
		text := hexDigits(p.src[from:to])
		c.DefaultHex = len(text) < to-from
		set(text)
	}
}

// now passes CURRENT_TIMESTAMP and its synonyms.
func (p *parser) now() {
	p.at++
	if p.peek().is("(") {
		p.skipParens()
	}
}

// stringText is the text of a string as the reference keeps it. On MySQL single quotes
// within double ones are doubled, since it writes the string in single ones; doubled
// double quotes stay doubled.
func (p *parser) stringText(t token) string {
	if p.src[t.from] == '"' && !p.mariaDB {
		return strings.ReplaceAll(t.text, "'", "''")
	}
	return t.text
}

// rawString is a string with its quotes, on MySQL single ones.
func (p *parser) rawString(t token) string {
	if p.src[t.from] == '"' && !p.mariaDB {
		return "'" + p.stringText(t) + "'"
	}
	return p.src[t.from:t.to]
}

// isNow reports whether a function is a synonym of CURRENT_TIMESTAMP.
func isNow(name string) bool {
	switch strings.ToUpper(name) {
	case "CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP":
		return true
	}
	return false
}

// hexDigits takes the digits out of x'…' and b'…': the reference keeps them as text. It
// takes 0x… and 0b… for the same form and so loses the last digit.
func hexDigits(s string) string {
	if len(s) <= 2 {
		return s
	}
	switch s[:2] {
	case "0x", "0X", "0b", "0B":
		return s[2 : len(s)-1]
	case "x'", "X'", "b'", "B'":
		return strings.TrimSuffix(s[2:], "'")
	}
	return s
}
