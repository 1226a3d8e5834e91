package pgvalue

// ValueError says that one value could not be converted. It holds no part of the
// value, since values may be secret.
type ValueError struct {
	// Type names the PostgreSQL type.
	Type string
	// Reason says what is wrong and, where something helps, what to do.
	Reason string
	// Quiet: Debezium makes it null in a nullable column whatever
	// event.converting.failure.handling.mode says.
	Quiet bool
}

// Error implements error.
func (e *ValueError) Error() string { return "value of type " + e.Type + " " + e.Reason }

// The value errors are constants, so that a bad value costs no allocation.
var (
	errInt2        = &ValueError{Type: "int2", Reason: "is no 16-bit integer"}
	errInt4        = &ValueError{Type: "int4", Reason: "is no 32-bit integer"}
	errInt8        = &ValueError{Type: "int8", Reason: "is no 64-bit integer"}
	errOID         = &ValueError{Type: "oid", Reason: "is no unsigned 32-bit integer"}
	errFloat       = &ValueError{Type: "float", Reason: "is no floating point number"}
	errBool        = &ValueError{Type: "bool", Reason: "is neither t nor f"}
	errNumeric     = &ValueError{Type: "numeric", Reason: "is no decimal number"}
	errNumericNaN  = &ValueError{Type: "numeric", Reason: "is NaN or infinite, which decimal.handling.mode=precise cannot express; set it to string or double"}
	errNumericBig  = &ValueError{Type: "numeric", Reason: "has more digits behind the point than its column"}
	errMoney       = &ValueError{Type: "money", Reason: "is no amount that can be read; check lc_monetary"}
	errBits        = &ValueError{Type: "bit", Reason: "holds something else than 0 and 1"}
	errBitsEmpty   = &ValueError{Type: "varbit(1)", Reason: "is empty, which a boolean cannot express"}
	errBitArray    = &ValueError{Type: "bit[]", Reason: "has no Connect form"}
	errBytea       = &ValueError{Type: "bytea", Reason: "is not in hex format; set bytea_output to hex"}
	errDate        = &ValueError{Type: "date", Reason: "is no date"}
	errTime        = &ValueError{Type: "time", Reason: "is no time of day"}
	errTimeTZ      = &ValueError{Type: "timetz", Reason: "is no time of day with offset"}
	errTimestamp   = &ValueError{Type: "timestamp", Reason: "is no timestamp"}
	errTimestampTZ = &ValueError{Type: "timestamptz", Reason: "is no timestamp with offset"}
	errNanos       = &ValueError{Type: "timestamp", Reason: "is outside 1677-09-21 to 2262-04-11, which time.precision.mode=nanoseconds cannot express", Quiet: true}
	errInterval    = &ValueError{Type: "interval", Reason: "is infinite, or not in the style postgres; set IntervalStyle to postgres"}
	errPoint       = &ValueError{Type: "point", Reason: "is no point", Quiet: true}
	errGeometry    = &ValueError{Type: "geometry", Reason: "is no hex EWKB", Quiet: true}
	errHstore      = &ValueError{Type: "hstore", Reason: "is no hstore"}
	errArray       = &ValueError{Type: "array", Reason: "is no array literal"}
	errArrayNull   = &ValueError{Type: "array", Reason: "has a null element, which its schema does not allow"}
	errVector      = &ValueError{Type: "vector", Reason: "is no vector", Quiet: true}
	errSparse      = &ValueError{Type: "sparsevec", Reason: "is no sparse vector of at most 32767 dimensions", Quiet: true}
	errTimeNoDays  = &ValueError{Type: "time", Reason: "is outside 00:00:00 to 24:00:00"}
)
