package transform

import (
	"bytes"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// ---- RegexRouter

// router renames topics by a pattern that must match the whole name.
type router struct {
	regex  *javaregex.Regexp
	repl   *javaregex.Replacement
	topics topicCache
	routes map[*record.Topic]*record.Topic
}

func newRouter(pattern, replacement string) (*router, error) {
	r, err := javaregex.Compile(pattern, 0)
	if err != nil {
		return nil, err
	}
	p, err := r.CompileReplacement(replacement)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "replacement " + replacement + ": " + err.Error()}
	}
	return &router{regex: r, repl: p}, nil
}

// route returns the new topic, or nil when the pattern does not match.
func (t *router) route(topic *record.Topic) *record.Topic {
	if n, ok := t.routes[topic]; ok {
		return n
	}
	var n *record.Topic
	if out, ok := t.regex.RouteWhole(topic.Name, t.repl); ok {
		n = t.topics.get(out)
	}
	if t.routes == nil || len(t.routes) >= 1<<16 {
		t.routes = map[*record.Topic]*record.Topic{}
	}
	t.routes[topic] = n
	return n
}

func regexRouterDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		orNull(opt("regex", configdef.String, required, configdef.High, "Java pattern that the whole topic name must match.", regex), nullText("regex", "Invalid regex: null")),
		opt("replacement", configdef.String, required, configdef.High, "New name, with $1 for groups.", replacementFor("regex", "")),
	}}
}

func newRegexRouter(v configdef.Values) (Step, error) {
	return newRouter(v.String("regex"), v.String("replacement"))
}

func (t *router) Apply(_ *record.Batch, r *record.Record) (bool, error) {
	if n := t.route(r.Topic); n != nil {
		r.Topic = n
	}
	return true, nil
}

// ---- TimestampRouter

type timestampRouter struct {
	format string
	date   *dateFormat
	topics topicCache
	buf    []byte
	// The last answer: records of one topic and day come in runs.
	from, to *record.Topic
	stamp    []byte
}

func timestampRouterDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		opt("topic.format", configdef.String, "${topic}-${timestamp}", configdef.High, "New name, with ${topic} and ${timestamp}."),
		late(opt("timestamp.format", configdef.String, "yyyyMMdd", configdef.High, "Pattern of java.text.SimpleDateFormat.", datePattern)),
	}}
}

func datePattern(in configdef.Input) []string {
	if _, err := compileDateFormat(in.Value); err != nil {
		return invalid(in, err.Error())
	}
	return nil
}

func newTimestampRouter(v configdef.Values) (Step, error) {
	f, err := compileDateFormat(v.String("timestamp.format"))
	if err != nil {
		return nil, err
	}
	return &timestampRouter{format: v.String("topic.format"), date: f}, nil
}

func (t *timestampRouter) Apply(_ *record.Batch, r *record.Record) (bool, error) {
	if r.Timestamp == record.NoTimestamp {
		return true, dataErr("Timestamp missing on record: topic %s", r.Topic.Name)
	}
	t.buf = t.date.format(t.buf[:0], r.Timestamp)
	if t.from == r.Topic && bytes.Equal(t.buf, t.stamp) {
		r.Topic = t.to
		return true, nil
	}
	name := strings.ReplaceAll(strings.ReplaceAll(t.format, "${topic}", r.Topic.Name), "${timestamp}", string(t.buf))
	t.from, t.to, t.stamp = r.Topic, t.topics.get(name), append(t.stamp[:0], t.buf...)
	r.Topic = t.to
	return true, nil
}

// ---- Filter and the predicates

type filter struct{}

func (filter) Apply(*record.Batch, *record.Record) (bool, error) { return false, nil }

type topicNameMatches struct {
	regex *javaregex.Regexp
	known map[*record.Topic]bool
}

func topicNameMatchesDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{orNull(
		opt("pattern", configdef.String, required, configdef.Medium, "Java pattern that the whole topic name must match.", nonEmpty, regex), nullText("pattern", "Invalid regex: null"))}}
}

func newTopicNameMatches(v configdef.Values) (Predicate, error) {
	r, err := javaregex.Compile(v.String("pattern"), 0)
	return &topicNameMatches{regex: r}, err
}

func (t *topicNameMatches) Test(_ *record.Batch, r *record.Record) bool {
	if m, ok := t.known[r.Topic]; ok {
		return m
	}
	m := r.Topic != nil && t.regex.MatchWhole(r.Topic.Name)
	if t.known == nil || len(t.known) >= 1<<16 {
		t.known = map[*record.Topic]bool{}
	}
	t.known[r.Topic] = m
	return m
}

type hasHeaderKey struct{ name string }

func hasHeaderKeyDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{opt("name", configdef.String, required, configdef.Medium, "Name of the header.", nonEmpty)}}
}

func newHasHeaderKey(v configdef.Values) (Predicate, error) {
	return hasHeaderKey{v.String("name")}, nil
}

func (t hasHeaderKey) Test(b *record.Batch, r *record.Record) bool {
	for _, h := range b.Headers(r) {
		if h.Key == t.name {
			return true
		}
	}
	return false
}

type recordIsTombstone struct{}

func (recordIsTombstone) Test(_ *record.Batch, r *record.Record) bool { return r.Value.IsNull() }
