package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// file is one parsed Go file of the module.
type file struct {
	path    string // relative to the module root, with slashes
	pkg     string // directory relative to the module root
	test    bool
	lines   int
	imports []string
	ast     *ast.File
	fset    *token.FileSet
}

// module parses every Go file of the module once.
func module(t *testing.T) []*file {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []*file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, ".") {
			return nil
		}
		f, err := parse(root, p)
		if err == nil {
			out = append(out, f)
		}
		return err
	})
	if err != nil {
		t.Fatalf("reading the module: %v", err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d Go files found from %s", len(out), root)
	}
	return out
}

func parse(root, p string) (*file, error) {
	src, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return nil, err
	}
	f := &file{path: filepath.ToSlash(rel), test: strings.HasSuffix(p, "_test.go"), fset: token.NewFileSet(), lines: strings.Count(string(src), "\n")}
	f.pkg = path.Dir(f.path)
	if f.ast, err = parser.ParseFile(f.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	for _, s := range f.ast.Imports {
		v, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return nil, err
		}
		f.imports = append(f.imports, v)
	}
	return f, nil
}

// span returns how many lines a node covers.
func (f *file) span(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// report collects what breaks the rules, minus the exceptions.
type report struct {
	t    *testing.T
	rule string
	used map[string]bool
}

func newReport(t *testing.T, rule string) *report {
	r := &report{t: t, rule: rule, used: map[string]bool{}}
	t.Cleanup(func() {
		for k := range exceptions {
			if strings.HasPrefix(k, rule+" ") && !r.used[k] {
				t.Errorf("exception %q is not needed any more: remove it", k)
			}
		}
	})
	return r
}

// broken reports that place (path or path:name) breaks the rule.
func (r *report) broken(place, format string, args ...any) {
	r.t.Helper()
	key := r.rule + " " + place
	if exceptions[key] != "" {
		r.used[key] = true
		return
	}
	r.t.Errorf(place+": "+format, args...)
}
