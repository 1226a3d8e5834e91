package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"millrace/internal/remote"
)

// hidden stands for a password in a page; saved, it means the value that is there.
const hidden = "••••••••"

// secretName is of properties that no definition tells the type of, such as those
// of transforms and clients.
var secretName = regexp.MustCompile(`(?i)password|passwd|secret|credential|api\.?key|access\.?key|token|sasl\.jaas|basic\.auth\.user\.info|private`)

// definitions of a plugin, by name; nil when the class is not known.
func (s *Server) definitions(r *http.Request, class string) map[string]keyBody {
	var keys []keyBody
	if class == "" || s.get(r, "/connector-plugins/"+url.PathEscape(class)+"/config", &keys) != nil {
		return nil
	}
	out := map[string]keyBody{}
	for _, k := range keys {
		out[k.Name] = k
	}
	return out
}

// mask hides the passwords of a config. References to config providers stay.
func (s *Server) mask(r *http.Request, cfg map[string]string) map[string]string {
	defs := s.definitions(r, cfg["connector.class"])
	out := map[string]string{}
	for k, v := range cfg {
		secret := secretName.MatchString(k)
		if d, ok := defs[k]; ok {
			secret = d.Type == "PASSWORD"
		}
		if secret && v != "" && !strings.HasPrefix(v, "${") {
			v = hidden
		}
		out[k] = v
	}
	return out
}

// unmask puts the present passwords of a connector in the place of hidden ones.
func (s *Server) unmask(r *http.Request, name string, cfg map[string]string) error {
	var now map[string]string
	for k, v := range cfg {
		if v != hidden {
			continue
		}
		if now == nil {
			if err := s.get(r, remote.Path(name, "/config"), &now); err != nil {
				return fmt.Errorf("the password in %s is hidden and there is no connector %q to take it from: write it anew", k, name)
			}
		}
		old, ok := now[k]
		if !ok {
			return fmt.Errorf("there is no password in %s so far: write it instead of the dots", k)
		}
		cfg[k] = old
	}
	return nil
}

// editData is the config editor.
type editData struct {
	Name, Tab string
	Text      string
	Lines     int // of the text
}

func (s *Server) config(r *http.Request) (string, any, error) {
	name := r.PathValue("name")
	var cfg map[string]string
	if err := s.get(r, remote.Path(name, "/config"), &cfg); err != nil {
		return "", nil, err
	}
	return name + " · config", editData{Name: name, Tab: "config", Text: text(s.mask(r, cfg)), Lines: min(40, max(8, len(cfg)+4))}, nil
}

