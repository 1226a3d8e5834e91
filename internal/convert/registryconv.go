package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// registryConverter is what the converters with a Schema Registry have in common:
// which schema a value is written with, which one it was written with, and how what
// goes wrong is worded.
type registryConverter struct {
	kind     sr.SchemaType
	reg      *registry
	subjects subjectNamer
	register bool // auto.register.schemas
	latest   bool // use.latest.version
	useID    int  // use.schema.id; -1: off
	lenient  bool // latest.compatibility.strict or id.compatibility.strict is false
}

// registryWords are the texts of one kind of schema, as Confluent's converters word
// theirs.
type registryWords struct{ name, writing, reading, unreadable string }

var registryTexts = map[sr.SchemaType]registryWords{
	sr.TypeAvro:     {"Avro", "Failed to serialize Avro data from", "Failed to deserialize data for", "Failed to deserialize data for topic %s to Avro: "},
	sr.TypeProtobuf: {"Protobuf", "Failed to serialize Protobuf data from", "Failed to deserialize data for", "Failed to deserialize data for topic %s to Protobuf: "},
	sr.TypeJSON: {"JSON", "Converting Kafka Connect data to byte[] failed due to serialization error of", "Converting byte[] to Kafka Connect data failed due to serialization error of",
		"Converting byte[] to Kafka Connect data failed due to serialization error of topic %s: "},
}

// newRegistryConverter reads the options of registryOptions. Nothing is sent yet.
func newRegistryConverter(v configdef.Values, isKey bool, kind sr.SchemaType) (registryConverter, error) {
	c := registryConverter{kind: kind, register: v.Bool("auto.register.schemas"), latest: v.Bool("use.latest.version"), useID: v.Int("use.schema.id"),
		lenient: !v.Bool("latest.compatibility.strict")}
	if c.useID >= 0 {
		c.lenient = !v.Bool("id.compatibility.strict")
	}
	var err error
	if c.reg, err = newRegistry(v); err != nil {
		return c, err
	}
	c.subjects = newSubjectNamer(v, isKey, c.reg)
	return c, nil
}

// writer returns the id of the schema to write with. text is what the converter
// made of s, full the name of its record. other is set when the registry decides:
// the schema of that id, which need not be text.
func (c *registryConverter) writer(ctx context.Context, topic string, s *record.Schema, full, text string) (id int, other *sr.Schema, err error) {
	w := registryTexts[c.kind]
	failed := func(what string, err error) (int, *sr.Schema, error) {
		var own *errs.Error
		if errors.As(err, &own) { // worded already
			return 0, nil, err
		}
		return 0, nil, registryError(topic, "serializing "+w.name+" data for", w.writing, what+w.name+" schema"+text, err)
	}
	subject, err := c.subjects.name(ctx, topic, s, full)
	switch {
	case err != nil:
		return failed("Error retrieving ", err)
	case c.register:
		if id, err = c.reg.id(ctx, subject, sr.Schema{Schema: text, Type: c.kind}, true); err != nil {
			_, _, said := failed("Error registering ", err)
			var e *errs.Error
			if errors.As(said, &e) && e.Hint == "" {
				e.Hint = c.reg.incompatible(ctx, subject, text, c.kind, err)
			}
			return 0, nil, said
		}
		return id, nil, nil
	case c.useID >= 0:
		found, err := c.reg.schema(ctx, c.useID)
		if err != nil {
			return failed("Error retrieving ", err)
		}
		return c.useID, &found, nil
	case c.latest:
		found, err := c.reg.latestOf(ctx, subject)
		if err != nil {
			return failed("Error retrieving latest version of ", err)
		}
		return found.ID, &found.Schema, nil
	}
	if id, err = c.reg.id(ctx, subject, sr.Schema{Schema: text, Type: c.kind}, false); err != nil {
		return failed("Error retrieving ", err)
	}
	return id, nil, nil
}

