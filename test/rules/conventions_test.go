package rules

import (
	"go/ast"
	"go/token"
	"slices"
	"testing"
)

// maxLines is the size at which a file is refused; 150 is normal, 300 is long.
const maxLines = 500

func TestConventions_fileSize(t *testing.T) {
	for _, f := range files(t) {
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, the limit is %d: it is about more than one thing", f.path, f.lines, maxLines)
		}
	}
}

func TestConventions_packagesAreDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, f := range files(t) {
		if !f.isTest {
			documented[f.pkg] = documented[f.pkg] || f.syntax.Doc != nil
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment that says what it owns", pkg)
		}
	}
}

func TestConventions_exportedNamesAreDocumented(t *testing.T) {
	for _, f := range files(t) {
		if f.isTest {
			continue
		}
		for _, decl := range f.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !satisfiesInterface(d) {
					t.Errorf("%s: %s has no comment", f.set.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				undocumentedSpecs(d, func(pos token.Pos, name string) {
					t.Errorf("%s: %s has no comment", f.set.Position(pos), name)
				})
			}
		}
	}
}

func undocumentedSpecs(d *ast.GenDecl, report func(token.Pos, string)) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				report(s.Pos(), s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					report(s.Pos(), name.Name)
				}
			}
		}
	}
}

// exportedReceiver is false for methods of unexported types, which implement
// somebody else's contract.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	name, ok := receiver.(*ast.Ident)
	return ok && name.IsExported()
}

// satisfiesInterface names the methods whose contract stands elsewhere.
func satisfiesInterface(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "String", "Unwrap", "Close", "Describe", "Collect"}, d.Name.Name)
}

// TestConventions_noHiddenState refuses what makes order of start matter and
// tests depend on each other.
func TestConventions_noHiddenState(t *testing.T) {
	banned := map[string][]string{
		"log":      {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf"},
		"slog":     {"SetDefault", "Info", "Warn", "Error", "Debug", "Log"},
		"promauto": {"NewCounter", "NewCounterVec", "NewGauge", "NewGaugeVec", "NewHistogram", "NewHistogramVec"},
	}
	for _, f := range files(t) {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs before anybody asked for it", f.set.Position(fn.Pos()))
			}
		}
		if f.isTest {
			continue
		}
		eachCall(f, func(pkg, name string, pos token.Pos) {
			if slices.Contains(banned[pkg], name) {
				t.Errorf("%s: %s.%s uses global state", f.set.Position(pos), pkg, name)
			}
			if pkg == "prometheus" && (name == "MustRegister" || name == "Register") {
				t.Errorf("%s: prometheus.%s uses the global registry", f.set.Position(pos), name)
			}
		})
	}
}

// TestConventions_noSleepInTests refuses sleeps outside synctest bubbles: they
// are either too short for a slow machine or too long for everybody.
func TestConventions_noSleepInTests(t *testing.T) {
	for _, f := range files(t) {
		if !f.isTest || slices.Contains(f.imports, "testing/synctest") {
			continue
		}
		eachCall(f, func(pkg, name string, pos token.Pos) {
			if pkg == "time" && name == "Sleep" {
				t.Errorf("%s: time.Sleep in a test that does not run in a bubble", f.set.Position(pos))
			}
		})
	}
}

// TestConventions_noProxies refuses connections that would go through a proxy of the environment:
// it is for other hosts, and would see what passes.
func TestConventions_noProxies(t *testing.T) {
	clients := 0
	for _, f := range files(t) {
		if f.isTest || under(f.pkg, "praefect/test") {
			continue
		}
		made, without := 0, 0
		eachCall(f, func(pkg, name string, _ token.Pos) {
			switch {
			case pkg == "grpc" && name == "NewClient":
				made++
			case pkg == "grpc" && name == "WithNoProxy":
				without++
			}
		})
		if without < made {
			t.Errorf("%s: %d calls of grpc.NewClient and %d of grpc.WithNoProxy", f.path, made, without)
		}
		clients += made
	}
	if clients == 0 {
		t.Error("found no connection that is made: the rule checks nothing")
	}
}

// eachCall calls fn for every call of the form pkg.Name(…).
func eachCall(f file, fn func(pkg, name string, pos token.Pos)) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
			if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Obj == nil {
				fn(pkg.Name, selector.Sel.Name, call.Pos())
			}
		}
		return true
	})
}
