package worker

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/internal/store"
)

// PluginInfo is one row of GET /connector-plugins.
type PluginInfo struct {
	Class   string  `json:"class"`
	Type    Kind    `json:"type"`
	Version *string `json:"version,omitempty"`
}

// ConfigKey describes an option.
type ConfigKey struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Required      bool     `json:"required"`
	DefaultValue  *string  `json:"default_value"`
	Importance    string   `json:"importance"`
	Documentation string   `json:"documentation"`
	Group         *string  `json:"group"`
	OrderInGroup  int      `json:"order_in_group"`
	Width         string   `json:"width"`
	DisplayName   string   `json:"display_name"`
	Dependents    []string `json:"dependents"`
}

// ConfigValue is the validation of one option.
type ConfigValue struct {
	Name        string   `json:"name"`
	Value       *string  `json:"value"`
	Recommended []string `json:"recommended_values"`
	Errors      []string `json:"errors"`
	Visible     bool     `json:"visible"`

	late int // how many of the errors, from the end, do not refuse a connector
}

// refusing are the errors for which a connector is not created.
func (v *ConfigValue) refusing() []string { return v.Errors[:len(v.Errors)-v.late] }

// ConfigInfo is an option with its validation.
type ConfigInfo struct {
	Definition *ConfigKey   `json:"definition"`
	Value      *ConfigValue `json:"value"`
}

// ConfigInfos is what PUT …/validate answers.
type ConfigInfos struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []ConfigInfo `json:"configs"`
}

// Plugins answers GET /connector-plugins.
func (w *Worker) Plugins(connectorsOnly bool) []PluginInfo {
	var kinds []Kind
	if connectorsOnly {
		kinds = []Kind{KindSink, KindSource}
	}
	out := []PluginInfo{}
	for _, p := range w.reg.List(kinds...) {
		v := VersionOf(p)
		out = append(out, PluginInfo{p.Class, p.Kind, &v})
	}
	return out
}

// PluginConfig answers GET /connector-plugins/<p>/config: the plugin's options,
// for connectors followed by Connect's own.
func (w *Worker) PluginConfig(name, version string) ([]ConfigKey, error) {
	p := w.reg.FindAny(name)
	if p == nil {
		return nil, statusErrorf(404, "Unknown plugin %s.", name)
	}
	if version != "" && !inRange(VersionOf(p), version) {
		return nil, statusErrorf(400, "%s", versionText(p, version))
	}
	out := []ConfigKey{}
	seen := map[string]bool{}
	add := func(opts []configdef.Option) {
		for i := range opts {
			if o := &opts[i]; !o.Hidden && !seen[o.Name] {
				seen[o.Name] = true
				k := keyOf(o)
				k.Required = k.Required || o.Name == "converter.type" // the worker sets it
				out = append(out, k)
			}
		}
	}
	if p.Def != nil {
		add(p.Def.Options)
	}
	if p.Kind == KindSource || p.Kind == KindSink {
		f := w.frameworkOf(p.Kind, p, nil)
		for i := range f.def.Options {
			// Without a config nothing is known of the worker's converters.
			if o := &f.def.Options[i]; strings.Contains(o.Name, ".converter") {
				o.HasDefault = false
			}
		}
		add(f.def.Options)
	}
	return out, nil
}

func keyOf(o *configdef.Option) ConfigKey {
	k := ConfigKey{Name: o.Name, Type: string(o.Type), Required: o.Required, Importance: string(o.Importance), Documentation: o.Doc,
		OrderInGroup: orderOf(o), Width: string(o.Width), DisplayName: o.Display, Dependents: o.Dependents}
	if o.HasDefault {
		d := o.Default
		k.DefaultValue = &d
	}
	if o.Group != "" {
		g := o.Group
		k.Group = &g
	}
	if k.Width == "" {
		k.Width = string(configdef.WidthNone)
	}
	if k.DisplayName == "" {
		k.DisplayName = o.Name
	}
	if k.Dependents == nil {
		k.Dependents = []string{}
	}
	return k
}

