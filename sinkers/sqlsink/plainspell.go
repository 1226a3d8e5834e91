package sqlsink

import "fmt"

// The column types that Confluent's and Aiven's JDBC sinks make, where they differ
// from Debezium's.

var pgPlain = map[kind]string{
	kindDecimal: "decimal", kindTime: "time", kindTimestamp: "timestamp", kindString: "text", kindBool: "boolean",
}

var sqlitePlain = map[kind]string{
	kindInt8: "integer", kindInt16: "integer", kindInt32: "integer", kindInt64: "integer", kindBool: "integer",
	kindFloat32: "real", kindFloat64: "real", kindString: "text", kindBytes: "blob",
	kindDate: "numeric", kindTime: "numeric", kindTimestamp: "numeric",
}

// myPlain differs from Confluent's in one place: a text key is varchar(255), since
// MySQL refuses a key of type text.
func myPlain(c *column) string {
	switch c.sem.kind {
	case kindBool:
		return "tinyint"
	case kindString:
		if c.key {
			return "varchar(255)"
		}
		return "text"
	case kindBytes:
		return "varbinary(1024)"
	case kindDecimal:
		return fmt.Sprintf("decimal(65,%d)", min(30, max(0, c.sem.scale)))
	case kindTime:
		return "time(3)"
	case kindTimestamp:
		return "datetime(3)"
	}
	return ""
}
