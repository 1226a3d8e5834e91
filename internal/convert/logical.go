package convert

import (
	"strconv"

	"millrace/internal/record"
)

// The names of Connect's own logical types. Cells hold their base values: Decimal
// the unscaled number as two's complement Bytes, Date days and Time milliseconds
// as Int32, Timestamp milliseconds since 1970 as Int64.
const (
	nameDecimal   = record.DecimalName
	nameDate      = record.DateName
	nameTime      = record.TimeName
	nameTimestamp = record.TimestampName
)

// decimalScale returns the scale of a Decimal schema.
func decimalScale(s *record.Schema) (int, error) {
	text, ok := s.Param("scale")
	if !ok {
		return 0, valueErrorf("Invalid Decimal schema: scale parameter not found.")
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, valueErrorf("Invalid scale parameter found in Decimal schema: %s", text)
	}
	return int(n), nil
}

// isDecimal reports whether a schema is Connect's Decimal.
func isDecimal(s *record.Schema) bool {
	return s != nil && s.Type == record.Bytes && s.Name == nameDecimal
}