// misfit is the error of a schema that the registry chose and the data does not fit.
func (c *registryConverter) misfit(topic, text string, err error) error {
	w := registryTexts[c.kind]
	return &errs.Error{Java: errs.DataException, Msg: w.writing + " topic " + topic + ":",
		Cause: &errs.Error{Java: errs.SerializationException, Msg: "Error retrieving latest version of " + w.name + " schema " + text,
			Cause: &errs.Error{Java: classIO, Msg: "Incompatible schema of type '" + c.kind.String() + "'. Set latest.compatibility.strict=false to disable this check: " + err.Error()}}}
}

// schemaOf returns the schema of an id that a record of the topic names.
func (c *registryConverter) schemaOf(ctx context.Context, topic string, id int) (sr.Schema, error) {
	w := registryTexts[c.kind]
	found, err := c.reg.schema(ctx, id)
	if err != nil {
		what := "Error retrieving " + w.name + " schema for id "
		if c.kind == sr.TypeAvro {
			what = "Error retrieving Avro value schema for id "
		}
		return found, registryError(topic, "deserializing "+w.name+" data for", w.reading, what+strconv.Itoa(id), err)
	}
	return found, c.mine(found)
}

// mine refuses a schema of another kind.
func (c *registryConverter) mine(s sr.Schema) error {
	if s.Type == c.kind {
		return nil
	}
	return &errs.Error{Java: errs.SerializationException, Msg: "the registered schema is of type " + s.Type.String() + ", not " + c.kind.String(), Hint: "Use the converter of that type"}
}

// unreadable words why a record cannot be read.
func (c *registryConverter) unreadable(topic string, cause error) error {
	var e *errs.Error
	if !errors.As(cause, &e) {
		cause = &errs.Error{Java: errs.SerializationException, Msg: cause.Error()}
	} else if e.Java == errs.DataException || e.Retriable {
		return cause
	}
	return &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf(registryTexts[c.kind].unreadable, topic), Cause: cause}
}

// wirePlan is the plan of one topic and schema behind the id of the schema in the
// registry. It is made with the first value that needs it: a null of an optional
// schema is written without the registry. It is safe for concurrent use.
type wirePlan[P any] struct {
	ready  atomic.Bool // prefix and plan are set
	mu     sync.Mutex
	prefix []byte // what stands before every value
	plan   P
}

// resolve makes the plan once.
func (w *wirePlan[P]) resolve(create func() (prefix []byte, plan P, err error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready.Load() {
		return nil
	}
	prefix, plan, err := create()
	if err != nil {
		return err
	}
	w.prefix, w.plan = prefix, plan
	w.ready.Store(true)
	return nil
}

// wireHead is what stands before a value: the magic byte and the id of its schema.
func wireHead(id int) []byte { return binary.BigEndian.AppendUint32([]byte{0}, uint32(id)) }

// readPlans keeps what was compiled to read the schemas of a registry, at most max
// of them. It is safe for concurrent use.
type readPlans[K comparable, P any] struct {
	max int

	mu    sync.RWMutex
	plans map[K]P
	in    *record.Interner
}

// get returns the plan of k; create makes it with the interner of its schemas.
func (r *readPlans[K, P]) get(k K, create func(*record.Interner) (P, error)) (P, error) {
	r.mu.RLock()
	p, ok := r.plans[k]
	r.mu.RUnlock()
	if ok {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.plans[k]; ok {
		return p, nil
	}
	if r.plans == nil || r.max > 0 && len(r.plans) >= r.max {
		r.plans, r.in = map[K]P{}, &record.Interner{}
	}
	p, err := create(r.in)
	if err == nil {
		r.plans[k] = p
	}
	return p, err
}

// splitWire takes the schema id off Confluent's wire format.
func splitWire(data []byte) (id int, payload []byte, err error) {
	if len(data) < 5 || data[0] != 0 {
		return 0, nil, &errs.Error{Java: errs.SerializationException, Msg: "Unknown magic byte!",
			Hint: "The record was not written with a Schema Registry converter; check the converter of whoever writes this topic"}
	}
	return int(binary.BigEndian.Uint32(data[1:])), data[5:], nil
}

// noSchema refuses a value without schema.
func noSchema(converter, topic, hint string) error {
	return &errs.Error{Java: errs.DataException, Msg: converter + " cannot write a value without schema (topic " + topic + ")", Hint: hint}
}
