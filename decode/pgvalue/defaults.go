package pgvalue

import (
	"strings"

	"millrace/internal/record"
)

// firstQuoted is Debezium's literal pattern '(.*?)': the first run between two
// quotes without a line break.
func firstQuoted(s string) (string, bool) {
	for i := strings.IndexByte(s, '\''); i >= 0; {
		rest := s[i+1:]
		end := strings.IndexByte(rest, '\'')
		if end < 0 {
			return "", false
		}
		if !strings.ContainsAny(rest[:end], "\n\r\u0085\u2028\u2029") {
			return rest[:end], true
		}
		i += 1 + end
	}
	return "", false
}

// isFunctionCall is Debezium's pattern ^[(]?[A-Za-z0-9_.]+\(…\) at the start of a
// default expression.
func isFunctionCall(s string) bool {
	s = strings.TrimPrefix(s, "(")
	i := 0
	for i < len(s) && (isAlnum(s[i]) || s[i] == '_' || s[i] == '.') {
		i++
	}
	if i == 0 || i >= len(s) || s[i] != '(' {
		return false
	}
	line := s[i+1:]
	if n := strings.IndexAny(line, "\n\r\u0085\u2028\u2029"); n >= 0 {
		line = line[:n]
	}
	return strings.IndexByte(line, ')') >= 0
}

func isAlnum(c byte) bool { return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' }

// literal is Debezium's extractDefault: the placeholder for function calls, the
// first quoted run, else the raw text. ok is false when there is no default.
func literal(expr, placeholder string) (string, bool) {
	if isFunctionCall(expr) {
		return placeholder, true
	}
	switch strings.ToLower(expr) {
	case "current_timestamp", "current_time", "current_date", "localtime", "localtimestamp":
		return placeholder, true
	}
	if strings.IndexByte(expr, '\'') < 0 {
		return expr, !strings.HasPrefix(expr, "NULL::")
	}
	return firstQuoted(expr)
}

// defaultOf evaluates a column's default by Debezium's rules; nil when it has none
// or Debezium cannot use it. Domains have none. Structs cannot be defaults.
func (c *compiler) defaultOf(s shape, cd *codec, expr string) *record.Datum {
	if expr == "" || s.typ != s.root || s.typ.Elem != 0 {
		return nil
	}
	var b record.Batch
	v, ok := c.defaultCell(&b, s, cd, expr)
	if !ok || v.IsNull() || v.Kind() == record.Struct {
		return nil
	}
	return record.NewDatum(&b, v)
}

func (c *compiler) defaultCell(b *record.Batch, s shape, cd *codec, expr string) (record.Cell, bool) {
	none := record.Cell{}
	if s.root.Kind == 'e' {
		label, ok := enumDefault(expr, s.root.Name)
		return b.StringCell(label), ok
	}
	oid := s.root.OID
	switch oid {
	case oidText, oidVarchar, oidBPChar, oidXML:
		v, ok := literal(expr, "")
		return b.StringCell(v), ok
	case oidJSON, oidJSONB:
		v, ok := literal(expr, "{}")
		return b.StringCell(v), ok
	}
	expr = strings.TrimSpace(expr)
	if strings.HasPrefix(expr, "NULL::") {
		return none, false
	}
	placeholder := ""
	switch oid {
	case oidBool:
		v, ok := literal(expr, "false")
		return record.BoolCell(strings.EqualFold(v, "true")), ok
	case oidBit:
		v, ok := literal(expr, "00")
		if len(v) == 1 && cd.schema.Type == record.Bytes {
			return b.BytesCell(record.Bytes, []byte{v[0] & 1}), ok
		}
		if len(v) == 1 {
			return record.BoolCell(v == "1"), ok
		}
		return decoded(b, cd, bitsOnly(cd, v), ok)
	case oidVarbit:
		v, ok := literal(expr, "0")
		return decoded(b, cd, bitsOnly(cd, v), ok)
	case oidInt2, oidInt4, oidInt8:
		placeholder = "0"
	case oidFloat4, oidFloat8:
		placeholder = "0.0"
	case oidNumeric:
		v, ok := literal(expr, "0.0")
		if v, ok = plainNotation(v, ok); !ok || c.numberOf(s).fixed && !fitsScale(v, s.scale) {
			return none, false
		}
		return decoded(b, cd, v, true)
	case oidUUID:
		v, ok := literal(expr, "00000000-0000-0000-0000-000000000000")
		v = strings.ToLower(v)
		return b.StringCell(v), ok && isUUID(v)
	case oidDate, oidTime, oidTimestamp, oidTimestampTZ, oidInterval:
		return c.temporalDefault(b, s, cd, expr)
	default:
		return none, false
	}
	v, ok := literal(expr, placeholder)
	return decoded(b, cd, v, ok)
}

// bitsOnly reads an expression that is no literal as Debezium does: as a bit string
// in which every character but 1 counts as 0. A boolean is not read like that.
func bitsOnly(cd *codec, v string) string {
	if cd.schema.Type != record.Bytes {
		return v
	}
	return strings.Map(func(r rune) rune {
		if r == '1' {
			return '1'
		}
		return '0'
	}, v)
}

// fitsScale says whether a number can take the scale without rounding; if not,
// Debezium uses no default.
func fitsScale(v string, scale int) bool {
	d, ok := parseDecimal([]byte(v))
	if !ok {
		return false
	}
	d.trimZeros(scale)
	return d.frac <= scale
}

func decoded(b *record.Batch, cd *codec, v string, ok bool) (record.Cell, bool) {
	if !ok {
		return record.Cell{}, false
	}
	cell, err := cd.decode(b, []byte(v))
	return cell, err == nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case unhex(s[i]) > 15:
			return false
		}
	}
	return true
}