// ValidateConfig answers PUT /connector-plugins/<p>/config/validate.
func (w *Worker) ValidateConfig(ctx context.Context, plugin string, config *store.Map) (*ConfigInfos, error) {
	if class, ok := config.Get("connector.class"); ok && !strings.HasSuffix(shortened(class), shortened(plugin)) {
		return nil, statusErrorf(400, "Included connector type %s does not match request type %s", class, plugin)
	}
	return w.validate(ctx, config)
}

// shortened drops the ending Connector, as Connect compares names.
func shortened(name string) string {
	const suffix = "Connector"
	if len(name) > len(suffix) {
		return strings.TrimSuffix(name, suffix)
	}
	return name
}

// validate checks a config against Connect's own options, the connector's, those
// of its converters and the clients it overrides, in Connect's order.
func (w *Worker) validate(ctx context.Context, config *store.Map) (*ConfigInfos, error) {
	props, err := w.cfg.Providers.Resolve(config.Strings())
	if err != nil {
		return nil, err
	}
	class, ok := props["connector.class"]
	if !ok {
		return nil, statusErrorf(400, "Connector config %s contains no connector type", shuffled(masked(config)))
	}
	p := w.reg.Connector(class)
	if p == nil {
		return nil, statusErrorf(400, "%s", w.noClass(class))
	}
	if v := strings.TrimSpace(props["connector.plugin.version"]); v != "" && !inRange(VersionOf(p), v) {
		return w.otherVersion(p, v, props, config), nil
	}
	f := w.frameworkOf(p.Kind, p, props)
	out := &ConfigInfos{Name: class, Groups: f.groups}
	var undefined []ConfigInfo
	override, given := props["consumer.override.group.id"]
	given = given && p.Kind == KindSink && w.cfg.Distributed
	if given {
		v := &ConfigValue{Name: "consumer.override.group.id", Value: &override, Recommended: []string{}, Errors: []string{}, Visible: true}
		if override == w.cfg.GroupID {
			v.Errors = append(v.Errors, fmt.Sprintf("Consumer group %s conflicts with Connect worker group %s", override, override))
		}
		undefined = append(undefined, ConfigInfo{Value: v})
	}
	for _, r := range f.def.Validate(props) {
		if r.Name == "name" && p.Kind == KindSink && w.cfg.Distributed && !given && "connect-"+props["name"] == w.cfg.GroupID {
			r.Errors = append(r.Errors, fmt.Sprintf("Consumer group for sink connector named %s conflicts with Connect worker group %s", props["name"], w.cfg.GroupID))
		}
		if r.Option == nil || r.Option.Hidden {
			undefined = append(undefined, w.frameworkInfo(f, r, config))
			continue
		}
		out.Configs = append(out.Configs, w.frameworkInfo(f, r, config))
	}
	known := map[string]bool{}
	for _, r := range w.ownResults(ctx, p, props, config) {
		info := infoOf(r)
		known[r.Name] = true
		if r.Option == nil || r.Option.Hidden {
			info.Definition = nil
			undefined = append(undefined, info)
			continue
		}
		out.Configs = append(out.Configs, info)
		if g := r.Option.Group; g != "" {
			out.addGroup(g)
		}
	}
	for _, e := range config.Entries() {
		if config.IsNull(e.Key) && f.def.Find(e.Key) == nil && !known[e.Key] {
			undefined = append(undefined, ConfigInfo{Value: &ConfigValue{Name: e.Key, Recommended: []string{}, Errors: []string{nullValue}, Visible: true}})
		}
	}
	out.Configs = append(undefined, out.Configs...)
	out.Configs = append(out.Configs, w.overrideInfos(p, props)...)
	for _, key := range []string{"key.converter", "value.converter", "header.converter"} {
		w.converterInfos(out, f, key, props)
	}
	out.hideSecrets()
	for _, c := range out.Configs {
		if c.Value != nil {
			out.ErrorCount += len(c.Value.Errors)
		}
	}
	return out, nil
}

