package rules

import (
	"bytes"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// patches returns the planted defects by name, with the text of each.
func patches(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "test", "mutants", "*.patch"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d patches: %v", len(paths), err)
	}
	found := make(map[string][]byte)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(path)] = text
	}
	return found
}

// TestMutants_patchesApply fails after a change of a line that a patch needs: the patch must change
// in the same commit. Nothing is written: `make mutants` applies each patch, and runs its seed.
func TestMutants_patchesApply(t *testing.T) {
	files(t) // reads the tree, so that a change of it runs this test again
	for name, text := range patches(t) {
		apply := exec.CommandContext(t.Context(), "patch", "-p1", "--dry-run", "--force", "--fuzz=2", "-s")
		apply.Dir, apply.Stdin = root, bytes.NewReader(text)
		if out, err := apply.CombinedOutput(); err != nil {
			t.Errorf("test/mutants/%s does not apply to the tree, make it again: %s", name, bytes.TrimSpace(out))
		}
	}
}

var (
	markName = regexp.MustCompile(`^(?:Test\w+|[a-z]+(?:-[a-z0-9]+)+)`)
	drawn    = regexp.MustCompile(`(?m)^//\t.*$`)
)

// marked returns the names after each ▲ of a comment: planted defects, or tests where the simulation
// does not reach the rule. A ▲ without a name gives an empty list. Drawings are left out.
func marked(group *ast.CommentGroup) (all [][]string) {
	var text strings.Builder
	for _, comment := range group.List {
		text.WriteString(strings.TrimPrefix(drawn.ReplaceAllString(comment.Text, ""), "//") + " ")
	}
	for _, rest := range strings.Split(strings.Join(strings.Fields(text.String()), " "), "▲")[1:] {
		var names []string
		for {
			name := markName.FindString(strings.TrimPrefix(rest, " "))
			if name == "" {
				break
			}
			names = append(names, name)
			var more bool
			if rest, more = strings.CutPrefix(strings.TrimPrefix(rest, " ")[len(name):], ","); !more {
				break
			}
		}
		all = append(all, names)
	}
	return all
}

// TestMutants_everyRuleHasItsDefect: each rule that must not be softened (▲) names the planted defects
// that show it, or a test; each planted defect is named by a rule.
func TestMutants_everyRuleHasItsDefect(t *testing.T) {
	tests := make(map[string]bool)
	for _, f := range files(t) {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.isTest && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[fn.Name.Name] = true
			}
		}
	}
	defects := patches(t)
	named := make(map[string]bool)
	for _, f := range files(t) {
		if f.pkg == "praefect/test/rules" {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, names := range marked(group) {
				if len(names) == 0 {
					t.Errorf("%s: a ▲ names no planted defect of test/mutants, and no test", f.set.Position(group.Pos()))
				}
				for _, name := range names {
					named[name] = true
					if defects[name+".patch"] == nil && !tests[name] {
						t.Errorf("%s: ▲ %s is neither a planted defect of test/mutants nor a test", f.set.Position(group.Pos()), name)
					}
				}
			}
		}
	}
	for patch := range defects {
		if name := strings.TrimSuffix(patch, ".patch"); !named[name] {
			t.Errorf("no rule (▲) names the planted defect %s", name)
		}
	}
}
