package pgvalue

// ValueError says that one value could not be converted. It holds no part of the
// value, since values may be secret.
type ValueError struct {
	// Type names the PostgreSQL type.
	Type string
	// Reason says what is wrong and, where something helps, what to do.
	Reason string
}

// Error implements error.
func (e *ValueError) Error() string { return "value of type " + e.Type + " " + e.Reason }

// The value errors are constants, so that a bad value costs no allocation.
var (
	errInt2        = &ValueError{"int2", "is no 16-bit integer"}
	errInt4        = &ValueError{"int4", "is no 32-bit integer"}
	errInt8        = &ValueError{"int8", "is no 64-bit integer"}
	errOID         = &ValueError{"oid", "is no unsigned 32-bit integer"}
	errFloat       = &ValueError{"float", "is no floating point number"}
	errBool        = &ValueError{"bool", "is neither t nor f"}
	errNumeric     = &ValueError{"numeric", "is no decimal number"}
	errNumericNaN  = &ValueError{"numeric", "is NaN or infinite, which decimal.handling.mode=precise cannot express; set it to string or double"}
	errNumericBig  = &ValueError{"numeric", "has more digits behind the point than its column"}
	errMoney       = &ValueError{"money", "is no amount that can be read; check lc_monetary"}
	errBits        = &ValueError{"bit", "holds something else than 0 and 1"}
	errBitsEmpty   = &ValueError{"varbit(1)", "is empty, which a boolean cannot express"}
	errBitArray    = &ValueError{"bit[]", "has no Connect form"}
	errBytea       = &ValueError{"bytea", "is not in hex format; set bytea_output to hex"}
	errDate        = &ValueError{"date", "is no date"}
	errTime        = &ValueError{"time", "is no time of day"}
	errTimeTZ      = &ValueError{"timetz", "is no time of day with offset"}
	errTimestamp   = &ValueError{"timestamp", "is no timestamp"}
	errTimestampTZ = &ValueError{"timestamptz", "is no timestamp with offset"}
	errNanos       = &ValueError{"timestamp", "is outside 1677-09-21 to 2262-04-11, which time.precision.mode=nanoseconds cannot express"}
	errInterval    = &ValueError{"interval", "is no interval in the style postgres; set IntervalStyle to postgres"}
	errPoint       = &ValueError{"point", "is no point"}
	errGeometry    = &ValueError{"geometry", "is no hex EWKB"}
	errHstore      = &ValueError{"hstore", "is no hstore"}
	errArray       = &ValueError{"array", "is no array literal"}
	errArrayNull   = &ValueError{"array", "has a null element, which its schema does not allow"}
	errArrayDeep   = &ValueError{"array", "is nested too deeply"}
	errVector      = &ValueError{"vector", "is no vector"}
	errSparse      = &ValueError{"sparsevec", "is no sparse vector of at most 32767 dimensions"}
	errTimeNoDays  = &ValueError{"time", "is outside 00:00:00 to 24:00:00"}
)
