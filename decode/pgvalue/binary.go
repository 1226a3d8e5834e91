package pgvalue

import (
	"encoding/binary"
	"math"

	"millrace/internal/record"
)

// This file decodes the binary forms of COPY (FORMAT binary), which snapshots read.
// They are those of the types' send functions (src/backend/utils/adt of PostgreSQL,
// stable since 7.4). Each decoder gives the very cell that the text form gives; what
// is rare (dates before the Gregorian calendar, long numerics) is printed as the
// server prints it and decoded from there.

// daysTo2000 and secTo2000 lie between 1970 and PostgreSQL's epoch.
const (
	daysTo2000 = 10957
	secTo2000  = daysTo2000 * secPerDay
)

var errBinary = &ValueError{Type: "binary", Reason: "has another length than its type; the server's binary form is not the one that is known"}

// binaryOf is the decoder of the binary form of a type, nil where the text form has
// to be read: types whose form belongs to an extension, and arrays.
func (c *compiler) binaryOf(s shape, cd *codec) decodeFunc {
	if c.path != Snapshot || s.root.Elem != 0 {
		return nil
	}
	if s.root.Kind == 'e' {
		return decodeText // enum_send sends the label
	}
	switch s.root.OID {
	case oidBool:
		return binaryBool
	case oidInt2, oidInt4, oidInt8:
		return binaryInt(cd.schema.Type)
	case oidOID:
		return binaryOID
	case oidFloat4:
		return binaryFloat4
	case oidFloat8:
		return binaryFloat8
	case oidNumeric:
		return c.binaryNumeric(s, cd)
	case oidBPChar, oidVarchar, oidText, oidName, oidJSON:
		return cd.decode // textsend: the text as it is
	case oidJSONB:
		return binaryJSONB
	case oidUUID:
		return binaryUUID
	case oidBytea:
		f := newBinaryForm(c.modes.Binary)
		return func(b *record.Batch, d []byte) (record.Cell, error) { return f.put(b, d), nil }
	case oidDate:
		return binaryDate(c.modes.Time, cd.decode)
	case oidTime:
		return binaryTime(c.modes.Time, s.scale)
	case oidTimeTZ:
		return binaryTimeTZ
	case oidTimestamp:
		return binaryTimestamp(c.modes.Time, s.scale, cd.decode)
	case oidTimestampTZ:
		return binaryTimestampTZ(s.scale, cd.decode)
	}
	return nil
}

func be16(d []byte) int16 { return int16(binary.BigEndian.Uint16(d)) }

func be32(d []byte) int32 { return int32(binary.BigEndian.Uint32(d)) }

func be64(d []byte) int64 { return int64(binary.BigEndian.Uint64(d)) }

func binaryBool(_ *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 1 {
		return record.Cell{}, errBinary
	}
	return record.BoolCell(d[0] != 0), nil
}

// binaryInt reads two's complement of the width of its schema's type.
func binaryInt(t record.Type) decodeFunc {
	switch t {
	case record.Int16:
		return func(_ *record.Batch, d []byte) (record.Cell, error) {
			if len(d) != 2 {
				return record.Cell{}, errBinary
			}
			return record.IntCell(record.Int16, int64(be16(d))), nil
		}
	case record.Int32:
		return func(_ *record.Batch, d []byte) (record.Cell, error) {
			if len(d) != 4 {
				return record.Cell{}, errBinary
			}
			return record.IntCell(record.Int32, int64(be32(d))), nil
		}
	}
	return func(_ *record.Batch, d []byte) (record.Cell, error) {
		if len(d) != 8 {
			return record.Cell{}, errBinary
		}
		return record.Int64Cell(be64(d)), nil
	}
}

func binaryOID(_ *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 4 {
		return record.Cell{}, errBinary
	}
	return record.Int64Cell(int64(uint32(be32(d)))), nil
}

func binaryFloat4(_ *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 4 {
		return record.Cell{}, errBinary
	}
	v := math.Float32frombits(uint32(be32(d)))
	if v != v {
		v = float32(math.NaN()) // one NaN for all of them, as from text
	}
	return record.Float32Cell(v), nil
}

func binaryFloat8(_ *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 8 {
		return record.Cell{}, errBinary
	}
	v := math.Float64frombits(uint64(be64(d)))
	if v != v {
		v = math.NaN()
	}
	return record.Float64Cell(v), nil
}

func binaryJSONB(b *record.Batch, d []byte) (record.Cell, error) {
	if len(d) == 0 || d[0] != 1 { // version
		return record.Cell{}, errBinary
	}
	return b.BytesCell(record.String, d[1:]), nil
}

func binaryUUID(b *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 16 {
		return record.Cell{}, errBinary
	}
	const digits = "0123456789abcdef"
	var out [36]byte
	n := 0
	for i, c := range d {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out[n] = '-'
			n++
		}
		out[n], out[n+1] = digits[c>>4], digits[c&15]
		n += 2
	}
	return b.BytesCell(record.String, out[:]), nil
}

