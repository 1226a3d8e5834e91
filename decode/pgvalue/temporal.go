package pgvalue

import (
	"math"

	"millrace/internal/record"
)

// Names of Debezium's and Connect's temporal schemas.
const (
	nameDate           = "io.debezium.time.Date"
	nameIsoDate        = "io.debezium.time.IsoDate"
	nameConnectDate    = "org.apache.kafka.connect.data.Date"
	nameTime           = "io.debezium.time.Time"
	nameMicroTime      = "io.debezium.time.MicroTime"
	nameNanoTime       = "io.debezium.time.NanoTime"
	nameIsoTime        = "io.debezium.time.IsoTime"
	nameConnectTime    = "org.apache.kafka.connect.data.Time"
	nameTimestamp      = "io.debezium.time.Timestamp"
	nameMicroTimestamp = "io.debezium.time.MicroTimestamp"
	nameNanoTimestamp  = "io.debezium.time.NanoTimestamp"
	nameIsoTimestamp   = "io.debezium.time.IsoTimestamp"
	nameConnectStamp   = "org.apache.kafka.connect.data.Timestamp"
	nameZonedTimestamp = "io.debezium.time.ZonedTimestamp"
	nameZonedTime      = "io.debezium.time.ZonedTime"
	nameMicroDuration  = "io.debezium.time.MicroDuration"
	nameInterval       = "io.debezium.time.Interval"
)

// Infinite timestamps are the JDBC driver's constants, read as microseconds.
var (
	posInfinity = moment{9223372036825, 200_000_000}
	negInfinity = moment{-9223372036833, 600_000_000}
)

// unit is what a temporal value is counted in.
type unit int

const (
	millis unit = iota
	micros
	nanos
	iso
)

// dateForm returns schema and encoder of a date. The encoder takes days since 1970
// and the proleptic Gregorian date for printing.
func dateForm(mode string) (*record.Schema, func(b *record.Batch, days, year int64, month, day int) record.Cell) {
	if mode == "isostring" {
		return logical(record.String, nameIsoDate), func(b *record.Batch, _, year int64, month, day int) record.Cell {
			a := b.Arena()
			from := len(a)
			a = append(appendDate(a, year, month, day), 'Z')
			b.SetArena(a)
			return b.SpanCell(record.String, from, len(a))
		}
	}
	name := nameDate
	if mode == "connect" {
		name = nameConnectDate
	}
	return logical(record.Int32, name), func(_ *record.Batch, days, _ int64, _, _ int) record.Cell {
		return record.Int32Cell(int32(days))
	}
}

// dateInfinity is how Debezium's paths see an infinite date: the stream parses a
// fixed (wrong) date, the snapshot and arrays overflow java.sql.Date.
type dateInfinity struct {
	days       int64
	year       int64
	month, day int
}

var (
	streamPosInf   = dateInfinity{-2147472692, -5877611, 6, 21}
	streamNegInf   = dateInfinity{-2147472691, -5877611, 6, 22}
	snapshotPosInf = dateInfinity{-622191234, 292278994, 8, 16}
	snapshotNegInf = dateInfinity{-625821272, 292269055, 12, 2}
)

// codecDate decodes dates. jdbc is the way of snapshots and of arrays: through
// java.sql.Date, which drops the era and shifts the days that the calendar reform
// of 1582 skipped.
func codecDate(mode string, jdbc bool) *codec {
	schema, put := dateForm(mode)
	pos, neg := streamPosInf, streamNegInf
	if jdbc {
		pos, neg = snapshotPosInf, snapshotNegInf
	}
	decode := func(b *record.Batch, t []byte) (record.Cell, error) {
		year, month, day, rest, ok := scanDate(t)
		if !ok {
			switch string(t) {
			case "infinity":
				return put(b, pos.days, pos.year, pos.month, pos.day), nil
			case "-infinity":
				return put(b, neg.days, neg.year, neg.month, neg.day), nil
			}
			return record.Cell{}, errDate
		}
		bc := isBC(rest)
		if len(rest) > 0 && !bc {
			return record.Cell{}, errDate
		}
		astronomical := year
		if bc {
			astronomical = 1 - year
		}
		if day > daysIn(astronomical, month) {
			return record.Cell{}, errDate
		}
		if !jdbc {
			return put(b, daysOf(astronomical, month, day), astronomical, month, day), nil
		}
		if bc && day > daysIn(year, month) { // a leap day whose year without era has none
			year = astronomical
		}
		if !bc && year == 1582 && month == 10 && day > 4 && day < 15 {
			day += 10
		}
		return put(b, daysOf(year, month, day), year, month, day), nil
	}
	c := &codec{schema: schema, decode: decode}
	c.fallback = func(b *record.Batch) record.Cell { return put(b, 0, 1970, 1, 1) }
	return c
}

