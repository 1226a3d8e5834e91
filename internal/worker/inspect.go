package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/internal/store"
)

// Verdict is what a take-over means for a property or a connector.
type Verdict string

// The verdicts, from best to worst.
const (
	Works   Verdict = "works"
	Differs Verdict = "differs"
	Refused Verdict = "refused"
)

func (v Verdict) rank() int { return slices.Index([]Verdict{Works, Differs, Refused}, v) }

// Worse is the worse of two verdicts.
func (v Verdict) Worse(u Verdict) Verdict {
	if u.rank() > v.rank() {
		return u
	}
	return v
}

// PropertyReport is one property of a connector, or a fact about it ("(offsets)").
type PropertyReport struct {
	Property string  `json:"property"`
	Verdict  Verdict `json:"verdict"`
	Text     string  `json:"text,omitempty"`
}

// ConnectorReport is one connector of the storage topics. Values are never shown.
type ConnectorReport struct {
	Name       string           `json:"name"`
	Class      string           `json:"class"`
	Target     string           `json:"target_state"`
	State      string           `json:"state,omitempty"` // as its last worker reported it
	Tasks      int              `json:"tasks"`
	Verdict    Verdict          `json:"verdict"`
	Properties []PropertyReport `json:"properties"`
}

// Inspection is what a take-over of a group would find.
type Inspection struct {
	Group      string            `json:"group_id"`
	Members    int               `json:"members"` // workers that run at this moment
	Verdict    Verdict           `json:"verdict"`
	Worker     []PropertyReport  `json:"worker"`
	Connectors []ConnectorReport `json:"connectors"`
	// Read: the storage topics were read.
	Read bool `json:"storage_read"`
}

// Inspect reads the storage topics of the worker's group without joining it, and
// tells for each connector what works, differs and is refused. Nothing is written.
func (w *Worker) Inspect(ctx context.Context) (*Inspection, error) {
	if !w.cfg.Distributed {
		return nil, errors.New("a take-over reads the storage topics of a distributed worker; these properties are of a standalone one")
	}
	o, err := w.cfg.internalOpts(w.cfg.InternalClientID("takeover"))
	if err != nil {
		return nil, err
	}
	if w.admin, err = kgo.NewClient(o...); err != nil {
		return nil, fmt.Errorf("worker client: %w", err)
	}
	defer w.admin.Close()
	w.adm = kadm.NewClient(w.admin)
	closeAll, err := w.readStorage(ctx, o)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	in := w.cfg.Inspection(nil)
	gs, err := w.adm.DescribeGroups(ctx, w.cfg.GroupID)
	if err != nil {
		return nil, fmt.Errorf("look for the group %s: %w", w.cfg.GroupID, err)
	}
	in.Members = len(gs[w.cfg.GroupID].Members)
	for _, name := range w.configs.Names() {
		r := w.inspectConnector(ctx, w.configs.Get(name))
		in.Verdict = in.Verdict.Worse(r.Verdict)
		in.Connectors = append(in.Connectors, r)
	}
	return in, nil
}

// readStorage reads the three topics, which must exist.
func (w *Worker) readStorage(ctx context.Context, o []kgo.Opt) (closeAll func(), err error) {
	var logs []store.Log
	mk := func(topic, property string, one bool) store.Log {
		spec := w.cfg.topicSpec(topic, property, -1, one)
		spec.NoCreate = true
		spec.Absent = "no group of workers has run with these bootstrap.servers and topics; is this the file that the workers are started with?"
		l := store.NewKafkaLog(spec, w.log, o...)
		logs = append(logs, l)
		return l
	}
	closeAll = func() {
		for _, l := range logs {
			if err := l.Close(context.WithoutCancel(ctx)); err != nil {
				w.log.Warn("close a storage topic", "error", err)
			}
		}
	}
	w.configs = store.NewConfigs(mk(w.cfg.ConfigTopic, "config.storage.topic", true), w.log)
	w.offsets = store.NewOffsets(mk(w.cfg.OffsetTopic, "offset.storage.topic", false), w.log)
	w.statuses = store.NewStatuses(mk(w.cfg.StatusTopic, "status.storage.topic", false), w.log)
	for _, start := range []func() error{
		func() error { return w.configs.Start(ctx, nil) }, func() error { return w.offsets.Start(ctx) }, func() error { return w.statuses.Start(ctx) },
	} {
		if err := start(); err != nil {
			closeAll()
			return nil, err
		}
	}
	return closeAll, nil
}

