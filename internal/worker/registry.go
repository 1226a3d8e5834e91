package worker

import (
	"sort"
	"strings"
)

// ConnectVersion is the release of Kafka Connect whose API is answered, and
// ConnectCommit its commit.
const (
	ConnectVersion = "4.3.1"
	ConnectCommit  = "26b251a451ce941d"
)

// Registry finds plugins by Java class name or short name.
type Registry struct {
	plugins []Plugin
	names   map[string][]int
}

// NewRegistry indexes the table of plugins.
func NewRegistry(plugins []Plugin) *Registry {
	r := &Registry{plugins: plugins, names: map[string][]int{}}
	alias := map[string]map[string][]int{}
	for i, p := range plugins {
		r.names[p.Class] = append(r.names[p.Class], i)
		for _, a := range aliases(p) {
			if alias[a] == nil {
				alias[a] = map[string][]int{}
			}
			alias[a][p.Class] = append(alias[a][p.Class], i)
		}
	}
	for a, classes := range alias {
		if r.names[a] != nil {
			continue
		}
		if len(classes) == 1 {
			for class := range classes {
				r.names[a] = r.names[class] // in every kind that the class has
			}
			continue
		}
		// Ambiguous: Connect takes none of them. Of connectors the first in the table
		// counts, since in Connect the others are seldom installed beside it.
		first := -1
		for _, is := range classes {
			if k := plugins[is[0]].Kind; (k == KindSource || k == KindSink) && (first < 0 || is[0] < first) {
				first = is[0]
			}
		}
		if first >= 0 {
			r.names[a] = []int{first}
		}
	}
	return r
}

// scripting is in an archive of its own that few workers have; without it, Filter is
// Kafka's.
const scripting = "io.debezium.transforms.Filter"

// aliases are the simple class name and the name without the kind's suffix.
func aliases(p Plugin) []string {
	if p.Class == scripting {
		return nil
	}
	simple := p.Class[strings.LastIndexByte(p.Class, '.')+1:]
	simple = simple[strings.LastIndexByte(simple, '$')+1:]
	suffix := map[Kind]string{KindSource: "Connector", KindSink: "Connector", KindConverter: "Converter",
		KindHeaderConverter: "HeaderConverter", KindTransformation: "Transformation", KindPredicate: "Predicate"}[p.Kind]
	if i := strings.LastIndex(simple, suffix); i > 0 {
		return []string{simple, simple[:i]}
	}
	return []string{simple}
}

// Find returns the plugin of one of the kinds, nil if there is none.
func (r *Registry) Find(name string, kinds ...Kind) *Plugin {
	for _, i := range r.names[name] {
		for _, k := range kinds {
			if r.plugins[i].Kind == k {
				return &r.plugins[i]
			}
		}
	}
	return nil
}

// FindAny returns a plugin of whatever kind.
func (r *Registry) FindAny(name string) *Plugin {
	if is := r.names[name]; len(is) > 0 {
		return &r.plugins[is[0]]
	}
	return nil
}

// Connector returns a source or sink plugin.
func (r *Registry) Connector(name string) *Plugin { return r.Find(name, KindSource, KindSink) }

// List returns the plugins of the kinds (all without), sorted by kind and class
// as Connect lists them.
func (r *Registry) List(kinds ...Kind) []*Plugin {
	var out []*Plugin
	for i := range r.plugins {
		p := &r.plugins[i]
		if len(kinds) == 0 {
			out = append(out, p)
			continue
		}
		for _, k := range kinds {
			if p.Kind == k {
				out = append(out, p)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if a, b := kindOrder[out[i].Kind], kindOrder[out[j].Kind]; a != b {
			return a < b
		}
		return out[i].Class < out[j].Class
	})
	return out
}

var kindOrder = map[Kind]int{KindSink: 0, KindSource: 1, KindConverter: 2, KindHeaderConverter: 3, KindTransformation: 4, KindPredicate: 5}

// VersionOf is the version that REST shows for a plugin.
func VersionOf(p *Plugin) string {
	if p == nil {
		return ""
	}
	if p.Version == "" {
		return ConnectVersion
	}
	return p.Version
}
