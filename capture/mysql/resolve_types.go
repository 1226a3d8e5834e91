package mysql

import (
	"strconv"
	"strings"

	"millrace/decode/binlog"
	"millrace/schemahistory"
)

// wireTypes are the types by which the log carries a column type. What is not listed
// is not judged.
var wireTypes = map[string][]byte{
	"BIT": {binlog.TypeBit}, "TINYINT": {binlog.TypeTiny}, "INT1": {binlog.TypeTiny}, "BOOL": {binlog.TypeTiny}, "BOOLEAN": {binlog.TypeTiny},
	"SMALLINT": {binlog.TypeShort}, "INT2": {binlog.TypeShort}, "MEDIUMINT": {binlog.TypeInt24}, "INT3": {binlog.TypeInt24}, "MIDDLEINT": {binlog.TypeInt24},
	"INT": {binlog.TypeLong}, "INTEGER": {binlog.TypeLong}, "INT4": {binlog.TypeLong}, "BIGINT": {binlog.TypeLongLong}, "INT8": {binlog.TypeLongLong}, "SERIAL": {binlog.TypeLongLong},
	"DECIMAL": {binlog.TypeNewDecimal, binlog.TypeDecimal}, "NUMERIC": {binlog.TypeNewDecimal, binlog.TypeDecimal}, "DEC": {binlog.TypeNewDecimal, binlog.TypeDecimal}, "FIXED": {binlog.TypeNewDecimal, binlog.TypeDecimal},
	"YEAR": {binlog.TypeYear}, "DATE": {binlog.TypeDate, binlog.TypeNewDate}, "TIME": {binlog.TypeTime2, binlog.TypeTime},
	"DATETIME": {binlog.TypeDateTime2, binlog.TypeDateTime}, "TIMESTAMP": {binlog.TypeTimestamp2, binlog.TypeTimestamp},
	"FLOAT": floats, "FLOAT4": floats, "FLOAT8": floats, "DOUBLE": floats, "REAL": floats,
	"ENUM": {binlog.TypeEnum}, "SET": {binlog.TypeSet},
	"CHAR": strs, "CHARACTER": strs, "VARCHAR": strs, "VARCHARACTER": strs, "NCHAR": strs, "NVARCHAR": strs, "NATIONAL": strs, "LONG": strs,
	"TINYTEXT": strs, "TEXT": strs, "MEDIUMTEXT": strs, "LONGTEXT": strs, "BINARY": strs, "VARBINARY": strs, "TINYBLOB": strs, "BLOB": strs, "MEDIUMBLOB": strs, "LONGBLOB": strs,
}

var (
	floats = []byte{binlog.TypeFloat, binlog.TypeDouble}
	strs   = []byte{binlog.TypeString, binlog.TypeVarchar, binlog.TypeVarString, binlog.TypeVarcharCompressed, binlog.TypeBlob, binlog.TypeBlobCompressed,
		binlog.TypeTinyBlob, binlog.TypeMediumBlob, binlog.TypeLongBlob}
)

func wireBase(c *schemahistory.Column) string {
	base, _, _ := strings.Cut(strings.ToUpper(c.TypeName), " ")
	return base
}

// carries reports whether the log can carry a column by a wire type.
func carries(c *schemahistory.Column, w *binlog.WireColumn) bool {
	types := wireTypes[wireBase(c)]
	return types == nil || strings.IndexByte(string(types), w.Type) >= 0
}

// exactly is carries with what else the log tells: whether it is null, how long it is.
func exactly(c *schemahistory.Column, w *binlog.WireColumn) bool {
	if !carries(c, w) || c.Optional != w.Nullable {
		return false
	}
	switch base := wireBase(c); base {
	case "CHAR", "CHARACTER", "NCHAR", "BINARY":
		return w.Type == binlog.TypeString
	case "VARCHAR", "VARCHARACTER", "NVARCHAR", "VARBINARY":
		return (w.Type == binlog.TypeVarchar || w.Type == binlog.TypeVarString || w.Type == binlog.TypeVarcharCompressed) &&
			(c.Length <= 0 || int(w.Meta)%c.Length == 0 && int(w.Meta)/c.Length <= 4) // bytes, so up to four for each character
	case "TINYTEXT", "TINYBLOB":
		return w.Meta == 1
	case "TEXT", "BLOB":
		return w.Meta == 2 && w.Type != binlog.TypeString
	case "MEDIUMTEXT", "MEDIUMBLOB":
		return w.Meta == 3 && w.Type != binlog.TypeString
	case "LONGTEXT", "LONGBLOB":
		return w.Meta == 4 && w.Type != binlog.TypeString
	case "DECIMAL", "NUMERIC", "DEC", "FIXED":
		return int(w.Meta>>8) == c.Length && int(w.Meta&0xff) == max(0, c.Scale)
	case "TIME", "DATETIME", "TIMESTAMP":
		return int(w.Meta) == max(0, c.Length)
	case "JSON":
		return w.Type == binlog.TypeJSON || w.Type == binlog.TypeBlob && w.Meta == 4
	case "VECTOR":
		return w.Type == binlog.TypeVector
	case "POINT", "GEOMETRY", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION", "GEOMCOLLECTION":
		return w.Type == binlog.TypeGeometry
	}
	return true
}

