package kafkaconf

import (
	"fmt"
	"strconv"
	"strings"

	"millrace/internal/configdef"
)

// role is a set of clients.
type role uint8

const (
	forProducer role = 1 << iota
	forConsumer
	forAdmin
	forAll = forProducer | forConsumer | forAdmin
)

// row is one property.
type row struct {
	name    string
	roles   role
	typ     configdef.Type
	oneOf   []string // allowed values
	anyCase bool     // of oneOf
	min     int64    // least number, if hasMin
	hasMin  bool
	secret  bool

	// refuse, when not "", is why any value but those in fine is a problem.
	refuse string
	fine   []string
	// note, when not "", is why the property has no effect.
	note  string
	apply func(r *reader, v string, n int64)
}

func find(name string) *row { return index[name] }

var index = func() map[string]*row {
	m := map[string]*row{}
	for _, rows := range [][]row{commonRows, securityRows, producerRows, consumerRows} {
		for i := range rows {
			m[rows[i].name] = &rows[i]
		}
	}
	return m
}()

// Known reports whether a client of any role knows the property.
func Known(name string) bool { return find(name) != nil }

// Effectless is why a property has no effect here, "" if it has one or is not known.
func Effectless(name string) string {
	if w := find(name); w != nil {
		return w.note
	}
	return ""
}

// Unsupported is the text of the problem with a property that a Kafka client has and
// millrace's do not, "" if it has none with this value. of is producer, consumer or
// admin.
func Unsupported(of, name, value string) string {
	w, v := find(name), strings.TrimSpace(value)
	as := map[string]role{"producer": forProducer, "consumer": forConsumer, "admin": forAdmin}[of]
	if w == nil || w.roles&as == 0 || w.refuse == "" || w.harmless(v) {
		return ""
	}
	return refusal(w)
}

func refusal(w *row) string {
	return fmt.Sprintf("The '%s' property is not supported by millrace: %s", w.name, w.refuse)
}

// Secret reports whether the value of a property must not be shown.
func Secret(name string) bool {
	r := find(name)
	return r != nil && r.secret
}

func (w *row) harmless(v string) bool {
	for _, f := range w.fine {
		if strings.EqualFold(v, f) {
			return true
		}
	}
	return false
}

// check returns the number of a numeric property, or Kafka's reason against v.
func (w *row) check(v string) (n int64, text string) {
	switch w.typ {
	case configdef.Boolean:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			return 0, "Expected value to be either true or false"
		}
		if strings.EqualFold(v, "true") {
			n = 1
		}
	case configdef.Int, configdef.Long, configdef.Short:
		bits := map[configdef.Type]int{configdef.Int: 32, configdef.Long: 64, configdef.Short: 16}[w.typ]
		var err error
		if n, err = strconv.ParseInt(v, 10, bits); err != nil {
			return 0, "Not a number of type " + string(w.typ)
		}
		if w.hasMin && n < w.min {
			return 0, fmt.Sprintf("Value must be at least %d", w.min)
		}
	}
	if w.oneOf != nil {
		for _, o := range w.oneOf {
			if v == o || w.anyCase && strings.EqualFold(v, o) {
				return n, ""
			}
		}
		return 0, "String must be one of: " + strings.Join(w.oneOf, ", ")
	}
	return n, ""
}

const (
	javaPlugin   = "it names a Java class, and millrace runs none; remove it"
	javaInside   = "it steers the inside of the Java client"
	javaMetrics  = "millrace serves its own metrics under /metrics"
	serialNote   = "keys and values are made by the connector's converters"
	byteArraySer = "org.apache.kafka.common.serialization.ByteArraySerializer"
	byteArrayDes = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
)

func ms(set func(r *reader, n int64)) func(*reader, string, int64) {
	return func(r *reader, _ string, n int64) { set(r, n) }
}