// Inspection begins the report of a take-over: what there is to say about the worker's
// properties, of which problems were found before.
func (c *Config) Inspection(problems []configdef.Problem) *Inspection {
	in := &Inspection{Group: c.GroupID, Verdict: Works, Worker: []PropertyReport{}, Connectors: []ConnectorReport{}}
	for _, p := range problems {
		text := strings.TrimPrefix(strings.TrimPrefix(p.Text, p.Property+": "), p.Property+"=")
		in.Worker = append(in.Worker, PropertyReport{p.Property, Refused, text})
	}
	in.Worker = append(in.Worker, c.workerReport()...)
	slices.SortStableFunc(in.Worker, func(a, b PropertyReport) int { return cmp.Compare(b.Verdict.rank(), a.Verdict.rank()) })
	for _, p := range in.Worker {
		in.Verdict = in.Verdict.Worse(p.Verdict)
	}
	return in
}

// workerReport lists the worker's properties that mean nothing here, and clientReport.
func (c *Config) workerReport() []PropertyReport {
	out := []PropertyReport{}
	for _, n := range c.notes() {
		out = append(out, PropertyReport{n.Property, Differs, n.Text})
	}
	return append(out, c.clientReport()...)
}

// clientKinds are the Kafka clients of connectors, by the prefix of their settings in the
// worker's file; in a connector's config "override." follows it.
var clientKinds = []struct {
	prefix string
	read   func(map[string]string) kafkaconf.Result
}{{"producer.", kafkaconf.Producer}, {"consumer.", kafkaconf.Consumer}, {"admin.", kafkaconf.Admin}}

// clientReport lists the settings of connectors' clients, which the worker's properties
// give to all of them, that have no effect or are refused.
func (c *Config) clientReport() (out []PropertyReport) {
	for _, role := range clientKinds {
		own := configdef.Prefixed(c.Props, role.prefix)
		if role.prefix == "admin." {
			maps.DeleteFunc(own, func(k, _ string) bool { return strings.HasPrefix(k, "listeners") })
		}
		res := role.read(c.clientProps(role.prefix, nil, ""))
		for _, p := range res.Problems {
			if _, ok := own[p.Property]; ok {
				out = append(out, PropertyReport{role.prefix + p.Property, Refused, p.Text})
			}
		}
		for _, n := range res.Notes {
			if _, ok := own[n.Property]; ok {
				out = append(out, PropertyReport{role.prefix + n.Property, Differs, n.Text})
			}
		}
		for _, name := range res.Unknown {
			if _, ok := own[name]; ok {
				out = append(out, PropertyReport{role.prefix + name, Differs, "Kafka's " + strings.TrimSuffix(role.prefix, ".") + " has no such setting; it is ignored here and by Connect"})
			}
		}
	}
	return out
}

func sortedNames[V any](props map[string]V) []string {
	return slices.Sorted(maps.Keys(props))
}

