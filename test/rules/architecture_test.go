package rules

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// codeName is a function, type or method in a page of docs/architecture: package.Name or
	// package.Type.Method, by the path of the package within the module.
	codeName = regexp.MustCompile(`^((?:cmd|config|consensus|fsm|proxy|replicator)(?:/\w+)*)\.(\w+)(?:\.(\w+))?$`)
	// bareName is a name that lacks its package.
	bareName = regexp.MustCompile(`^[A-Z]\w*\.\w+$`)
	// drawnName is a name in a drawing, which has room for the last element of the package or for
	// the type only.
	drawnName     = regexp.MustCompile(`\b([A-Za-z]+)\.([A-Z]\w*)\b`)
	inlineCode    = regexp.MustCompile("`([^`\n]+)`")
	drawing       = regexp.MustCompile("(?s)```mermaid\n(.*?)```")
	fencedBlock   = regexp.MustCompile("(?s)```.*?```")
	fewestInAPage = 8
)

// declared holds what the module declares outside of tests: names by package path, and by the
// short forms that drawings use.
type declared struct {
	full, short map[string]bool
}

func declaredNames(t *testing.T) declared {
	t.Helper()
	d := declared{make(map[string]bool), make(map[string]bool)}
	for _, f := range files(t) {
		if f.isTest {
			continue
		}
		pkg := strings.TrimPrefix(f.pkg, "praefect/")
		add := func(name string) {
			d.full[pkg+"."+name] = true
			d.short[path.Base(pkg)+"."+name] = true
		}
		for _, decl := range f.syntax.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil {
					add(decl.Name.Name)
					continue
				}
				if receiver := receiverName(decl); receiver != "" {
					add(receiver + "." + decl.Name.Name)
					d.short[receiver+"."+decl.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						add(spec.Name.Name)
					}
				}
			}
		}
	}
	return d
}

// receiverName is the type of a method, without pointer and type parameters.
func receiverName(d *ast.FuncDecl) string {
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// TestDocs_architectureNamesExist checks that each function, type and file that a page of
// docs/architecture names is there, so that a rename takes the page with it; and that each page
// has one drawing.
func TestDocs_architectureNamesExist(t *testing.T) {
	names := declaredNames(t)
	dir := filepath.Join(root, "docs", "architecture")
	found := 0
	for page, text := range pages(t) {
		if filepath.Dir(page) != dir {
			continue
		}
		found++
		drawings := drawing.FindAllStringSubmatch(text, -1)
		if len(drawings) != 1 {
			t.Errorf("%s has %d drawings, want one", page, len(drawings))
		}
		for _, d := range drawings {
			for _, name := range drawnName.FindAllString(d[1], -1) {
				if !names.short[name] {
					t.Errorf("%s draws %s, which the code does not declare", page, name)
				}
			}
		}
		checked := 0
		for _, code := range inlineCode.FindAllStringSubmatch(fencedBlock.ReplaceAllString(text, ""), -1) {
			switch name := code[1]; {
			case bareName.MatchString(name):
				t.Errorf("%s names %s without its package", page, name)
			case strings.HasSuffix(name, ".go"):
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s names the file %s, which does not exist", page, name)
				}
			case codeName.MatchString(name):
				checked++
				if !names.full[name] {
					t.Errorf("%s names %s, which the code does not declare", page, name)
				}
			}
		}
		if checked < fewestInAPage {
			t.Errorf("%s names %d functions: which ones does the request pass?", page, checked)
		}
	}
	if found < 5 {
		t.Errorf("docs/architecture has %d pages, want the overview, a read, a voted write, a failover and a repair", found)
	}
}
