package sqlsink

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"millrace/internal/record"
)

// kind is what a value means, whatever carries it.
type kind uint8

const (
	kindNone kind = iota // a struct or map without a column type
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindFloat32
	kindFloat64
	kindBool
	kindString
	kindBytes
	kindDecimal    // bytes: unscaled two's complement; scale in the schema
	kindVarDecimal // struct{scale, value}
	kindDate       // days since 1970
	kindTime       // since midnight, in units
	kindTimestamp  // since 1970 without zone, in units
	kindZonedTime
	kindZonedTimestamp
	kindDuration // an interval in units
	kindInterval // ISO 8601 text
	kindYear
	kindJSON
	kindUUID
	kindXML
	kindEnum
	kindEnumSet
	kindBits
	kindLtree
	kindTSVector
	kindPoint
	kindGeometry
	kindGeography
	kindVector       // array of floats
	kindHalfVector   // array of floats
	kindSparseVector // struct{dimensions, vector}
	kindArray
	kindMap
)

// sem is the meaning of a schema: its kind and what a dialect needs to know to
// make a column for it.
type sem struct {
	kind      kind
	unit      int64 // nanoseconds per unit of a temporal number
	scale     int   // of kindDecimal
	precision int   // of kindDecimal; 0: not told
	bits      int   // of kindBits; 0: any
	allowed   []string
	escaped   bool           // commas of allowed labels have a backslash, in values too
	elem      *sem           // of kindArray
	zone      *time.Location // kindTimestamp and kindTime are written as local time of this zone; nil: UTC
	// The type in the source database, when column.propagate.source.type told it:
	// upper case; length and scale are -1 when absent.
	srcType          string
	srcLen, srcScale int
}

const debezium = "io.debezium."

var namedKinds = map[string]sem{
	"org.apache.kafka.connect.data.Decimal":   {kind: kindDecimal},
	"org.apache.kafka.connect.data.Date":      {kind: kindDate},
	"org.apache.kafka.connect.data.Time":      {kind: kindTime, unit: 1e6},
	"org.apache.kafka.connect.data.Timestamp": {kind: kindTimestamp, unit: 1e6},
	debezium + "time.Date":                    {kind: kindDate},
	debezium + "time.Time":                    {kind: kindTime, unit: 1e6},
	debezium + "time.MicroTime":               {kind: kindTime, unit: 1e3},
	debezium + "time.NanoTime":                {kind: kindTime, unit: 1},
	debezium + "time.Timestamp":               {kind: kindTimestamp, unit: 1e6},
	debezium + "time.MicroTimestamp":          {kind: kindTimestamp, unit: 1e3},
	debezium + "time.NanoTimestamp":           {kind: kindTimestamp, unit: 1},
	debezium + "time.ZonedTime":               {kind: kindZonedTime},
	debezium + "time.ZonedTimestamp":          {kind: kindZonedTimestamp},
	debezium + "time.MicroDuration":           {kind: kindDuration, unit: 1e3},
	debezium + "time.NanoDuration":            {kind: kindDuration, unit: 1},
	debezium + "time.Interval":                {kind: kindInterval},
	debezium + "time.Year":                    {kind: kindYear},
	debezium + "data.Json":                    {kind: kindJSON},
	debezium + "data.Uuid":                    {kind: kindUUID},
	debezium + "data.Xml":                     {kind: kindXML},
	debezium + "data.Enum":                    {kind: kindEnum},
	debezium + "data.EnumSet":                 {kind: kindEnumSet},
	debezium + "data.Bits":                    {kind: kindBits},
	debezium + "data.Ltree":                   {kind: kindLtree},
	debezium + "data.Tsvector":                {kind: kindTSVector},
	debezium + "data.VariableScaleDecimal":    {kind: kindVarDecimal},
	debezium + "data.geometry.Point":          {kind: kindPoint},
	debezium + "data.geometry.Geometry":       {kind: kindGeometry},
	debezium + "data.geometry.Geography":      {kind: kindGeography},
	debezium + "data.FloatVector":             {kind: kindVector},
	debezium + "data.DoubleVector":            {kind: kindVector},
	debezium + "data.vector.FloatVector":      {kind: kindVector},
	debezium + "data.vector.DoubleVector":     {kind: kindVector},
	debezium + "data.vector.HalfVector":       {kind: kindHalfVector},
	debezium + "data.vector.SparseVector":     {kind: kindSparseVector},
}

