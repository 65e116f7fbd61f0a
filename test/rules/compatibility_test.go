package rules

import (
	"flag"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"praefect/proxy/method"
	"praefect/test/realgitaly/seen"
)

var update = flag.Bool("update", false, "write what the table of methods says into docs/compatibility.md")

// compatibilityPath has one row for each method of the API, of which all but the last column follows from the table.
var compatibilityPath = filepath.Join("..", "..", "docs", "compatibility.md")

const (
	compatibilityHead = "| method | release | streams | kind | route | seen on real nodes | shown by |"
	// routingTest shows the route of every method.
	routingTest = "TestRouting_everyMethod"
)

// goneIn18 lists the methods of 16.11 that 18.9 does not have any more.
var goneIn18 = []string{
	"RepositoryService/ApplyGitattributes", "RepositoryService/FullPath", "RepositoryService/RemoveAll", "RepositoryService/SetFullPath",
	"SSHService/SSHUploadPack", "ServerService/ClockSynced",
}

// facts are the columns that follow from the table of methods.
func facts(m method.Method) []string {
	name := strings.TrimPrefix(m.FullName, "/gitaly.")
	release := "both"
	_, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(m.FullName[1:], "/", ".")))
	switch {
	case err != nil:
		release = "18.9"
	case slices.Contains(goneIn18, name):
		release = "16.11"
	}
	streams := ""
	switch {
	case m.ClientStreams && m.ServerStreams:
		streams = "both"
	case m.ClientStreams:
		streams = "client"
	case m.ServerStreams:
		streams = "server"
	}
	kind := m.Kind.String() + ", " + m.Scope.String()
	if m.Kind == method.Intercepted {
		kind = m.Kind.String()
	}
	return []string{name, release, streams, kind, route(m)}
}

// route names the way that a method takes, in the words of the page.
func route(m method.Method) string {
	switch {
	case m.Refusal != "":
		return "refused"
	case m.Kind == method.Intercepted:
		return "answered here"
	case m.Scope == method.ScopeStorage:
		return "any serving"
	case m.Kind == method.Maintenance:
		return "maintenance"
	case m.ForcePrimary:
		return "primary"
	case m.Kind == method.Accessor:
		return "any in sync"
	case m.Votes:
		return "voted"
	}
	return "primary, repair"
}

// testFunctions are the names of all tests of the module, with their packages.
func testFunctions(t *testing.T) map[string]string {
	names := make(map[string]string)
	for _, f := range files(t) {
		if !f.isTest {
			continue
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = f.pkg
			}
		}
	}
	return names
}

// TestCompatibility_pageSaysWhatTheTableSays, and names tests that exist. With -update it writes the page anew, and keeps the
// tests that it names.
func TestCompatibility_pageSaysWhatTheTableSays(t *testing.T) {
	text, err := os.ReadFile(compatibilityPath)
	if err != nil {
		t.Fatal(err)
	}
	prose, rows, found := strings.Cut(string(text), compatibilityHead)
	if !found {
		t.Fatalf("the page has no table that begins with %q", compatibilityHead)
	}
	shownBy := make(map[string]string)
	for line := range strings.Lines(rows) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == 7 && !strings.HasPrefix(cells[0], "-") {
			shownBy[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[6])
		}
	}

	table, err := method.New()
	if err != nil {
		t.Fatal(err)
	}
	record, err := seen.Read(filepath.Join("..", "realgitaly", "testdata", "seen.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range record.Methods() {
		if m, known := table.Lookup("/gitaly." + name); !known || m.Kind != method.Mutator {
			t.Errorf("%s was seen on a real release, and is no mutator of the table", name)
		}
	}
	var want strings.Builder
	want.WriteString(prose + compatibilityHead + "\n|---|---|---|---|---|---|---|\n")
	for m := range table.All() {
		columns := facts(m)
		tests, ok := shownBy[columns[0]]
		if !ok || tests == "" {
			tests = routingTest
		}
		want.WriteString("| " + strings.Join(append(columns, record.Of(columns[0]), tests), " | ") + " |\n")
	}
	if *update {
		if err := os.WriteFile(compatibilityPath, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.String() != string(text) {
		t.Errorf("docs/compatibility.md is not what the table of methods says: run go test ./test/rules -run Compatibility -update")
	}

	exist := testFunctions(t)
	for name, tests := range shownBy {
		for test := range strings.SplitSeq(tests, ",") {
			switch pkg, known := exist[strings.TrimSpace(test)]; {
			case !known:
				t.Errorf("%s is shown by %q, which is no test", name, test)
			case strings.HasPrefix(pkg, "praefect/test/gitaly"):
				t.Errorf("%s is shown by %q, which runs on a storage of ours alone", name, test)
			}
		}
	}
}

// TestCompatibility_voteIsShownForEachMethodThatVotes: what is routed to several storages at once is a mutator of the suite
// that checks the votes of storages.
func TestCompatibility_voteIsShownForEachMethodThatVotes(t *testing.T) {
	exercised := make(map[string]bool)
	for _, f := range files(t) {
		if f.pkg != "praefect/test/gitaly/gitalytest" {
			continue
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && strings.HasSuffix(strings.ToLower(fn.Name.Name), "mutators") {
				namesOfRows(fn, exercised)
			}
		}
	}
	table, err := method.New()
	if err != nil {
		t.Fatal(err)
	}
	for m := range table.All() {
		_, name, _ := strings.Cut(m.FullName[1:], "/")
		if m.Votes && !exercised[name] {
			t.Errorf("%s is said to vote, and is no mutator of test/gitaly/gitalytest: nothing shows it", m.FullName)
		}
	}
}

// namesOfRows notes the first word of each row of a table of mutators.
func namesOfRows(fn *ast.FuncDecl, into map[string]bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		row, ok := n.(*ast.CompositeLit)
		if !ok || row.Type != nil || len(row.Elts) < 3 {
			return true
		}
		if name, ok := row.Elts[0].(*ast.BasicLit); ok && name.Kind == token.STRING {
			if text, err := strconv.Unquote(name.Value); err == nil {
				first, _, _ := strings.Cut(text, " ")
				into[first] = true
			}
		}
		return true
	})
}
