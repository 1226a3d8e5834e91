package worker

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/transform"
)

// alias adds the options of one transform or predicate: its type, its version and
// what its class declares, in Connect's order.
func (f *framework) alias(w *Worker, list, one, group, name string, kind Kind, props map[string]string) {
	prefix := list + "." + name + "."
	g := group + ": " + name
	f.groups = append(f.groups, g)
	f.classes[prefix+"type"] = kind
	f.add(configdef.Option{Name: prefix + "type", Group: g, Order: 0, Type: configdef.Class, Required: true, Importance: configdef.High, Width: configdef.WidthLong,
		Display: one + " type for " + name, Doc: "Java class of this " + strings.ToLower(one) + ".", Recommend: w.classesOf(kind),
		Check: func(in configdef.Input) []string { return negateProblem(kind, prefix, in) }})
	p := w.reg.Find(strings.TrimSpace(props[prefix+"type"]), kind)
	f.chosen[prefix+"type"] = p
	v := versionOption(prefix+"plugin.version", one+" version for "+name, "Release of this "+strings.ToLower(one)+"; only the one that is built in can be asked for.", p, configdef.High, configdef.WidthLong, VersionOf(p))
	v.Group, v.Order = g, 1
	f.add(v)
	if p == nil || len(versionProblem(p, strings.TrimSpace(props[prefix+"plugin.version"]))) > 0 {
		return
	}
	var own []configdef.Option
	if p.Def != nil {
		own = append(own, p.Def.Options...)
	}
	if kind == KindTransformation {
		own = append(own, configdef.Option{Name: "predicate", Type: configdef.String, Importance: configdef.Medium, Doc: "Name of the predicate that decides whether a record passes this transform."},
			configdef.Option{Name: "negate", Type: configdef.Boolean, HasDefault: true, Default: "false", Importance: configdef.Medium, Doc: "Pass the records for which the predicate is false."})
	}
	sub := configdef.Prefixed(props, prefix)
	groups := map[string]int{}
	for i := range own {
		if g := own[i].Group; g != "" && groups[g] == 0 {
			groups[g] = len(groups) + 1
			f.groups = append(f.groups, group+": "+name+": "+g)
		}
	}
	sort.SliceStable(own, func(i, j int) bool { return optionLess(&own[i], &own[j], groups) })
	order := 1
	for _, o := range own {
		if o.Hidden && !hasAny(sub, o.Name) {
			continue
		}
		if !o.Hidden {
			order++
		}
		if o.Display == "" {
			o.Display = o.Name
		}
		f.add(embedded(o, prefix, g, order, sub))
	}
}

func hasAny(props map[string]string, name string) bool { _, ok := props[name]; return ok }

// embedded is an option below a prefix. Checks see and name the short key, as
// Connect's embedded validators do; type errors name the long one.
func embedded(o configdef.Option, prefix, group string, order int, sub map[string]string) configdef.Option {
	short, rec := o.Name, o.Recommend
	if o.Group != "" {
		group += ": " + o.Group
	}
	o.Name, o.Group, o.Order = prefix+short, group, order
	for _, check := range []*func(configdef.Input) []string{&o.Check, &o.Asked} {
		if f := *check; f != nil {
			*check = func(in configdef.Input) []string {
				in.Name, in.Props = short, sub
				return f(in)
			}
		}
	}
	if rec != nil {
		o.Recommend = func(map[string]string) []string { return rec(sub) }
	}
	for i, a := range o.Aliases {
		if i == 0 {
			o.Aliases = append([]string{}, o.Aliases...)
		}
		o.Aliases[i] = prefix + a
	}
	return o
}

// optionLess is ConfigDef.sortedConfigs: by group (none first, then as they are
// defined), order, options without default first, importance, name.
func optionLess(a, b *configdef.Option, groups map[string]int) bool {
	if x, y := groups[a.Group], groups[b.Group]; x != y {
		return x < y
	}
	if ao, bo := orderOf(a), orderOf(b); ao != bo {
		return ao < bo
	}
	if a.Required != b.Required {
		return a.Required
	}
	if x, y := importanceOrder[a.Importance], importanceOrder[b.Importance]; x != y {
		return x < y
	}
	return a.Name < b.Name
}