var plainKinds = map[record.Type]kind{
	record.Int8: kindInt8, record.Int16: kindInt16, record.Int32: kindInt32, record.Int64: kindInt64,
	record.Float32: kindFloat32, record.Float64: kindFloat64, record.Boolean: kindBool,
	record.String: kindString, record.Bytes: kindBytes, record.Map: kindMap,
}

// meaning reads a schema. A name that is not known leaves the primitive type.
func meaning(s *record.Schema) sem {
	m, named := namedKinds[s.Name]
	if !named || !carries(m.kind, s.Type) {
		m = sem{kind: plainKinds[s.Type]}
		if s.Type == record.Array {
			e := meaning(s.Elem)
			m.kind, m.elem = kindArray, &e
		}
	}
	m.srcLen, m.srcScale = -1, -1
	for _, p := range s.Params {
		n, err := strconv.Atoi(p.Value)
		number := err == nil
		switch p.Key {
		case "__debezium.source.column.type":
			m.srcType = strings.ToUpper(p.Value)
		case "__debezium.source.column.length":
			if number {
				m.srcLen = n
			}
		case "__debezium.source.column.scale":
			if number {
				m.srcScale = n
			}
		case "scale":
			m.scale = n
		case "connect.decimal.precision":
			m.precision = n
		case "length":
			if m.kind == kindBits && n < 1<<31-1 {
				m.bits = n
			}
		case "allowed":
			m.allowed, m.escaped = labels(p.Value)
		}
	}
	return m
}

// labels divides the parameter "allowed". MySQL's source puts a backslash in front of a
// label's own commas, there and in what the log gives; a snapshot's values have none.
func labels(allowed string) (list []string, escaped bool) {
	if !strings.Contains(allowed, `\,`) {
		return strings.Split(allowed, ","), false
	}
	list = strings.Split(strings.ReplaceAll(allowed, `\,`, "\x00"), ",")
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "\x00", ",")
	}
	return list, true
}

// label is a value of an enum as it was in the source.
func (m *sem) label(text []byte) []byte {
	if m.escaped && m.kind == kindEnum {
		return bytes.ReplaceAll(text, []byte(`\,`), []byte(","))
	}
	return text
}

// carries tells whether values of a Connect type can hold the kind, so that a
// foreign schema with a known name and another type is read as what it is.
func carries(k kind, t record.Type) bool {
	switch k {
	case kindDecimal, kindBits:
		return t == record.Bytes
	case kindVarDecimal, kindPoint, kindGeometry, kindGeography, kindSparseVector:
		return t == record.Struct
	case kindDate, kindTime, kindTimestamp, kindDuration, kindYear:
		return t == record.Int32 || t == record.Int64
	case kindVector, kindHalfVector:
		return t == record.Array
	}
	return t == record.String
}

// fraction returns the digits of a second that a temporal column keeps: those of
// the source column when they were told, else 6.
func (m *sem) fraction() int {
	n := m.srcScale
	if n < 0 {
		n = m.srcLen
	}
	if n < 1 || n > 6 {
		return 6
	}
	return n
}

// clock is a time of day in nanoseconds. With a zone it is a moment of 1 January
// 1970, and becomes the zone's time of day, as in Java's sinks.
func (m *sem) clock(v int64) int64 {
	nanos := v * m.unit
	if m.zone == nil {
		return nanos
	}
	const day = 86400 * 1e9
	return ((m.local(v)*m.unit)%day + day) % day
}

// local moves a count of units since 1970 to the local time of the zone.
func (m *sem) local(v int64) int64 {
	if m.zone == nil {
		return v
	}
	days, nanos := splitUnits(v, m.unit)
	_, offset := time.Unix(days*86400+nanos/1e9, 0).In(m.zone).Zone()
	return v + int64(offset)*1e9/m.unit
}
