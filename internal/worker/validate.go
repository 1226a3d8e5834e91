package worker

import (
	"context"

	"millrace/internal/configdef"
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
}

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

// PluginConfig answers GET /connector-plugins/<p>/config.
func (w *Worker) PluginConfig(name, version string) ([]ConfigKey, error) {
	p := w.reg.FindAny(name)
	if p == nil {
		return nil, statusErrorf(404, "Unknown plugin %s.", name)
	}
	out := []ConfigKey{}
	for i := range p.Def.Options {
		if o := &p.Def.Options[i]; !o.Hidden {
			out = append(out, keyOf(o))
		}
	}
	return out, nil
}

func keyOf(o *configdef.Option) ConfigKey {
	k := ConfigKey{Name: o.Name, Type: string(o.Type), Required: o.Required, Importance: string(o.Importance), Documentation: o.Doc,
		OrderInGroup: o.Order, Width: string(o.Width), DisplayName: o.Display, Dependents: o.Dependents}
	if o.HasDefault {
		d := o.Default
		k.DefaultValue = &d
	}
	if o.Group != "" {
		g := o.Group
		k.Group = &g
	} else {
		k.OrderInGroup = -1
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
	return nil, statusErrorf(500, "not yet")
}