// text prints a config as JSON, the class and the name first.
func text(cfg map[string]string) string {
	keys := make([]string, 0, len(cfg))
	for k := range cfg {
		keys = append(keys, k)
	}
	rank := func(k string) int {
		return map[string]int{"connector.class": -3, "name": -2, "tasks.max": -1}[k]
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	var out bytes.Buffer
	enc := func(v string) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // a string always encodes
		return strings.TrimSpace(b.String())
	}
	out.WriteString("{\n")
	for i, k := range keys {
		fmt.Fprintf(&out, "  %s: %s", enc(k), enc(cfg[k]))
		if i < len(keys)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("}")
	return out.String()
}

// posted reads a config from a form: a map, or {"name": …, "config": {…}} as it is
// posted to /connectors.
func posted(r *http.Request) (name string, cfg map[string]string, err error) {
	name = r.PostFormValue("name")
	var raw map[string]any
	if err := json.Unmarshal([]byte(r.PostFormValue("config")), &raw); err != nil {
		return "", nil, fmt.Errorf("this is no JSON object: %w", err)
	}
	if inner, ok := raw["config"].(map[string]any); ok {
		if n, ok := raw["name"].(string); ok {
			name = n
		}
		raw = inner
	}
	cfg = map[string]string{}
	for k, v := range raw {
		switch v := v.(type) {
		case string:
			cfg[k] = v
		case nil:
		case bool, float64:
			cfg[k] = fmt.Sprint(v)
		default:
			return "", nil, fmt.Errorf("the value of %s must be text, a number or a boolean", k)
		}
	}
	if name == "" {
		name = cfg["name"]
	}
	cfg["name"] = name
	return name, cfg, nil
}

// problem is what validation says of a property.
type problem struct{ Property, Text string }

type problemsData struct {
	Problems []problem
	Checked  bool
}

// validate asks the validation endpoint, as the user types.
func (s *Server) validate(r *http.Request) (string, any, error) {
	name, cfg, err := posted(r)
	if err != nil {
		return "", problemsData{Problems: []problem{{"", err.Error()}}}, nil
	}
	d, err := s.problems(r, name, cfg)
	return "", d, err
}

// problems is what validation says about a config.
func (s *Server) problems(r *http.Request, name string, cfg map[string]string) (problemsData, error) {
	var d problemsData
	if name == "" {
		d.Problems = append(d.Problems, problem{"name", "A connector needs a name."})
	}
	class := cfg["connector.class"]
	if class == "" {
		d.Problems = append(d.Problems, problem{"connector.class", "Missing: the Java class name of the connector."})
		return d, nil
	}
	if err := s.unmask(r, name, cfg); err != nil {
		d.Problems = append(d.Problems, problem{"", err.Error()})
		return d, nil
	}
	var v validationBody
	if err := s.send(r, http.MethodPut, "/connector-plugins/"+url.PathEscape(class)+"/config/validate", cfg, &v); err != nil {
		return d, err
	}
	for _, c := range v.Configs {
		if c.Value == nil || name == "" && c.Value.Name == "name" {
			continue
		}
		for _, text := range c.Value.Errors {
			if p := (problem{c.Value.Name, text}); !slices.Contains(d.Problems, p) { // a text may come from the type and the check
				d.Problems = append(d.Problems, p)
			}
		}
	}
	d.Checked = true
	return d, nil
}

// change is a property that saving changes.
type change struct{ Property, Old, New, Kind string }

type diffData struct {
	Name    string
	Config  string
	Changes []change
	New     bool
}

// diff shows what saving would change.
func (s *Server) diff(r *http.Request) (string, any, error) {
	name, cfg, err := posted(r)
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", nil, fmt.Errorf("a connector needs a name")
	}
	d := diffData{Name: name, Config: r.PostFormValue("config")}
	var now map[string]string
	if err := s.get(r, remote.Path(name, "/config"), &now); err != nil {
		if codeOf(err) != http.StatusNotFound {
			return "", nil, err
		}
		d.New = true
	}
	shown := s.mask(r, now)
	for k, v := range cfg {
		old, was := shown[k]
		switch {
		case v == old && was:
		case v == hidden:
		case !was:
			d.Changes = append(d.Changes, change{k, "", s.mask(r, map[string]string{k: v, "connector.class": cfg["connector.class"]})[k], "added"})
		default:
			d.Changes = append(d.Changes, change{k, old, s.mask(r, map[string]string{k: v, "connector.class": cfg["connector.class"]})[k], "changed"})
		}
	}
	for k, old := range shown {
		if _, stays := cfg[k]; !stays {
			d.Changes = append(d.Changes, change{k, old, "", "removed"})
		}
	}
	slices.SortFunc(d.Changes, func(a, b change) int { return cmp.Compare(a.Property, b.Property) })
	return "", d, nil
}

// save stores a config and goes to the connector.
func (s *Server) save(w http.ResponseWriter, r *http.Request) {
	name, cfg, err := posted(r)
	if err == nil {
		err = s.unmask(r, name, cfg)
	}
	if err == nil {
		err = s.send(r, http.MethodPut, remote.Path(name, "/config"), cfg, nil)
	}
	if err != nil {
		s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
		return
	}
	w.Header().Set("HX-Redirect", "/ui/connectors/"+url.PathEscape(name))
}

// actions are what the buttons of a connector do.
var actions = map[string]struct{ method, path string }{
	"pause":   {http.MethodPut, "/pause"},
	"resume":  {http.MethodPut, "/resume"},
	"stop":    {http.MethodPut, "/stop"},
	"restart": {http.MethodPost, "/restart?includeTasks=true"},
	"repair":  {http.MethodPost, "/restart?includeTasks=true&onlyFailed=true"},
	"delete":  {http.MethodDelete, ""},
}

func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	name, what := r.PathValue("name"), r.PathValue("action")
	a, ok := actions[what]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err := s.send(r, a.method, remote.Path(name, a.path), nil, nil); err != nil {
		s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
		return
	}
	if what == "delete" {
		w.Header().Set("HX-Redirect", "/ui/")
		return
	}
	s.render(w, http.StatusOK, "done", s.view("", "", what))
}

func (s *Server) setLogger(w http.ResponseWriter, r *http.Request) {
	name, level := r.PostFormValue("logger"), r.PostFormValue("level")
	if err := s.send(r, http.MethodPut, "/admin/loggers/"+url.PathEscape(name)+"?scope=cluster", map[string]string{"level": level}, nil); err != nil {
		s.render(w, http.StatusOK, "failed-part", s.view("", "", err))
		return
	}
	s.render(w, http.StatusOK, "done", s.view("", "", name+" = "+level))
}
