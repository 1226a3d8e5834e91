package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The budgets of the house.
const (
	maxFileLines      = 600
	maxFuncLines      = 80
	maxSwitchLines    = 150 // a function that is mostly one switch, and a test, whose cases are data
	maxInterfaceFuncs = 5
)

func TestFileSize(t *testing.T) {
	r := newReport(t, "file")
	for _, f := range module(t) {
		if f.lines > maxFileLines {
			r.broken(f.path, "%d lines, the budget is %d", f.lines, maxFileLines)
		}
	}
}

func TestFunctionSize(t *testing.T) {
	r := newReport(t, "func")
	for _, f := range module(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n, max := f.span(fn), maxFuncLines
			if f.test || f.mostlySwitch(fn) {
				max = maxSwitchLines
			}
			if n > max {
				r.broken(f.path+":"+funcName(fn), "%d lines, the budget is %d", n, max)
			}
		}
	}
}

// mostlySwitch reports whether switches make up at least two thirds of a function.
func (f *file) mostlySwitch(fn *ast.FuncDecl) bool {
	lines := 0
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.SwitchStmt, *ast.TypeSwitchStmt:
			lines += f.span(n)
			return false
		}
		return true
	})
	return lines*3 >= f.span(fn)*2
}

func TestInterfaceSize(t *testing.T) {
	r := newReport(t, "interface")
	for _, f := range module(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if i, ok := s.Type.(*ast.InterfaceType); ok {
				if c := i.Methods.NumFields(); c > maxInterfaceFuncs {
					r.broken(f.path+":"+s.Name.Name, "%d methods, the budget is %d", c, maxInterfaceFuncs)
				}
			}
			return true
		})
	}
}

// TestBanned: no init functions (registration is a table in cmd/millrace), no
// contexts kept in structs, no notes for later.
func TestBanned(t *testing.T) {
	r := newReport(t, "banned")
	later := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, f := range module(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				r.broken(f.path+":init", "init() hides an order of start; call it by name")
			}
		}
		for _, g := range f.ast.Comments {
			if m := later.FindString(g.Text()); m != "" {
				r.broken(f.path, "a comment says %s; do it or leave it out", m)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, fld := range s.Fields.List {
				if sel, ok := fld.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
					if x, ok := sel.X.(*ast.Ident); ok && x.Name == "context" {
						r.broken(f.path, "line %d keeps a context in a struct; pass it as a parameter", f.fset.Position(fld.Pos()).Line)
					}
				}
			}
			return true
		})
		if under(f.pkg, []string{"decode"}) && !f.test {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					r.broken(f.path, "a decoder starts a goroutine")
				}
				return true
			})
		}
	}
}

func TestPackageDocs(t *testing.T) {
	r := newReport(t, "packagedoc")
	documented := map[string]bool{}
	for _, f := range module(t) {
		if f.test {
			continue
		}
		documented[f.pkg] = documented[f.pkg] || f.ast.Doc != nil && len(f.ast.Doc.Text()) > 20
	}
	for pkg, ok := range documented {
		if !ok {
			r.broken(pkg, "the package has no doc comment: say its duty, who owns what, and the next package on the path")
		}
	}
}

// plain are methods whose meaning the language or the standard library fixes.
var plain = []string{"Error", "String", "Unwrap", "Is", "As", "Len", "Less", "Swap", "MarshalJSON", "UnmarshalJSON", "ServeHTTP", "Close", "Write", "Read"}

func TestExportedDocs(t *testing.T) {
	r := newReport(t, "doc")
	for _, f := range module(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(plain, d.Name.Name)) {
					r.broken(f.path+":"+funcName(d), "is exported and has no doc comment")
				}
			case *ast.GenDecl:
				undocumented(r, f, d)
			}
		}
	}
}

// undocumented reports exported types, constants and variables without a comment
// above them, beside them or above their group.
func undocumented(r *report, f *file, d *ast.GenDecl) {
	if d.Tok == token.IMPORT {
		return
	}
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				r.broken(f.path+":"+s.Name.Name, "is exported and has no doc comment")
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					r.broken(f.path+":"+n.Name, "is exported and has no doc comment")
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	return ast.IsExported(receiver(d))
}

func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	return strings.TrimPrefix(receiver(d)+"."+d.Name.Name, ".")
}