// timeForm picks schema and unit for time columns.
func timeForm(mode string, precision int) (*record.Schema, unit) {
	switch mode {
	case "adaptive_time_microseconds", "microseconds":
		return logical(record.Int64, nameMicroTime), micros
	case "nanoseconds":
		return logical(record.Int64, nameNanoTime), nanos
	case "isostring":
		return logical(record.String, nameIsoTime), iso
	case "connect":
		return logical(record.Int32, nameConnectTime), millis
	}
	switch {
	case precision <= 3:
		return logical(record.Int32, nameTime), millis
	case precision <= 6:
		return logical(record.Int64, nameMicroTime), micros
	}
	return logical(record.Int64, nameNanoTime), nanos
}

// putClock encodes a time of day.
func putClock(b *record.Batch, s *record.Schema, u unit, sec, nano int64) record.Cell {
	switch u {
	case millis:
		return record.IntCell(s.Type, sec*1000+nano/1_000_000)
	case micros:
		return record.Int64Cell(sec*1_000_000 + nano/1000)
	case nanos:
		return record.Int64Cell(sec*nanoPerSec + nano)
	}
	a := b.Arena()
	from := len(a)
	a = append(appendClock(a, sec%secPerDay, nano, -1), 'Z')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

// codecTime decodes times of day. In arrays the driver's java.sql.Time keeps only
// milliseconds and knows no 24:00.
func codecTime(mode string, precision int, jdbc bool) *codec {
	schema, u := timeForm(mode, precision)
	c := &codec{schema: schema}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		k, rest, ok := scanClock(t)
		if !ok || len(rest) > 0 {
			return record.Cell{}, errTime
		}
		sec, nano := int64(k.sec), int64(k.nano)
		if sec > secPerDay || sec == secPerDay && nano > 0 {
			return record.Cell{}, errTimeNoDays
		}
		if jdbc {
			sec, nano = sec%secPerDay, nano/1_000_000*1_000_000
		}
		return putClock(b, schema, u, sec, nano), nil
	}
	c.fallback = func(b *record.Batch) record.Cell { return putClock(b, schema, u, 0, 0) }
	return c
}

// stampForm picks schema and unit for timestamp columns.
func stampForm(mode string, precision int) (*record.Schema, unit) {
	switch mode {
	case "microseconds":
		return logical(record.Int64, nameMicroTimestamp), micros
	case "nanoseconds":
		return logical(record.Int64, nameNanoTimestamp), nanos
	case "isostring":
		return logical(record.String, nameIsoTimestamp), iso
	case "connect":
		return logical(record.Int64, nameConnectStamp), millis
	}
	switch {
	case precision <= 3:
		return logical(record.Int64, nameTimestamp), millis
	case precision <= 6:
		return logical(record.Int64, nameMicroTimestamp), micros
	}
	return logical(record.Int64, nameNanoTimestamp), nanos
}

// putMoment encodes a timestamp without zone.
func putMoment(b *record.Batch, u unit, m moment) (record.Cell, error) {
	switch u {
	case millis:
		v, ok := m.millis()
		if !ok {
			return record.Cell{}, errTimestamp
		}
		return record.Int64Cell(v), nil
	case micros:
		return record.Int64Cell(m.micros()), nil
	case nanos:
		v, ok := m.nanos()
		if !ok {
			return record.Cell{}, errNanos
		}
		return record.Int64Cell(v), nil
	}
	return putMomentText(b, m, -1), nil
}

func putMomentText(b *record.Batch, m moment, digits int) record.Cell {
	a := b.Arena()
	from := len(a)
	a = appendMoment(a, m, digits)
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a))
}

// codecTimestamp decodes timestamps, which count as UTC. Arrays go through
// java.sql.Timestamp, whose calendar is Julian before 1582-10-15.
func codecTimestamp(mode string, precision int, jdbc bool) *codec {
	schema, u := stampForm(mode, precision)
	c := &codec{schema: schema}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		m, ok := scanTimestamp(t, false)
		if !ok {
			switch string(t) {
			case "infinity":
				if u == nanos {
					return record.Int64Cell(math.MaxInt64), nil
				}
				return putMoment(b, u, posInfinity)
			case "-infinity":
				if u == nanos {
					return record.Int64Cell(math.MinInt64), nil
				}
				return putMoment(b, u, negInfinity)
			}
			return record.Cell{}, errTimestamp
		}
		if jdbc {
			m = hybrid(m)
		}
		return putMoment(b, u, m)
	}
	c.fallback = func(b *record.Batch) record.Cell {
		v, _ := putMoment(b, u, moment{})
		return v
	}
	return c
}

// reform is the first Gregorian day of Java's default calendar, 1582-10-15.
const reform = -141427