func (w *Worker) inspectConnector(ctx context.Context, c *store.Connector) ConnectorReport {
	raw := c.Config.Strings()
	r := ConnectorReport{Name: c.Name, Class: className(raw), Target: string(c.Target), Tasks: len(c.Tasks), Verdict: Works}
	if st := w.statuses.Connector(c.Name); st != nil {
		r.State = st.State
	}
	add := func(property string, v Verdict, text string) {
		r.Properties = append(r.Properties, PropertyReport{property, v, text})
		r.Verdict = r.Verdict.Worse(v)
	}
	if w.reg.Connector(r.Class) == nil {
		add("connector.class", Refused, "millrace has no connector "+r.Class+"; `millrace plugins` lists those it has")
		return r
	}
	infos, err := w.validate(ctx, c.Config)
	if err != nil {
		add("connector.class", Refused, err.Error())
		return r
	}
	problems := map[string][]string{}
	known := map[string]bool{}
	for _, i := range infos.Configs {
		if i.Definition != nil {
			known[i.Definition.Name] = true
		}
		if i.Value != nil && len(i.Value.Errors) > 0 {
			problems[i.Value.Name] = i.Value.Errors
		}
	}
	p := w.reg.Connector(r.Class)
	f := w.frameworkOf(p.Kind, p, raw)
	for _, k := range sortedNames(raw) {
		if errs := problems[k]; len(errs) > 0 {
			add(k, Refused, strings.Join(errs, "; "))
			delete(problems, k)
			continue
		}
		v, text := f.propertyVerdict(p, k, raw[k], known)
		add(k, v, text)
	}
	for _, k := range sortedNames(problems) {
		add(k, Refused, strings.Join(problems[k], "; "))
	}
	w.inspectTasks(p, c, add)
	w.inspectOffsets(ctx, p, c, add)
	return r
}

// withoutEffect is how the text of an option begins that old configs may hold.
const withoutEffect = "Accepted for compatibility"

// partPrefixes are of settings that converters, transforms and the like may read.
var partPrefixes = []string{"key.converter.", "value.converter.", "header.converter.", "transforms.", "predicates.", "topic.creation.", "errors."}

func ofPart(k string) bool {
	return slices.ContainsFunc(partPrefixes, func(prefix string) bool { return strings.HasPrefix(k, prefix) })
}

// clientOf returns what reads a connector's own setting of a Kafka client and the
// setting's name there; nil when it is none.
func clientOf(k string) (read func(map[string]string) kafkaconf.Result, name string) {
	for _, c := range clientKinds {
		if name, ok := strings.CutPrefix(k, c.prefix+"override."); ok {
			return c.read, name
		}
	}
	return nil, ""
}

// ignored are the names in a connector's config that nothing reads, or that have no
// effect; sorted.
func (w *Worker) ignored(p *Plugin, props map[string]string) (names []string) {
	f := w.frameworkOf(p.Kind, p, props)
	for _, k := range sortedNames(props) {
		if o := p.Def.Find(k); o != nil {
			if strings.HasPrefix(o.Doc, withoutEffect) {
				names = append(names, k)
			}
			continue
		}
		if client, _ := clientOf(k); client == nil && !ofPart(k) && !p.Def.Allows(k) && f.def.Find(k) == nil {
			names = append(names, k)
		}
	}
	return names
}

// propertyVerdict is about a property that validation has nothing against. known are
// the names that validation describes.
func (f *framework) propertyVerdict(p *Plugin, k, value string, known map[string]bool) (Verdict, string) {
	if o := p.Def.Find(k); o != nil {
		if strings.HasPrefix(o.Doc, withoutEffect) {
			return Differs, o.Doc
		}
		return Works, ""
	}
	if known[k] || p.Def.Allows(k) || f.def.Find(k) != nil {
		return Works, ""
	}
	if read, name := clientOf(k); read != nil {
		for _, n := range read(map[string]string{"bootstrap.servers": "localhost:9092", name: value}).Notes {
			if n.Property == name {
				return Differs, n.Text
			}
		}
		return Works, ""
	}
	if ofPart(k) {
		return Differs, "nothing that the connector uses reads it; Connect ignores it as well"
	}
	return Differs, "not an option of this connector in millrace; Connect ignores unknown options as well"
}