const binaryCollation = 63

var numberNames = map[byte]string{binlog.TypeTiny: "TINYINT", binlog.TypeShort: "SMALLINT", binlog.TypeInt24: "MEDIUMINT", binlog.TypeLong: "INT",
	binlog.TypeLongLong: "BIGINT", binlog.TypeFloat: "FLOAT", binlog.TypeDouble: "DOUBLE"}

// columnOfLog describes a column by what the log says of it.
func columnOfLog(w *binlog.WireColumn, charsets map[int][2]string) schemahistory.Column {
	c := schemahistory.Column{Name: w.Name, Length: -1, Scale: -1, Optional: w.Nullable}
	cs, width := charsets[w.Charset][0], 1
	if n, err := strconv.Atoi(charsets[w.Charset][1]); err == nil && n > 0 {
		width = n
	}
	binary := w.Charset == binaryCollation || w.Charset == 0
	text := func(asText, asBinary string, length int) {
		if c.TypeName = asText; binary {
			c.TypeName = asBinary
		} else {
			c.Charset = cs
			length /= width
		}
		if length > 0 {
			c.Length = length
		}
	}
	number := func(name string) {
		if c.TypeName = name; w.Unsigned {
			c.TypeName += " UNSIGNED"
		}
	}
	fraction := func(name string) {
		if c.TypeName = name; w.Meta > 0 {
			c.Length = int(w.Meta)
		}
	}
	switch w.Type {
	case binlog.TypeTiny, binlog.TypeShort, binlog.TypeInt24, binlog.TypeLong, binlog.TypeLongLong, binlog.TypeFloat, binlog.TypeDouble:
		number(numberNames[w.Type])
	case binlog.TypeNewDecimal:
		number("DECIMAL")
		c.Length, c.Scale = int(w.Meta>>8), int(w.Meta&0xff)
	case binlog.TypeYear:
		c.TypeName = "YEAR"
	case binlog.TypeDate, binlog.TypeNewDate:
		c.TypeName = "DATE"
	case binlog.TypeTime, binlog.TypeTime2:
		fraction("TIME")
	case binlog.TypeDateTime, binlog.TypeDateTime2:
		fraction("DATETIME")
	case binlog.TypeTimestamp, binlog.TypeTimestamp2:
		fraction("TIMESTAMP")
	case binlog.TypeBit:
		c.TypeName, c.Length = "BIT", int(w.Meta>>8)*8+int(w.Meta&0xff)
	case binlog.TypeEnum, binlog.TypeSet:
		c.TypeName, c.Charset = "ENUM", cs
		if w.Type == binlog.TypeSet {
			c.TypeName = "SET"
		}
		for _, l := range w.Labels {
			c.Labels = append(c.Labels, "'"+strings.ReplaceAll(strings.ReplaceAll(l, `\`, `\\`), "'", "''")+"'")
		}
	case binlog.TypeJSON:
		c.TypeName = "JSON"
	case binlog.TypeGeometry:
		c.TypeName = "GEOMETRY"
	case binlog.TypeVector:
		c.TypeName = "VECTOR"
	case binlog.TypeString:
		text("CHAR", "BINARY", int(w.Meta))
	case binlog.TypeVarchar, binlog.TypeVarString, binlog.TypeVarcharCompressed:
		text("VARCHAR", "VARBINARY", int(w.Meta))
	default:
		size := map[uint16]string{1: "TINY", 3: "MEDIUM", 4: "LONG"}[w.Meta]
		text(size+"TEXT", size+"BLOB", 0)
	}
	m := schemahistory.NewModel() // knows what else belongs to such a column
	m.Apply("d", describe(&schemahistory.Table{ID: logTable, Columns: []schemahistory.Column{c}}))
	if t := m.Table(logTable); t != nil && len(t.Columns) == 1 {
		return t.Columns[0]
	}
	return c
}

var logTable = schemahistory.TableID{DB: "d", Name: "t"}
