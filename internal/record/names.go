package record

import (
	"strconv"
	"unicode"
	"unicode/utf16"
)

// SchemaNames returns the function of schema.name.adjustment.mode, which makes
// schema names fit for Avro: avro, avro_unicode; nil for any other mode.
func SchemaNames(mode string) func(string) string { return nameAdjuster(mode, true) }

// FieldNames is SchemaNames for field names, in which no dot is allowed either.
func FieldNames(mode string) func(string) string { return nameAdjuster(mode, false) }

func nameAdjuster(mode string, dots bool) func(string) string {
	switch mode {
	case "avro":
		return func(s string) string { return adjustName(s, false, dots) }
	case "avro_unicode":
		return func(s string) string { return adjustName(s, true, dots) }
	}
	return nil
}

// adjustName goes by UTF-16 character as Debezium does. The underscore mode keeps
// a leading digit behind the underscore; the unicode mode escapes underscores too,
// as they introduce its escapes.
func adjustName(s string, escape, dots bool) string {
	var out []uint16
	changed := false
	for i, c := range utf16.Encode([]rune(s)) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' && !escape
		if letter || i > 0 && (c >= '0' && c <= '9' || dots && c == '.') {
			out = append(out, c)
			continue
		}
		changed = true
		for _, r := range ReplacedUnit(c, escape) {
			out = append(out, uint16(r))
		}
		if i == 0 && !escape && unicode.IsDigit(rune(c)) {
			out = append(out, c)
		}
	}
	if !changed {
		return s
	}
	return string(utf16.Decode(out))
}

// ReplacedUnit is what stands for a UTF-16 character that a name may not hold: an
// underscore, or _uXXXX with escape.
func ReplacedUnit(c uint16, escape bool) string {
	if !escape {
		return "_"
	}
	h := strconv.FormatUint(uint64(c), 16)
	if len(h) <= 2 {
		h = "00" + h
	}
	return "_u" + h
}