// hybrid reads the calendar fields of a proleptic Gregorian moment in Java's
// Julian and Gregorian calendar.
func hybrid(m moment) moment {
	day := floorDiv(m.sec, secPerDay)
	if day >= reform {
		return m
	}
	y, mo, d := dateOf(day)
	m.sec += (julianDaysOf(y, mo, d) - day) * secPerDay
	return m
}

// codecTimestampTZ prints timestamps with zone in UTC with precision fraction
// digits. Arrays drop the era and shift the days that the calendar reform of 1582
// skipped, as the driver's java.sql.Timestamp does.
func codecTimestampTZ(precision int, jdbc bool) *codec {
	digits := precision
	if digits <= 0 || digits > 9 {
		digits = -1
	}
	c := &codec{schema: logical(record.String, nameZonedTimestamp)}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		if !jdbc {
			if v, ok := rewriteUTC(b, t, digits); ok {
				return v, nil
			}
		}
		m, ok := scanTimestamp(t, true)
		if !ok {
			switch string(t) {
			case "-infinity":
				if jdbc { // java.sql.Timestamp overflows
					return putMomentText(b, moment{sec: daysOf(292269055, 12, 2)*secPerDay + 23*3600}, digits), nil
				}
				return b.BytesCell(record.String, t), nil
			case "infinity":
				return b.BytesCell(record.String, t), nil
			}
			return record.Cell{}, errTimestampTZ
		}
		if jdbc {
			m = dropEra(m)
		}
		return putMomentText(b, m, digits), nil
	}
	c.fallback = func(b *record.Batch) record.Cell { return b.StringCell("1970-01-01T00:00:00Z") }
	return c
}

// rewriteUTC is the common case of a timestamp that is in UTC already and has a
// year of four digits: its text needs only another punctuation and zeros. ok is
// false for everything else.
func rewriteUTC(b *record.Batch, t []byte, digits int) (v record.Cell, ok bool) {
	const shape = "0000-00-00 00:00:00"
	n := len(t) - len("+00")
	if n < len(shape) || n > len(shape)+7 || string(t[n:]) != "+00" || n == len(shape)+1 {
		return v, false
	}
	for i, c := range t[:n] {
		switch {
		case i > len(shape) || i < len(shape) && shape[i] == '0':
			if c-'0' > 9 {
				return v, false
			}
		case i == len(shape):
			if c != '.' {
				return v, false
			}
		case c != shape[i]:
			return v, false
		}
	}
	if t[5] > '1' || t[8] > '3' || t[11] > '2' || t[11] == '2' && t[12] > '3' || t[14] > '5' || t[17] > '5' {
		return v, false // out of range: for the long way to judge
	}
	a := b.Arena()
	from := len(a)
	a = append(a, t[:n]...)
	a[from+10] = 'T'
	frac := max(n-len(shape)-1, 0)
	switch {
	case digits < 0 && frac > 0:
		for a[len(a)-1] == '0' {
			a = a[:len(a)-1]
		}
		if a[len(a)-1] == '.' {
			a = a[:len(a)-1]
		}
	case digits > 0:
		if frac == 0 {
			a = append(a, '.')
		}
		a = append(a, "000000000"[:max(digits-frac, 0)]...)
		a = a[:from+len(shape)+1+digits]
	}
	a = append(a, 'Z')
	b.SetArena(a)
	return b.SpanCell(record.String, from, len(a)), true
}

func dropEra(m moment) moment {
	day := floorDiv(m.sec, secPerDay)
	y, mo, d := dateOf(day)
	if day >= reform-10 && day < reform {
		m.sec += 10 * secPerDay // the days that the calendar reform skipped
		return m
	}
	if y > 0 || d > daysIn(1-y, mo) {
		return m
	}
	m.sec += (daysOf(1-y, mo, d) - day) * secPerDay
	return m
}

// codecTimeTZ prints times with offset in UTC. Arrays lose the fraction of the
// second, as the driver's java.sql.Time does.
func codecTimeTZ(jdbc bool) *codec {
	c := &codec{schema: logical(record.String, nameZonedTime)}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		k, rest, ok := scanClock(t)
		if !ok {
			return record.Cell{}, errTimeTZ
		}
		off, rest, ok := scanOffset(rest)
		if !ok || len(rest) > 0 {
			return record.Cell{}, errTimeTZ
		}
		sec := (int64(k.sec) - off) % secPerDay
		if sec < 0 {
			sec += secPerDay
		}
		nano := int64(k.nano)
		if jdbc {
			nano = 0
		}
		a := b.Arena()
		from := len(a)
		a = append(appendClock(a, sec, nano, -1), 'Z')
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	}
	c.fallback = func(b *record.Batch) record.Cell { return b.StringCell("00:00:00Z") }
	return c
}
