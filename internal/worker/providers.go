package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/magiconair/properties"

	"millrace/internal/configdef"
)

// Providers resolves ${provider:[path:]key} in configs at the moment they are
// used. Resolved values never go back into storage or replies.
type Providers struct {
	byName map[string]provider
}

// provider answers the values of some keys at a path. Keys it does not have are
// left out, and the placeholder stays.
type provider func(path string, keys []string) (map[string]string, error)

// placeholder is Java's ConfigTransformer.DEFAULT_PATTERN: shortest match, the
// path is optional.
var placeholder = regexp.MustCompile(`\$\{([^}]*?):(?:([^}]*?):)?([^}]*?)\}`)

// The classes of config providers that Kafka ships.
const (
	providerPackage   = "org.apache.kafka.common.config.provider."
	fileProvider      = providerPackage + "FileConfigProvider"
	directoryProvider = providerPackage + "DirectoryConfigProvider"
	envProvider       = providerPackage + "EnvVarConfigProvider"
)

// NewProviders reads config.providers and its options from worker properties. With an
// error it has those that can be used.
func NewProviders(props map[string]string) (*Providers, error) {
	p := &Providers{byName: map[string]provider{}}
	var wrong []error
	for _, name := range configdef.SplitList(props["config.providers"]) {
		made, err := newProvider(props, name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		p.byName[name] = made
	}
	return p, errors.Join(wrong...)
}

// providerParams are the parameters that each provider has.
var providerParams = map[string]string{fileProvider: "allowed.paths", directoryProvider: "allowed.paths", envProvider: "allowlist.pattern"}

func newProvider(props map[string]string, name string) (provider, error) {
	params := configdef.Prefixed(props, "config.providers."+name+".param.")
	class := strings.TrimSpace(props["config.providers."+name+".class"])
	if class == "" {
		return nil, fmt.Errorf("config.providers names %q, but config.providers.%s.class is missing", name, name)
	}
	if !strings.Contains(class, ".") {
		class = providerPackage + class
	}
	for _, k := range sortedNames(params) {
		if has, ok := providerParams[class]; ok && k != has {
			return nil, fmt.Errorf("config.providers.%s.param.%s: %s has no such parameter; it has %s", name, k, class[len(providerPackage):], has)
		}
	}
	switch class {
	case fileProvider:
		return fileValues(allowedPaths(params)), nil
	case directoryProvider:
		return directoryValues(allowedPaths(params)), nil
	case envProvider:
		allow, err := regexp.Compile(`\A(?:` + orAll(params["allowlist.pattern"]) + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("config.providers.%s.param.allowlist.pattern: %w", name, err)
		}
		return envValues(allow), nil
	}
	hint := ""
	if strings.Contains(class, "Kubernetes") || strings.Contains(strings.ToLower(class), "vault") || strings.Contains(strings.ToLower(class), "secret") {
		hint = "; mount the secrets as files and read them with DirectoryConfigProvider, or give them as environment variables to EnvVarConfigProvider"
	}
	return nil, fmt.Errorf("config.providers.%s.class: millrace has no config provider %s; use %s, %s or %s%s", name, class, fileProvider, directoryProvider, envProvider, hint)
}

func orAll(pattern string) string {
	if pattern == "" {
		return "(?s:.*)"
	}
	return pattern
}

// HasPlaceholder reports whether a value refers to a provider, known or not.
func HasPlaceholder(value string) bool { return placeholder.MatchString(value) }

// Resolve returns props with placeholders replaced. Errors name the property,
// never a value.
func (p *Providers) Resolve(props map[string]string) (map[string]string, error) {
	type place struct{ provider, path string }
	want := map[place]map[string]bool{}
	for _, v := range props {
		for _, m := range placeholder.FindAllStringSubmatch(v, -1) {
			if p.byName[m[1]] == nil {
				continue
			}
			pl := place{m[1], m[2]}
			if want[pl] == nil {
				want[pl] = map[string]bool{}
			}
			want[pl][m[3]] = true
		}
	}
	if len(want) == 0 {
		return props, nil
	}
	found := map[place]map[string]string{}
	for pl, keys := range want {
		var list []string
		for k := range keys {
			list = append(list, k)
		}
		vals, err := p.byName[pl.provider](pl.path, list)
		if err != nil {
			return nil, err
		}
		found[pl] = vals
	}
	out := make(map[string]string, len(props))
	for k, v := range props {
		out[k] = placeholder.ReplaceAllStringFunc(v, func(s string) string {
			m := placeholder.FindStringSubmatch(s)
			if x, ok := found[place{m[1], m[2]}][m[3]]; ok {
				return x
			}
			return s
		})
	}
	return out, nil
}

func allowedPaths(params map[string]string) []string {
	return configdef.SplitList(params["allowed.paths"])
}

// allowed reports whether a path lies below one of the allowed ones.
func allowed(path string, roots []string) bool {
	if len(roots) == 0 {
		return true
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for _, r := range roots {
		rel, err := filepath.Rel(filepath.Clean(r), abs)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

func fileValues(roots []string) provider {
	return func(path string, keys []string) (map[string]string, error) {
		if path == "" || !allowed(path, roots) {
			return nil, nil
		}
		f, err := os.ReadFile(path)
		if err != nil {
			return nil, statusErrorf(500, "Could not read properties from file %s", path)
		}
		ps, err := ParseProperties(f)
		if err != nil {
			return nil, statusErrorf(500, "Could not read properties from file %s", path)
		}
		out := map[string]string{}
		for _, k := range keys {
			if v, ok := ps[k]; ok {
				out[k] = v
			}
		}
		return out, nil
	}
}

func directoryValues(roots []string) provider {
	return func(path string, keys []string) (map[string]string, error) {
		if path == "" || !allowed(path, roots) {
			return nil, nil
		}
		out := map[string]string{}
		for _, k := range keys {
			if k != filepath.Base(k) {
				continue // a key is the name of a file in the directory, no path
			}
			b, err := os.ReadFile(filepath.Join(path, k))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, statusErrorf(500, "Could not read file %s in directory %s", k, path)
			}
			out[k] = string(b)
		}
		return out, nil
	}
}

func envValues(allow *regexp.Regexp) provider {
	return func(path string, keys []string) (map[string]string, error) {
		if path != "" {
			return nil, statusErrorf(500, "Path is not supported for EnvVarConfigProvider, invalid value '%s'", path)
		}
		out := map[string]string{}
		for _, k := range keys {
			if v, ok := os.LookupEnv(k); ok && allow.MatchString(k) {
				out[k] = v
			}
		}
		return out, nil
	}
}

// ParseProperties reads text in Java's .properties syntax. ${…} is left alone:
// it belongs to config providers.
func ParseProperties(data []byte) (map[string]string, error) {
	l := &properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	if isUTF8(data) {
		l.Encoding = properties.UTF8
	}
	p, err := l.LoadBytes(data)
	if err != nil {
		return nil, fmt.Errorf("parse properties: %w", err)
	}
	return p.Map(), nil
}
