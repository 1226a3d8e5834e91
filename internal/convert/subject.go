package convert

import (
	"context"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// subjectNamer names the subject of a schema by the configured strategy.
type subjectNamer struct {
	strategy string
	isKey    bool
	reg      *registry
	known    *planCache[subjectKey, string]
}

type subjectKey struct {
	topic  string
	schema *record.Schema
}

func newSubjectNamer(v configdef.Values, isKey bool, reg *registry) subjectNamer {
	option := "value.subject.name.strategy"
	if isKey {
		option = "key.subject.name.strategy"
	}
	return subjectNamer{strategy: v.String(option), isKey: isKey, reg: reg, known: &planCache[subjectKey, string]{max: 1000}}
}

// name returns the subject of a schema whose record is called full ("" when it is
// no record).
func (n *subjectNamer) name(ctx context.Context, topic string, s *record.Schema, full string) (string, error) {
	byTopic := topic + "-value"
	if n.isKey {
		byTopic = topic + "-key"
	}
	switch n.strategy {
	case strategyTopic:
		return byTopic, nil
	case strategyRecord, strategyTopicRecord:
		if full == "" {
			kind := "value"
			if n.isKey {
				kind = "key"
			}
			return "", &errs.Error{Java: errs.DataException, Msg: "Failed to serialize Avro data from topic " + topic + ":",
				Cause: &errs.Error{Java: errs.SerializationException, Msg: "In configuration " + kind + ".subject.name.strategy = " + n.strategy + ", the message " + kind + " must only be a record schema"}}
		}
		if n.strategy == strategyTopicRecord {
			return topic + "-" + full, nil
		}
		return full, nil
	}
	return n.known.get(subjectKey{topic, s}, func() (string, error) {
		subject, err := n.reg.associated(ctx, topic, n.isKey)
		if subject == "" {
			subject = byTopic
		}
		return subject, err
	})
}