// otherVersion answers for a release of the connector that is not here: nothing is
// known of the connector itself then.
func (w *Worker) otherVersion(p *Plugin, want string, props map[string]string, config *store.Map) *ConfigInfos {
	f := &framework{classes: map[string]Kind{}, chosen: map[string]*Plugin{}}
	f.common(w, p, props)
	f.errorHandling()
	out := &ConfigInfos{Name: props["connector.class"], Groups: []string{"Common", "Transforms", "Predicates", "Error Handling"}}
	for i := range f.def.Options {
		o := &f.def.Options[i]
		if strings.Contains(o.Name, ".converter") || strings.HasPrefix(o.Name, "header.") {
			o.HasDefault, o.Check, o.Recommend = false, nil, nil
			o.Invisible = strings.HasSuffix(o.Name, ".plugin.version")
		}
	}
	for _, r := range f.def.Validate(props) {
		if r.Name == "connector.class" {
			r.Errors = append(r.Errors, versionText(p, want))
		}
		info := w.frameworkInfo(f, r, config)
		out.ErrorCount += len(info.Value.Errors)
		out.Configs = append(out.Configs, info)
	}
	return out
}

const nullValue = "Null value can not be supplied as the configuration value."

func (c *ConfigInfos) addGroup(g string) {
	for _, x := range c.Groups {
		if x == g {
			return
		}
	}
	c.Groups = append(c.Groups, g)
}

// ownResults are the connector's own checks: its table, and if that finds
// nothing, the outside world.
func (w *Worker) ownResults(ctx context.Context, p *Plugin, props map[string]string, config *store.Map) []configdef.Result {
	if p.Def.HideValues { // Debezium's: null is as if it were not there
		props = maps.Clone(props)
		maps.DeleteFunc(props, func(k, _ string) bool { return config.IsNull(k) })
	}
	rs := p.Def.Validate(props)
	for i := range rs {
		if config.IsNull(rs[i].Name) && !p.Def.HideValues {
			rs[i].Errors, rs[i].Late, rs[i].Value = nil, 0, nil
		}
	}
	if p.Validate == nil || len(configdef.Errors(rs)) > 0 {
		return rs
	}
	v, err := p.Def.Parse(props)
	if err != nil {
		return rs
	}
	for _, pr := range p.Validate(ctx, v) {
		rs = addProblem(rs, pr)
	}
	return rs
}

func addProblem(rs []configdef.Result, pr configdef.Problem) []configdef.Result {
	for i := range rs {
		if rs[i].Name == pr.Property {
			if pr.Late {
				rs[i].Errors, rs[i].Late = append(rs[i].Errors, pr.Text), rs[i].Late+1
			} else {
				rs[i].Errors = slices.Insert(rs[i].Errors, len(rs[i].Errors)-rs[i].Late, pr.Text)
			}
			return rs
		}
	}
	return addProblem(append(rs, configdef.Result{Name: pr.Property, Visible: true}), pr)
}

// frameworkInfo is one of Connect's own options; classes are looked up, and null
// values are refused.
func (w *Worker) frameworkInfo(f *framework, r configdef.Result, config *store.Map) ConfigInfo {
	if kind, ok := f.classes[r.Name]; ok && r.Value != nil {
		v, problem := w.classProblem(r.Name, *r.Value, kind)
		r.Value = v
		if problem != "" {
			r.Errors, r.Late = append([]string{problem}, r.Errors...), 0
		} else if want := wantedVersion(config, r.Name); want != "" {
			r.Errors, r.Late = append(r.Errors, versionProblem(f.chosen[r.Name], want)...), 0
		}
	}
	if r.Bad && r.Name == "tasks.max" {
		r.Errors, r.Late = append(r.Errors, "Invalid value null for configuration tasks.max: Value must be non-null"), 0
	}
	if config.IsNull(r.Name) {
		r.Value, r.Errors, r.Late = nil, []string{nullValue}, 0
		if r.Option != nil && r.Option.NullError != "" {
			r.Errors = []string{r.Option.NullError, nullValue}
		}
	}
	return infoOf(r)
}