// inspectTasks compares the stored task configs with those that would be written:
// where they are equal, nothing is written, and a hand-back finds its own.
func (w *Worker) inspectTasks(p *Plugin, c *store.Connector, add func(string, Verdict, string)) {
	if c.Target == store.Stopped {
		add("(tasks)", Works, "stopped: no tasks")
		return
	}
	want, err := w.taskConfigs(p, c.Config)
	switch {
	case err != nil:
		add("(tasks)", Refused, err.Error())
	case c.Inconsistent:
		add("(tasks)", Differs, "the stored task configs are incomplete and are made anew")
	case !sameTasks(c.Tasks, want):
		add("(tasks)", Differs, fmt.Sprintf("%d task configs are stored and %d are written anew at the start, since they differ", len(c.Tasks), len(want)))
	default:
		add("(tasks)", Works, fmt.Sprintf("%d task configs are as millrace would write them", len(want)))
	}
}

// inspectOffsets tells from where the connector goes on.
func (w *Worker) inspectOffsets(ctx context.Context, p *Plugin, c *store.Connector, add func(string, Verdict, string)) {
	if p.Kind == KindSource {
		var list []store.PartitionOffset
		err := w.withOffsets(ctx, c, func(o *taskOffsets) error { list = o.List(); return nil })
		switch {
		case err != nil:
			add("(offsets)", Refused, err.Error())
		case len(list) == 0:
			add("(offsets)", Differs, "no offset is stored: it starts as a new connector does, most likely with a snapshot")
		default:
			for _, o := range list {
				add("(offsets)", Works, fmt.Sprintf("goes on for %s at %s", o.Partition, o.Offset))
			}
		}
		return
	}
	group := w.group(c.Name, c.Config)
	offs, err := w.adm.FetchOffsets(ctx, group)
	n := 0
	offs.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			n++
		}
	})
	switch {
	case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
		add("(offsets)", Refused, fmt.Sprintf("cannot read the offsets of the consumer group %s: %v", group, err))
	case n == 0:
		add("(offsets)", Differs, "the consumer group "+group+" has no offsets: it reads its topics from the beginning")
	default:
		add("(offsets)", Works, fmt.Sprintf("the consumer group %s goes on in %d partitions", group, n))
	}
}

// StoredConfig reads the config of one connector from the storage topics, resolved.
func (w *Worker) StoredConfig(ctx context.Context, name string) (map[string]string, error) {
	if !w.cfg.Distributed {
		return nil, errors.New("the connectors of a standalone worker are in no topic; these properties are of one")
	}
	o, err := w.cfg.internalOpts(w.cfg.InternalClientID("takeover"))
	if err != nil {
		return nil, err
	}
	closeAll, err := w.readStorage(ctx, o)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	c := w.configs.Get(name)
	if c == nil {
		return nil, fmt.Errorf("the topic %s holds no connector %s; it holds %s", w.cfg.ConfigTopic, name, strings.Join(w.configs.Names(), ", "))
	}
	return w.cfg.Providers.Resolve(c.Config.Strings())
}

// Reader prints the records that a connector's converters wrote, one text per key or
// value; two records with equal contents have equal texts.
type Reader struct {
	conv converterSet
	text convert.Converter
	// topics are kept, since converters cache by them.
	topics map[string]*record.Topic
}

// ReaderOf makes the reader for a connector's properties.
func (w *Worker) ReaderOf(props map[string]string) (*Reader, error) {
	conv, err := w.converters(props)
	if err != nil {
		return nil, err
	}
	text, err := convert.NewString(nil, false)
	return &Reader{conv: conv, text: text, topics: map[string]*record.Topic{}}, err
}

// Text prints a key or value; "null" for none.
func (r *Reader) Text(ctx context.Context, topic string, data []byte, isKey bool) (string, error) {
	t := r.topics[topic]
	if t == nil {
		t = &record.Topic{Name: topic}
		r.topics[topic] = t
	}
	conv := r.conv.value
	if isKey {
		conv = r.conv.key
	}
	b := &record.Batch{}
	s, v, err := conv.Decode(ctx, t, data, b)
	if err != nil {
		return "", err
	}
	enc, err := r.text.Encoder(ctx, t, s)
	if err != nil {
		return "", err
	}
	out, null, err := enc.Append(nil, b, v)
	if null {
		return "null", err
	}
	return string(out), err
}
