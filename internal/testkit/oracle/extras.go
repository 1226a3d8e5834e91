package oracle

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/testkit"
)

// topicSettings makes a row for each topic of the run: its partitions and the
// settings it was created with.
func (s *session) topicSettings(ctx context.Context) ([]Row, error) {
	adm := kadm.NewClient(s.Hub.cl)
	all, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	n := NewNormal(s.run, Normalise{})
	names := slices.DeleteFunc(all.Names(), func(t string) bool {
		return !strings.Contains(t, s.run.Prefix) || strings.HasPrefix(t, "history.") || strings.Contains(t, "zz_sentinel") || s.c.ignores(n.Text(t))
	})
	if len(names) == 0 {
		return nil, nil
	}
	configs, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, err
	}
	var out []Row
	for _, c := range configs {
		own := &Object{}
		slices.SortFunc(c.Configs, func(a, b kadm.Config) int { return cmp.Compare(a.Key, b.Key) })
		for _, x := range c.Configs {
			if x.Source == kmsg.ConfigSourceDynamicTopicConfig {
				own.Set(x.Key, x.MaybeValue())
			}
		}
		parts := Int(digitsOf(int32(len(all[c.Name].Partitions))))
		out = append(out, object("topic", n.Text(c.Name), "key", nil, "value", object("describe", object("partitions", parts, "config", own))))
	}
	return out, nil
}

var (
	javaLang = regexp.MustCompile(`(?s)^(java\.lang\.\w+).*`)
	guid     = regexp.MustCompile(`\b(guid=)[0-9a-f-]{36}`)
	idNumber = regexp.MustCompile(`(\bid:? ?[=:]? ?)\d+`)
)

// taskStates makes the row of connector and task states, with class and message of
// each exception in a failed task's trace.
func (s *session) taskStates(ctx context.Context) (Row, error) {
	var st testkit.Status
	if err := s.Rest.Do(ctx, "GET", "/connectors/"+s.name+"/status", nil, &st); err != nil {
		return nil, err
	}
	n := NewNormal(s.run, *s.c.Normal)
	tasks := []Value{}
	for _, t := range st.Tasks {
		o := object("state", t.State)
		if t.Trace != "" {
			causes := []Value{}
			for _, h := range traceHeads(t.Trace) {
				h = n.Text(strings.TrimSpace(javaLang.ReplaceAllString(h, "$1")))
				causes = append(causes, guid.ReplaceAllString(idNumber.ReplaceAllString(h, "${1}#"), "${1}#"))
			}
			o.Set("causes", causes)
		}
		tasks = append(tasks, o)
	}
	return object("topic", "~status", "key", nil, "value", object("status", object("connector", st.Connector.State, "tasks", tasks))), nil
}

// traceHeads returns class and message of each exception of a Java stack trace,
// without the frames.
func traceHeads(trace string) (out []string) {
	frame := func(l string) bool {
		return strings.HasPrefix(l, "\tat ") || strings.HasPrefix(l, "\t... ")
	}
	open := false
	for l := range strings.SplitSeq(trace, "\n") {
		cause := strings.HasPrefix(l, "Caused by: ")
		switch {
		case frame(l):
			open = false
		case open && !cause:
			out[len(out)-1] += "\n" + l
		case l != "" && l[0] != ' ' && l[0] != '\t':
			out = append(out, strings.TrimPrefix(l, "Caused by: "))
			open = true
		}
	}
	return out
}