// plainNotation rewrites an exponent, which Java's BigDecimal reads, as digits.
// Special values are none for BigDecimal.
func plainNotation(s string, ok bool) (string, bool) {
	mant, exp, has := strings.Cut(strings.ToLower(s), "e")
	if !ok {
		return "", false
	}
	if _, is := special([]byte(s)); is {
		return "", false
	}
	if !has {
		return s, true
	}
	e, good := parseInt([]byte(exp))
	d, parsed := parseDecimal([]byte(mant))
	if !good || !parsed || e > 1000 || e < -1000 {
		return "", false
	}
	digits := strings.ReplaceAll(string(d.digits), ".", "")
	frac := d.frac - int(e)
	for ; frac < 0; frac++ {
		digits += "0"
	}
	for len(digits) <= frac {
		digits = "0" + digits
	}
	if frac > 0 {
		digits = digits[:len(digits)-frac] + "." + digits[len(digits)-frac:]
	}
	if d.neg {
		digits = "-" + digits
	}
	return digits, true
}

// enumDefault takes 'label'::type; the label stays escaped as in the expression.
func enumDefault(expr, typeName string) (string, bool) {
	at := strings.LastIndex(expr, "::")
	if at < 0 {
		return "", false
	}
	name := expr[at+2:]
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && !strings.HasSuffix(name, "\"") {
		name = name[dot+1:]
	} else if dot := strings.LastIndex(name, ".\""); dot >= 0 {
		name = name[dot+1:]
	}
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	v := expr[:at]
	if name != typeName || len(v) < 2 || v[0] != '\'' || v[len(v)-1] != '\'' {
		return "", false
	}
	return v[1 : len(v)-1], true
}

// Java's extreme dates, which the JDBC driver makes of infinite defaults.
const (
	maxJavaYear = 999999999
	minJavaYear = -999999999
)

// temporalDefault evaluates date and time defaults as the JDBC driver parses them,
// which differs from how it reads values.
func (c *compiler) temporalDefault(b *record.Batch, s shape, cd *codec, expr string) (record.Cell, bool) {
	none := record.Cell{}
	mode := c.modes.Time
	switch s.root.OID {
	case oidInterval:
		v, ok := literal(expr, "epoch")
		if v == "epoch" {
			return (&interval{}).cell(b, c.modes.Interval == "string"), ok
		}
		return decoded(b, cd, v, ok)
	case oidTime:
		v, ok := literal(expr, "00:00")
		k, rest, good := scanClock([]byte(v))
		if !ok || !good || len(rest) > 0 {
			return none, false
		}
		sec, nano := int64(k.sec), int64(k.nano)
		if sec >= secPerDay {
			sec, nano = secPerDay-1, nanoPerSec-1
		}
		schema, u := timeForm(mode, s.scale)
		return putClock(b, schema, u, sec, nano), true
	}
	v, ok := literal(expr, "1970-01-01")
	if !ok {
		return none, false
	}
	m, good := scanTimestamp([]byte(v), true)
	switch {
	case good:
	case v == "infinity" && s.root.OID != oidTimestampTZ:
		m = moment{daysOf(maxJavaYear, 12, 31)*secPerDay + secPerDay - 1, nanoPerSec - 1}
	case v == "-infinity" && s.root.OID != oidTimestampTZ:
		m = moment{sec: daysOf(minJavaYear, 1, 1) * secPerDay}
	default:
		return none, false
	}
	switch s.root.OID {
	case oidDate:
		_, put := dateForm(mode)
		days := floorDiv(m.sec, secPerDay)
		y, mo, d := dateOf(days)
		return put(b, days, y, mo, d), true
	case oidTimestampTZ:
		digits := s.scale
		if digits <= 0 {
			digits = -1
		}
		return putMomentText(b, m, digits), true
	}
	_, u := stampForm(mode, s.scale)
	cell, err := putMoment(b, u, m)
	return cell, err == nil
}
