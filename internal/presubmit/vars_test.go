package presubmit

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// constant packages have no package-level variables but those that nobody can
// change: errors, and values and tables of plain data that are written where
// they are declared and never assigned to.
var constant = []string{"internal/wire", "internal/zone", "internal/world", "internal/resolver", "internal/server"}

// immutable types hold pointers but have no method that changes them.
var immutable = map[string]bool{
	"error": true, "time.Time": true, "time.Location": true,
	"net/netip.Addr": true, "net/netip.AddrPort": true, "net/netip.Prefix": true,
}

// plain reports whether a type is data: no channel, function, interface, lock
// or pool anywhere in it. A pointer is data too, if what it points to is.
func plain(t types.Type) bool { return plainBut(t, map[types.Type]bool{}) }

func plainBut(t types.Type, seen map[types.Type]bool) bool {
	if seen[t] || immutable[t.String()] {
		return true
	}
	seen[t] = true
	if n, ok := t.(*types.Named); ok && n.Obj().Pkg() != nil {
		if path := n.Obj().Pkg().Path(); path == "sync" || path == "sync/atomic" {
			return false
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() != types.Invalid && u.Kind() != types.UnsafePointer
	case *types.Array:
		return plainBut(u.Elem(), seen)
	case *types.Slice:
		return plainBut(u.Elem(), seen)
	case *types.Map:
		return plainBut(u.Key(), seen) && plainBut(u.Elem(), seen)
	case *types.Pointer:
		return plainBut(u.Elem(), seen)
	case *types.Struct:
		for f := range u.Fields() {
			if !plainBut(f.Type(), seen) {
				return false
			}
		}
		return true
	}
	return false
}

// mutable lists the package-level variables of the files that can change.
func mutable(fset *token.FileSet, files []*ast.File, imports types.Importer) []string {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	// Errors of types are the compiler's to report.
	conf := types.Config{Importer: imports, Error: func(error) {}}
	conf.Check("p", fset, files, info)

	var out []string
	vars := map[types.Object]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				for _, name := range spec.Names {
					v := info.Defs[name]
					if v == nil || name.Name == "_" {
						continue
					}
					vars[v] = true
					switch {
					case len(spec.Values) == 0:
						out = append(out, fmt.Sprintf("%s: %s has no value where it is declared, so something must change it", fset.Position(name.Pos()), name.Name))
					case !plain(v.Type()):
						out = append(out, fmt.Sprintf("%s: %s is a %s, which can change; put it into the struct that uses it", fset.Position(name.Pos()), name.Name, v.Type()))
					}
				}
			}
		}
	}
	w := &writes{info: info, vars: vars, report: func(at token.Pos, name, how string) {
		out = append(out, fmt.Sprintf("%s: %s is %s; package-level variables must stay as they are", fset.Position(at), name, how))
	}}
	for _, f := range files {
		ast.Inspect(f, w.visit)
	}
	return out
}

// writes finds what may change package-level variables.
type writes struct {
	info   *types.Info
	vars   map[types.Object]bool
	report func(at token.Pos, name, how string)
}

// variable returns the package-level variable that e is, or is a part of.
func (w *writes) variable(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			if w.vars[w.info.Uses[x]] {
				return x
			}
			return nil
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func (w *writes) check(e ast.Expr, how string) {
	if id := w.variable(e); id != nil {
		w.report(id.Pos(), id.Name, how)
	}
}

func (w *writes) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, e := range n.Lhs {
				w.check(e, "assigned to")
			}
		}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			w.check(n.Key, "assigned to")
			w.check(n.Value, "assigned to")
		}
	case *ast.IncDecStmt:
		w.check(n.X, "counted")
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			w.check(n.X, "handed out by its address")
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 {
			if b, ok := w.info.Uses[f].(*types.Builtin); ok && (b.Name() == "copy" || b.Name() == "clear" || b.Name() == "delete") {
				w.check(n.Args[0], "changed by "+b.Name())
			}
		}
	case *ast.SelectorExpr:
		if s := w.info.Selections[n]; s != nil && s.Kind() == types.MethodVal && onPointer(s) {
			w.check(n.X, "handed to a method of its pointer")
		}
	}
	return true
}

