package rules

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
	"sync"
	"testing"
)

// file is one Go file of the module, parsed.
type file struct {
	path    string // from the module's root
	pkg     string // import path of its folder
	isTest  bool
	lines   int
	imports []string
	syntax  *ast.File
	set     *token.FileSet
}

var load = sync.OnceValues(func() ([]file, error) {
	root := filepath.Join("..", "..")
	var all []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == ".git" || base == "build" || base == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go") { // generated
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, rel, source, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{
			path: rel, pkg: path.Join("praefect", filepath.ToSlash(filepath.Dir(rel))),
			isTest: strings.HasSuffix(rel, "_test.go"), lines: strings.Count(string(source), "\n"),
			syntax: syntax, set: set,
		}
		for _, spec := range syntax.Imports {
			value, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, value)
		}
		all = append(all, f)
		return nil
	})
	return all, err
})

// files returns every Go file of the module.
func files(t *testing.T) []file {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d files: the rules would check nothing", len(all))
	}
	return all
}
