package myvalue

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// Dates of DATE and DATETIME must have all their digits; of other spellings that the
// server takes ('24-2-3', 20240203) there is no default. TIMESTAMP is read as it comes.
var fullDate = regexp.MustCompile(`^\d{4}-\d\d-\d\d( \d\d:|\s*$)`)

var nowDefault = regexp.MustCompile(`(?i)^(current_timestamp|now|localtime|localtimestamp)\b`)

// defaultOf is the schema default of a column, by the reference's rules: literals
// are read by the column's type, CURRENT_TIMESTAMP is the epoch, expressions and
// unreadable literals give none.
func defaultOf(col *Column, k *kind) *record.Datum {
	if !col.HasDefault || col.Default == nil || k.schema == nil {
		return nil
	}
	text := *col.Default
	b := &record.Batch{}
	c, ok := defaultCell(b, col, k, text)
	if !ok || c.IsNull() {
		return nil
	}
	return record.NewDatum(b, c)
}

func defaultCell(b *record.Batch, col *Column, k *kind, text string) (record.Cell, bool) {
	epoch := func() (record.Cell, bool) {
		c, err := record.FromGo(b, k.schema, k.fallback)
		return c, err == nil
	}
	switch k.class {
	case classNone:
		return record.Cell{}, false
	case classTimestamp, classDateTime:
		// The schema history keeps CURRENT_TIMESTAMP as the epoch.
		zero := strings.HasPrefix(text, "0000-00-00") || text == "0"
		if zero || text == "1970-01-01 00:00:00" || nowDefault.MatchString(text) {
			if col.Optional && (k.class == classTimestamp || zero) {
				return record.Cell{}, false
			}
			return epoch()
		}
		if k.class == classDateTime && !fullDate.MatchString(text) {
			return record.Cell{}, false
		}
	case classDate, classTime:
		if k.class == classDate && !fullDate.MatchString(text) {
			return record.Cell{}, false
		}
		if strings.HasPrefix(text, "0000-00-00") {
			if col.Optional {
				return record.Cell{}, false
			}
			return epoch()
		}
	case classInt, classFloat, classDecimal, classBool:
		n, ok := numberText(text, k.class)
		if !ok {
			return record.Cell{}, false
		}
		text = n
		if k.class == classDecimal {
			text = rescale(text, col.Scale)
		}
		if k.class == classInt && k.schema.Type == record.Int64 {
			// Beyond a long the reference keeps the largest one.
			if v, ok := new(big.Int).SetString(text, 10); ok && v.Sign() > 0 && !v.IsInt64() {
				return record.Int64Cell(math.MaxInt64), true
			}
		}
		if k.class == classBool {
			return record.BoolCell(text != "0"), true
		}
	case classBits:
		// The digits are read as binary ones, however they were meant.
		digits := strings.TrimSpace(text)
		if len(digits) > 2 && (digits[0] == 'b' || digits[0] == 'B') && digits[1] == '\'' {
			digits = strings.Trim(digits[1:], "'")
		}
		v, ok := new(big.Int).SetString(digits, 2)
		if !ok {
			return record.Cell{}, false
		}
		text = string(v.Bytes())
	}
	if k.class == classTime && strings.Count(text, ":") == 1 {
		text += ":00" // a result of the server always has seconds, a statement need not
	}
	if k.class == classTimestamp {
		// Other than a value of a snapshot, a default has all digits of its fraction.
		if at, parsed := parseCivil([]byte(text)); parsed && at.valid() {
			us := at.micros()
			sec := floorDiv(us, microsPerSecond)
			return zonedCell(b, sec, int(us-sec*microsPerSecond), min(max(col.Length, 0), 6)), true
		}
	}
	read := k.text
	if k.literal != nil {
		read = k.literal
	}
	c, err := read(b, []byte(text))
	return c, err == nil
}

// numberText turns a default literal into a plain number: TRUE and FALSE, b'…' and
// decimals rounded for integer types.
func numberText(s string, k class) (string, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "+")
	switch {
	case strings.EqualFold(s, "true"):
		return "1", true
	case strings.EqualFold(s, "false"):
		return "0", true
	case len(s) > 2 && (s[0] == 'b' || s[0] == 'B') && s[1] == '\'':
		v, ok := new(big.Int).SetString(strings.Trim(s[1:], "'"), 2)
		if !ok {
			return "", false
		}
		return v.String(), true
	}
	if k == classDecimal || k == classFloat {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "", false
		}
		if k == classFloat {
			return s, true
		}
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			return "", false
		}
		return strings.TrimRight(strings.TrimRight(r.FloatString(40), "0"), "."), true
	}
	if _, ok := new(big.Int).SetString(s, 10); ok {
		return s, true
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", false
	}
	return r.FloatString(0), true
}

// rescale rounds a decimal text half up to the column's scale.
func rescale(s string, scale int) string {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return s
	}
	return r.FloatString(max(scale, 0))
}