// wantedVersion is the release that a config asks for of the class it names itself.
func wantedVersion(config *store.Map, option string) string {
	if _, given := config.Get(option); !given {
		return ""
	}
	return strings.TrimSpace(config.Value(strings.TrimSuffix(option, ".type") + ".plugin.version"))
}

// infoOf turns a result into the reply's form: values as Kafka prints them.
func infoOf(r configdef.Result) ConfigInfo {
	var info ConfigInfo
	if r.Option != nil && !r.Option.Hidden {
		k := keyOf(r.Option)
		info.Definition = &k
	}
	if r.NoValue {
		return info
	}
	v := &ConfigValue{Name: r.Name, Value: r.Value, Recommended: r.Recommended, Errors: r.Errors, Visible: r.Visible, late: r.Late}
	if v.Recommended == nil {
		v.Recommended = []string{}
	}
	if v.Errors == nil {
		v.Errors = []string{}
	}
	if r.Value != nil && r.Option != nil {
		v.Value = printed(r.Option.Type, *r.Value, r.Bad)
	}
	info.Value = v
	return info
}

// printed is ConfigDef.convertToString of the parsed value; nil when it could
// not be parsed.
func printed(t configdef.Type, raw string, bad bool) *string {
	if bad {
		return nil
	}
	s := strings.TrimSpace(raw)
	switch t {
	case configdef.Boolean:
		s = strings.ToLower(s)
	case configdef.Int, configdef.Long, configdef.Short:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			s = strconv.FormatInt(n, 10)
		}
	case configdef.Double:
		if x, err := strconv.ParseFloat(s, 64); err == nil {
			s = string(record.AppendJavaDouble(nil, x))
		}
	case configdef.List:
		s = strings.Join(configdef.SplitList(s), ",")
	case configdef.Password:
		s = "[hidden]"
	}
	return &s
}

// converterInfos adds the options of a converter the connector names itself,
// unless it could not be found. Their order is that of a Java HashMap.
func (w *Worker) converterInfos(out *ConfigInfos, f *framework, key string, props map[string]string) {
	p := f.chosen[key]
	if _, given := props[key]; !given || p == nil || p.Def == nil {
		return
	}
	for _, c := range out.Configs {
		if c.Value != nil && c.Value.Name == key && len(c.Value.Errors) > 0 {
			return
		}
	}
	sub := configdef.Prefixed(props, key+".")
	if _, ok := sub["converter.type"]; !ok {
		sub["converter.type"] = strings.TrimSuffix(key, ".converter")
	}
	byName := map[string]configdef.Result{}
	order := store.NewHash()
	for _, r := range p.Def.Validate(sub) {
		byName[r.Name] = r
		order.Put(r.Name, "")
	}
	for _, e := range order.Entries() {
		r := byName[e.Key]
		info := infoOf(r)
		if info.Definition != nil {
			info.Definition.Name = key + "." + e.Key
			if e.Key == "converter.type" {
				info.Definition.Required = true
			}
			if r.Option.Group != "" {
				out.addGroup(r.Option.Group)
			}
		}
		info.Value.Name = key + "." + e.Key
		out.Configs = append(out.Configs, info)
	}
}

