package emit

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

const (
	creationPrefix  = "topic.creation."
	creationGroups  = creationPrefix + "groups"
	creationDefault = "default"
)

// TopicRules are a connector's topic.creation.* groups.
type TopicRules struct {
	groups []topicGroup // the default group is the last and takes what is left
}

// topicGroup says how the topics it includes are created.
type topicGroup struct {
	name             string
	include, exclude []*javaregex.Regexp
	partitions       int32
	replication      int16
	settings         map[string]*string
}

// group returns the first group that takes the topic. The default group takes
// every topic, so there is always one.
func (t *TopicRules) group(topic string) *topicGroup {
	for i := range t.groups {
		g := &t.groups[i]
		if g.name == creationDefault || javaregex.AnyWhole(g.include, topic) && !javaregex.AnyWhole(g.exclude, topic) {
			return g
		}
	}
	return &t.groups[len(t.groups)-1]
}

// ParseTopicRules reads topic.creation.*. nil rules mean that the connector has
// no such properties, and the broker creates topics. The texts are Connect's.
func ParseTopicRules(props map[string]string) (*TopicRules, []configdef.Problem) {
	if !usesTopicCreation(props) {
		return nil, nil
	}
	p := &rulesParser{props: props}
	def := topicGroup{name: creationDefault}
	def.partitions = int32(p.number(creationDefault, "partitions", 32, nil))
	def.replication = int16(p.number(creationDefault, "replication.factor", 16, nil))
	def.settings = p.settings(creationDefault)
	t := &TopicRules{}
	names := configdef.SplitList(props[creationGroups])
	for i, name := range names {
		if name == creationDefault {
			continue // always there; Connect warns and goes on
		}
		if slices.Contains(names[:i], name) {
			p.bad(creationGroups, fmt.Sprintf("Invalid value [%s] for configuration %s: Duplicate alias provided.", strings.Join(names, ", "), creationGroups))
			continue
		}
		g := topicGroup{name: name}
		g.include = p.patterns(name, "include")
		g.exclude = p.patterns(name, "exclude")
		np, nr := int64(def.partitions), int64(def.replication)
		g.partitions = int32(p.number(name, "partitions", 32, &np))
		g.replication = int16(p.number(name, "replication.factor", 16, &nr))
		g.settings = p.settings(name)
		t.groups = append(t.groups, g)
	}
	t.groups = append(t.groups, def)
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return t, nil
}

func usesTopicCreation(props map[string]string) bool {
	for k := range props {
		if strings.HasPrefix(k, creationPrefix) {
			return true
		}
	}
	return false
}

type rulesParser struct {
	props    map[string]string
	problems []configdef.Problem
}

func (p *rulesParser) bad(name, text string) {
	p.problems = append(p.problems, configdef.Problem{Property: name, Text: text})
}

// number reads a count that must be positive or -1; def nil: it is required.
func (p *rulesParser) number(group, key string, bits int, def *int64) int64 {
	name := creationPrefix + group + "." + key
	v, ok := p.props[name]
	if !ok {
		if def != nil {
			return *def
		}
		p.bad(name, fmt.Sprintf("Missing required configuration %q which has no default value.", name))
		return -1
	}
	n, text := creationNumber(name, v, bits)
	if text != "" {
		p.bad(name, text)
	}
	return n
}

func creationNumber(name, value string, bits int) (int64, string) {
	v := strings.TrimSpace(value)
	n, err := strconv.ParseInt(v, 10, bits)
	switch {
	case err != nil && bits == 16:
		return -1, fmt.Sprintf("Invalid value %s for configuration %s: Not a number of type SHORT", v, name)
	case err != nil:
		return -1, fmt.Sprintf("Invalid value %s for configuration %s: Not a number of type INT", v, name)
	case n != -1 && n < 1 && bits == 16:
		return -1, fmt.Sprintf("Invalid value %d for configuration %s: Replication factor must be positive and not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default", n, name)
	case n != -1 && n < 1:
		return -1, fmt.Sprintf("Invalid value %d for configuration %s: Number of partitions must be positive, or -1 to use the broker's default", n, name)
	}
	return n, ""
}

func (p *rulesParser) patterns(group, key string) []*javaregex.Regexp {
	name := creationPrefix + group + "." + key
	out, text := creationPatterns(name, p.props[name])
	if text != "" {
		p.bad(name, text)
	}
	return out
}

func creationPatterns(name, value string) ([]*javaregex.Regexp, string) {
	var out []*javaregex.Regexp
	list := configdef.SplitList(value)
	for _, s := range list {
		re, err := javaregex.Compile(s, 0)
		if err != nil {
			return nil, fmt.Sprintf("Invalid value [%s] for configuration %s: Syntax error in regular expression: %s", strings.Join(list, ", "), name, err)
		}
		out = append(out, re)
	}
	return out, ""
}

// settings are the topic settings of a group: everything below its prefix that
// steers no group itself.
func (p *rulesParser) settings(group string) map[string]*string {
	out := map[string]*string{}
	for k, v := range configdef.Prefixed(p.props, creationPrefix+group+".") {
		switch k {
		case "include", "exclude", "partitions", "replication.factor":
		default:
			out[k] = &v
		}
	}
	return out
}

// CheckTopicGroups checks topic.creation.groups, for the option of that name in a
// source connector's table. As with Connect, the members of the groups are
// checked when the connector starts, by ParseTopicRules.
func CheckTopicGroups(in configdef.Input) []string {
	list := configdef.SplitList(in.Value)
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			return []string{fmt.Sprintf("Invalid value [%s] for configuration %s: Duplicate alias provided.", strings.Join(list, ", "), in.Name)}
		}
	}
	return nil
}

// TopicPatterns allows topic.creation.<group>.* in a source connector's table.
func TopicPatterns() []configdef.Pattern {
	return []configdef.Pattern{{Regexp: regexp.MustCompile(`topic\.creation\..+`),
		Doc: "How the topics of a group are created: include and exclude (lists of regular expressions), partitions, replication.factor, and any topic setting."}}
}