// orderOf is order_in_group; options without group and order have -1.
func orderOf(o *configdef.Option) int {
	if o.Group == "" && o.Order == 0 {
		return -1
	}
	return o.Order
}

var importanceOrder = map[configdef.Importance]int{configdef.High: 0, configdef.Medium: 1, configdef.Low: 2}

func negateProblem(kind Kind, prefix string, in configdef.Input) []string {
	if kind != KindTransformation || hasAny(in.Props, prefix+"predicate") || !hasAny(in.Props, prefix+"negate") {
		return nil
	}
	return []string{fmt.Sprintf("Config '%snegate' was provided but there is no config '%spredicate' defining a predicate to be negated.", prefix, prefix)}
}

// interfaceNames are the Java interfaces of plugin kinds, for error texts.
var interfaceNames = map[Kind]string{KindConverter: "Converter", KindHeaderConverter: "HeaderConverter", KindTransformation: "Transformation", KindPredicate: "Predicate"}

// classProblem says why a class name does not name a plugin of the kind. value is
// what the reply shows: nothing when there is no such class.
func (w *Worker) classProblem(option, given string, kind Kind) (value *string, problem string) {
	name := strings.TrimSpace(given)
	if p := w.reg.Find(name, kind); p != nil {
		return &p.Class, ""
	}
	if p := w.reg.FindAny(name); p != nil {
		return &p.Class, fmt.Sprintf("Class class %s does not implement the %s interface", p.Class, interfaceNames[kind])
	}
	var inner []string
	for _, p := range w.reg.List(kind) {
		if strings.HasPrefix(p.Class, name+"$") {
			inner = append(inner, p.Class)
		}
	}
	if len(inner) > 0 {
		return &name, "This class is abstract and cannot be created. Did you mean " + strings.Join(inner, ", ") + "?"
	}
	text := fmt.Sprintf("Invalid value %s for configuration %s: Class %s could not be found.", given, option, given)
	if advice := transform.Instead(name); kind == KindTransformation && advice != "" {
		text += " " + advice
	}
	return nil, text
}

// versionProblem checks a wanted version or Maven range against the built-in one.
func versionProblem(p *Plugin, want string) []string {
	if want == "" || inRange(VersionOf(p), want) {
		return nil
	}
	return []string{versionText(p, want)}
}

func versionText(p *Plugin, want string) string {
	switch {
	case want == ",":
		want = "[,]"
	case !strings.ContainsAny(want, "[("):
		want = "[" + want + "," + want + "]"
	}
	return fmt.Sprintf("Plugin %s not found that matches the version range %s, available versions: [%s]", p.Class, want, VersionOf(p))
}

func inRange(have, want string) bool {
	want = strings.TrimSpace(want)
	if !strings.HasPrefix(want, "[") && !strings.HasPrefix(want, "(") {
		return compareVersions(have, want) == 0
	}
	if len(want) < 2 {
		return false
	}
	lo, hi, two := strings.Cut(want[1:len(want)-1], ",")
	if !two {
		hi = lo
	}
	if lo = strings.TrimSpace(lo); lo != "" {
		if c := compareVersions(have, lo); c < 0 || c == 0 && want[0] == '(' {
			return false
		}
	}
	if hi = strings.TrimSpace(hi); hi != "" {
		if c := compareVersions(have, hi); c > 0 || c == 0 && want[len(want)-1] == ')' {
			return false
		}
	}
	return true
}

func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var s, t string
		if i < len(x) {
			s = x[i]
		}
		if i < len(y) {
			t = y[i]
		}
		m, e1 := strconv.Atoi(zero(s))
		n, e2 := strconv.Atoi(zero(t))
		if e1 != nil || e2 != nil {
			if c := strings.Compare(s, t); c != 0 {
				return c
			}
			continue
		}
		if m != n {
			return m - n
		}
	}
	return 0
}

func zero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}
