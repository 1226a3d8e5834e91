package schemahistory

import (
	"slices"
	"strings"

	"millrace/schemahistory/ddl"
)

// java.sql.Types as the reference records them per type word.
var jdbcTypes = map[string]int{
	"TINYINT": 5, "INT1": 5, "SMALLINT": 5, "INT2": 5, "MEDIUMINT": 4, "INT3": 4, "MIDDLEINT": 4, "INT": 4, "INT4": 4, "INTEGER": 4,
	"BIGINT": -5, "INT8": -5, "SERIAL": -5, "BOOL": 16, "BOOLEAN": 16, "BIT": -7, "FLOAT": 6, "FLOAT4": 6, "FLOAT8": 8, "DOUBLE": 8, "REAL": 7,
	"DECIMAL": 3, "DEC": 3, "FIXED": 3, "NUMERIC": 2, "CHAR": 1, "CHARACTER": 1, "VARCHAR": 12, "VARCHARACTER": 12,
	"TINYTEXT": 12, "TEXT": 12, "MEDIUMTEXT": 12, "LONGTEXT": 12, "LONG": 12, "NCHAR": -15, "NATIONAL": -15, "NVARCHAR": -9,
	"BINARY": -2, "VARBINARY": -3, "TINYBLOB": 2004, "BLOB": 2004, "MEDIUMBLOB": 2004, "LONGBLOB": 2004,
	"DATE": 91, "TIME": 92, "DATETIME": 93, "TIMESTAMP": 2014, "YEAR": 4, "ENUM": 1, "SET": 1, "JSON": 1111, "UUID": 1111, "VECTOR": 1111,
}

// jdbcType is the number the reference records for a type, by its words.
func jdbcType(name string) int {
	words := strings.Fields(name)
	if len(words) == 0 {
		return 1111
	}
	if len(words) > 1 {
		switch {
		case slices.Contains(words[1:], "VARCHAR") || slices.Contains(words[1:], "VARYING"):
			if words[0] == "NCHAR" || words[0] == "NATIONAL" {
				return -9
			}
			return 12
		case words[1] == "VARBINARY":
			return 2004
		}
	}
	if t, ok := jdbcTypes[words[0]]; ok {
		return t
	}
	return 1111
}

func isTextType(name string) bool {
	switch word, rest, _ := strings.Cut(name, " "); word {
	case "CHAR", "CHARACTER", "VARCHAR", "VARCHARACTER", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "NCHAR", "NATIONAL", "NVARCHAR", "ENUM", "SET":
		return true
	case "LONG":
		return rest != "VARBINARY"
	}
	return false
}

// charsetOf takes the character set of a collation: the text before its first "_".
func charsetOf(collation string) string {
	cs, _, _ := strings.Cut(collation, "_")
	return cs
}

// columnOf makes the model's column of a definition. charset is the table's default.
func columnOf(d *ddl.Column, charset string) Column {
	c := Column{Name: d.Name, TypeName: d.Type, JDBCType: jdbcType(d.Type), Length: d.Length, Scale: d.Scale,
		Optional: !d.NotNull && !d.PrimaryKey, AutoIncremented: d.AutoIncrement || d.OnUpdate, Generated: d.AutoIncrement || d.OnUpdate, Labels: d.RawLabels}
	c.Comment = d.Comment
	word, _, _ := strings.Cut(d.Type, " ")
	if c.Length == 0 && word != "DATETIME" && word != "TIMESTAMP" && word != "TIME" {
		c.Length = 10 // as recorded: (0) counts as no length
	}
	switch word {
	case "NCHAR", "NATIONAL":
		if c.Length < 0 {
			c.Length = 1
		}
	case "DECIMAL", "NUMERIC", "DEC", "FIXED":
		if c.Length < 0 {
			c.Length = 10
		}
		if c.Scale < 0 {
			c.Scale = 0
		}
	case "BIT":
		if c.Length < 0 {
			c.Length = 1
		}
	case "ENUM":
		c.Length = 1
	case "SET":
		// As wide as the longest value: the labels and the commas between them.
		c.Length = max(0, 2*len(d.Labels)-1)
	}
	if isTextType(d.Type) {
		switch {
		case word == "NCHAR" || word == "NATIONAL" || word == "NVARCHAR":
			c.Charset = "utf8"
		case d.Charset != "":
			c.Charset = d.Charset
		case strings.Contains(d.Collate, "_"): // not binary
			c.Charset = charsetOf(d.Collate)
		default:
			c.Charset = charset
		}
	}
	setDefault(&c, d)
	return c
}

// setDefault records DEFAULT by the reference's rules: a nullable column without a
// clause counts as DEFAULT NULL, an expression as none.
func setDefault(c *Column, d *ddl.Column) {
	c.HasDefault, c.Default = false, nil
	switch {
	case d.HasDefault && d.DefaultExpr:
	case d.HasDefault:
		c.HasDefault, c.Default = true, d.Default
		if d.Default != nil && !d.DefaultQuoted && isNow(*d.Default) {
			epoch := EpochDefault
			c.Default = &epoch
		}
	case c.Optional:
		c.HasDefault = true
	}
}

// alterDefault is ALTER COLUMN … SET DEFAULT and DROP DEFAULT. Of NULL, and of bit and
// hexadecimal literals, the reference keeps the word null, which then is the default of
// a text column, and NULLs print as it; here it is kept where it means nothing.
func (c *Column) alterDefault(a *ddl.Action) {
	d := &a.Column
	c.HasDefault, c.Default = c.Optional, nil
	switch {
	case a.Verb != ddl.SetDefault:
	case d.DefaultExpr:
		c.HasDefault = true
	case d.Default != nil && !d.DefaultHex:
		c.HasDefault, c.Default = true, d.Default
	default:
		c.HasDefault = true
		if word := "null"; isNumber(c.JDBCType) || c.JDBCType >= 91 && c.JDBCType <= 93 || c.JDBCType == 2014 {
			c.Default = &word
		}
	}
}

// isNumber reports whether values of a type of java.sql.Types are numbers.
func isNumber(jdbcType int) bool {
	return jdbcType == -5 || jdbcType >= 2 && jdbcType <= 8
}

// EpochDefault is what the model keeps for DEFAULT CURRENT_TIMESTAMP.
const EpochDefault = "1970-01-01 00:00:00"

func isNow(s string) bool {
	word, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(s)), "(")
	switch strings.TrimSpace(word) {
	case "CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP":
		return true
	}
	return false
}