// binaryDate reads days since 2000.
func binaryDate(mode string, text decodeFunc) decodeFunc {
	_, put := dateForm(mode)
	iso := mode == "isostring"
	return func(b *record.Batch, d []byte) (record.Cell, error) {
		if len(d) != 4 {
			return record.Cell{}, errBinary
		}
		v := be32(d)
		switch v {
		case math.MaxInt32:
			return text(b, []byte("infinity"))
		case math.MinInt32:
			return text(b, []byte("-infinity"))
		}
		days := int64(v) + daysTo2000
		if days >= reform && !iso {
			return put(b, days, 0, 0, 0), nil
		}
		y, m, day := dateOf(days)
		if days >= reform {
			return put(b, days, y, m, day), nil
		}
		var buf [24]byte
		return text(b, appendServerDate(buf[:0], y, m, day))
	}
}

// appendServerDate prints a date in DateStyle ISO.
func appendServerDate(dst []byte, year int64, month, day int) []byte {
	bc := year <= 0
	if bc {
		year = 1 - year
	}
	dst = appendPadded(dst, year, 4)
	dst = append(dst, '-', byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10))
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// binaryTime reads microseconds since midnight.
func binaryTime(mode string, precision int) decodeFunc {
	schema, u := timeForm(mode, precision)
	return func(b *record.Batch, d []byte) (record.Cell, error) {
		if len(d) != 8 {
			return record.Cell{}, errBinary
		}
		us := be64(d)
		if us < 0 || us > secPerDay*1_000_000 {
			return record.Cell{}, errTimeNoDays
		}
		return putClock(b, schema, u, us/1_000_000, us%1_000_000*1000), nil
	}
}

// binaryTimeTZ reads microseconds since midnight and seconds west of UTC.
func binaryTimeTZ(b *record.Batch, d []byte) (record.Cell, error) {
	if len(d) != 12 {
		return record.Cell{}, errBinary
	}
	us, west := be64(d), int64(be32(d[8:]))
	sec := (us/1_000_000 + west) % secPerDay
	if sec < 0 {
		sec += secPerDay
	}
	a := b.Arena()
	from := len(a)
	a = append(appendClock(a, sec, us%1_000_000*1000, -1), 'Z')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a)), nil
}

// binaryMoment reads microseconds since 2000; inf is the text of an infinity.
func binaryMoment(d []byte) (m moment, inf string, ok bool) {
	if len(d) != 8 {
		return m, "", false
	}
	us := be64(d)
	switch us {
	case math.MaxInt64:
		return m, "infinity", true
	case math.MinInt64:
		return m, "-infinity", true
	}
	sec := floorDiv(us, 1_000_000)
	return moment{sec: sec + secTo2000, nano: int32(us-sec*1_000_000) * 1000}, "", true
}

func binaryTimestamp(mode string, precision int, text decodeFunc) decodeFunc {
	_, u := stampForm(mode, precision)
	return func(b *record.Batch, d []byte) (record.Cell, error) {
		m, inf, ok := binaryMoment(d)
		switch {
		case !ok:
			return record.Cell{}, errBinary
		case inf != "":
			return text(b, []byte(inf))
		}
		return putMoment(b, u, m)
	}
}

func binaryTimestampTZ(precision int, text decodeFunc) decodeFunc {
	digits := precision
	if digits <= 0 || digits > 9 {
		digits = -1
	}
	return func(b *record.Batch, d []byte) (record.Cell, error) {
		m, inf, ok := binaryMoment(d)
		switch {
		case !ok:
			return record.Cell{}, errBinary
		case inf != "":
			return text(b, []byte(inf))
		case digits == 6 && m.sec >= firstPlain && m.sec < afterPlain:
			return putPlainMoment(b, m), nil
		}
		return putMomentText(b, m, digits), nil
	}
}

// Seconds of the years 1 to 9999, which are printed with four digits and no sign.
const (
	firstPlain = -62135596800
	afterPlain = 253402300800
)

// putPlainMoment prints a timestamp of these years with six digits of the second.
func putPlainMoment(b *record.Batch, m moment) record.Cell {
	day := floorDiv(m.sec, secPerDay)
	y, mo, d := dateOf(day)
	s := int(m.sec - day*secPerDay)
	var out [27]byte
	put2 := func(at, v int) { out[at], out[at+1] = byte('0'+v/10), byte('0'+v%10) }
	put2(0, int(y)/100)
	put2(2, int(y)%100)
	out[4] = '-'
	put2(5, mo)
	out[7] = '-'
	put2(8, d)
	out[10] = 'T'
	put2(11, s/3600)
	out[13] = ':'
	put2(14, s/60%60)
	out[16] = ':'
	put2(17, s%60)
	out[19] = '.'
	us := int(m.nano) / 1000
	put2(20, us/10000)
	put2(22, us/100%100)
	put2(24, us%100)
	out[26] = 'Z'
	return b.BytesCell(record.String, out[:])
}