// onPointer reports whether a method takes the address of a value to change it.
func onPointer(s *types.Selection) bool {
	_, pointer := s.Obj().(*types.Func).Signature().Recv().Type().(*types.Pointer)
	_, already := s.Recv().(*types.Pointer)
	return pointer && !already
}

// importerOf imports what go list -export has compiled.
func importerOf(fset *token.FileSet, all map[string]*pkg) types.Importer {
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if p := all[path]; p != nil && p.Export != "" {
			return os.Open(p.Export)
		}
		return nil, fmt.Errorf("no export data of %s", path)
	})
}

func TestNoMutableVariables(t *testing.T) {
	all := list(t, "-export")
	fset := token.NewFileSet()
	imports := importerOf(fset, all)
	dir := root(t)
	for _, name := range constant {
		p := all[module+name]
		if p == nil {
			continue // not built yet
		}
		var files []*ast.File
		for _, file := range p.files() {
			f, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			files = append(files, f)
		}
		for _, problem := range mutable(fset, files, imports) {
			t.Error(strings.TrimPrefix(problem, dir+string(filepath.Separator)))
		}
	}
}

func TestMutableChecker(t *testing.T) {
	tests := []struct {
		text string
		want string // part of the only problem; "" for none
	}{
		{`var e = errors.New("bad")`, ""},
		{`var _ error = (*T)(nil); type T struct{}; func (*T) Error() string { return "" }`, ""},
		{`var a = [...]int{1, 2}; func f() int { return a[1] }`, ""},
		{`var a = func() (t [9]byte) { t[1] = 2; return t }()`, ""},
		{`var m = map[string][]byte{"a": nil}; func f() int { return len(m["a"]) }`, ""},
		{`var s = &struct{ A string }{"x"}; func f() string { return s.A }`, ""},
		{`var a = []int{1}; func f() { a := []int{2}; a[0] = 1 }`, ""},
		{`var t = time.Unix(1, 0); func f() bool { return t.IsZero() }`, ""},
		{`var n int`, "no value"},
		{`var n = 1; func f() { n = 2 }`, "n is assigned to"},
		{`var n = 1; func f() { n++ }`, "n is counted"},
		{`var n = 1; func f() *int { return &n }`, "n is handed out"},
		{`var a = [2]int{}; func f() { a[1] += 2 }`, "a is assigned to"},
		{`var a = [2]int{}; func f() { for a[0] = range 3 { } }`, "a is assigned to"},
		{`var a = [2]int{}; func f() { copy(a[:], []int{1}) }`, "a is changed by copy"},
		{`var m = map[int]int{}; func f() { delete(m, 1) }`, "m is changed by delete"},
		{`var s = &struct{ A string }{"x"}; func f() { s.A = "y" }`, "s is assigned to"},
		{`var v = T{}; type T struct{ n int }; func (t *T) inc() { t.n = t.n + 1 }; func f() { v.inc() }`, "v is handed to a method"},
		{`var p = sync.Pool{}`, "which can change"},
		{`var p = &struct{ mu sync.Mutex }{}`, "which can change"},
		{`var n = new(atomic.Int64)`, "which can change"},
		{`var c = make(chan int)`, "which can change"},
		{`var hook = func() {}`, "which can change"},
		{`var w io.Writer = os.Stderr`, "which can change"},
	}
	const header = "package p\nimport (\"errors\"; \"io\"; \"os\"; \"sync\"; \"sync/atomic\"; \"time\")\n"
	fset := token.NewFileSet()
	imports := importerOf(fset, list(t, "-export"))
	for _, tt := range tests {
		f, err := parser.ParseFile(fset, "p.go", header+tt.text, 0)
		if err != nil {
			t.Fatalf("%s: %v", tt.text, err)
		}
		got := mutable(fset, []*ast.File{f}, imports)
		switch {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: %q, want no problem", tt.text, got)
		case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
			t.Errorf("%s: problems %q, want one with %q", tt.text, got, tt.want)
		}
	}
}