// check validates a config as POST and PUT do: a 400 with one line per problem.
// What Connect would only notice in the running task is no reason to refuse: a
// connector may be created before its database is set up. It is logged, and the
// task fails with it.
func (w *Worker) check(ctx context.Context, config *store.Map) error {
	infos, err := w.validate(ctx, config)
	if err != nil || infos.ErrorCount == 0 {
		return err
	}
	var lines, later []string
	for _, c := range infos.Configs {
		if v := c.Value; v != nil {
			lines = append(lines, v.refusing()...)
			later = append(later, v.Errors[len(v.refusing()):]...)
		}
	}
	if len(lines) == 0 {
		w.log.Warn("the connector's config is accepted, but its task will fail as things are", "connector", config.Value("name"), "problems", later)
		return nil
	}
	return statusErrorf(400, "Connector configuration is invalid and contains the following %d error(s):\n%s\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`",
		len(lines), strings.Join(lines, "\n"))
}

// sortedKeysOf returns the keys of a map, sorted.
func sortedKeysOf(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// overrideInfos are the client settings a connector overrides: known ones with
// their definition, all of them against the worker's policy.
func (w *Worker) overrideInfos(p *Plugin, props map[string]string) []ConfigInfo {
	roles := []struct {
		prefix string
		used   bool
	}{
		{"producer.override.", p.Kind == KindSource || !blank(props["errors.deadletterqueue.topic.name"])},
		{"consumer.override.", p.Kind == KindSink},
		{"admin.override.", p.Kind == KindSink && !blank(props["errors.deadletterqueue.topic.name"])},
	}
	var out []ConfigInfo
	for _, role := range roles {
		if !role.used {
			continue
		}
		order := store.NewHash()
		sub := configdef.Prefixed(props, role.prefix)
		for _, k := range sortedKeysOf(sub) {
			order.Put(role.prefix+k, sub[k])
		}
		for _, e := range order.Entries() {
			v := e.Value
			e.Key = strings.TrimPrefix(e.Key, role.prefix)
			val := &ConfigValue{Name: role.prefix + e.Key, Value: &v, Recommended: []string{}, Errors: []string{}, Visible: true}
			info := ConfigInfo{Value: val}
			if o := clientOption(role.prefix, e.Key); o != nil {
				k := keyOf(o)
				k.Name = role.prefix + e.Key
				info.Definition = &k
				// Connect answers 500 to a value of the wrong type.
				if rs := (&configdef.Def{Options: []configdef.Option{*o}}).Validate(map[string]string{o.Name: v}); rs[0].Bad {
					val.Errors = append(val.Errors, rs[0].Errors...)
				}
				val.Value = printed(o.Type, v, len(val.Errors) > 0)
			}
			if text := kafkaconf.Unsupported(strings.TrimSuffix(role.prefix, ".override."), e.Key, strings.TrimSpace(v)); text != "" {
				val.Errors = append(val.Errors, text)
			}
			if !w.cfg.mayOverride(e.Key) {
				val.Errors = append(val.Errors, fmt.Sprintf("The '%s' policy does not allow '%s' to be overridden in the connector configuration.", w.cfg.OverridePolicy, e.Key))
			}
			out = append(out, info)
		}
	}
	return out
}

// secretKey matches names of properties that hold secrets; without a class there
// is no table that says so.
var secretKey = regexp.MustCompile(`(?i)password|secret|token|credential|sasl\.jaas\.config|user\.info|\.key$`)

// shuffled has the properties in the order of a Java HashMap, in which Connect
// prints them.
func shuffled(config *store.Map) *store.Map {
	out := store.NewHash()
	for _, e := range config.Entries() {
		out.Put(e.Key, e.Value)
	}
	return out
}

// masked is a config for an error text.
func masked(config *store.Map) *store.Map {
	out := config.Clone()
	for _, e := range out.Entries() {
		switch {
		case out.IsNull(e.Key):
		case secretKey.MatchString(e.Key):
			out.Put(e.Key, "[hidden]")
		default:
			out.Put(e.Key, withoutSecrets(e.Value))
		}
	}
	return out
}
