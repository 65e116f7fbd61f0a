package rules

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// terms are the words of which each has one meaning in this project. A term stands for its forms:
// "fence" is also found as "fenced" and "fences".
var terms = []string{
	"accept loss", "account for", "admit", "allow", "backchannel", "backfill", "behind", "bound", "branch", "call", "clean", "conclusion",
	"conflict", "count", "cut-over", "decision", "divert", "doomed", "drain", "driver", "entry", "epoch", "failover", "failpoint", "feature level",
	"fence", "front", "grace", "guard", "heartbeat", "in sync", "in-doubt intent", "incarnation", "instance", "invalidated", "leader",
	"lease", "ledger", "listed", "mark behind", "mark in sync", "observation", "pause of writes", "planted defect", "primary",
	"primary-only intent", "progress", "queued write", "quorum", "reachability", "reconcile", "rejoin", "repair", "repair lock", "replica",
	"report", "resolve doubt", "round", "secondary", "serving", "sidechannel", "simulation", "step down", "storage state", "succession",
	"switchover", "view", "virtual storage", "vote", "vote timeout", "watermark", "wish", "write intent",
}

// retired are words that a term has replaced, or that mean something else in other systems.
var retired = map[string]string{
	"ballot": "quorum, or count", "dirty": "in doubt", "farewell": "goodbye", "flip": "cut-over",
	"foreign": "other release, or other cluster", "hasten": "close early", "held write": "queued write", "lab": "testbed", "leg": "branch",
	"opinion": "report", "ordinary": "clean", "patience": "timeout, or back-off", "rig": "fixture", "rim": "driver",
	"sighting": "first seen", "soil": "mark in doubt", "solo": "primary-only", "spoiled": "invalidated", "standing": "storage state",
	"streak": "back-off", "ticket": "guard", "twin": "reference implementation", "verdict": "decision, or conclusion",
}

var (
	glossaryRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \|`)
	camel       = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)
)

// wording makes words out of an identifier or a text: lower case, with single blanks between.
func wording(text string) string {
	return " " + strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ") + " "
}

// occurs tells whether a term, or a form of it, is in a wording.
func occurs(term, text string) bool {
	words := strings.TrimSpace(wording(term))
	stem := strings.TrimSuffix(words, "e")
	first, rest, _ := strings.Cut(words, " ") // "account for" is also found as "accounted for"
	for _, form := range []string{
		words, words + "s", words + "es", stem + "ed", stem + "ing", strings.TrimSuffix(words, "y") + "ies", first + "ed " + rest,
	} {
		if strings.Contains(text, " "+form+" ") {
			return true
		}
	}
	return false
}

// exportedNames are the exported names of the code that ships and of the packages for tests, in words.
func exportedNames(t *testing.T) map[string]string {
	t.Helper()
	names := make(map[string]string)
	add := func(f file, name *ast.Ident) {
		if name.IsExported() {
			names[strings.TrimPrefix(f.pkg, "praefect/")+"."+name.Name] = wording(strings.Join(camel.FindAllString(name.Name, -1), " "))
		}
	}
	for _, f := range files(t) {
		if f.isTest {
			continue
		}
		for _, decl := range f.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				add(f, d.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(f, s.Name)
						if fields, ok := s.Type.(*ast.StructType); ok {
							for _, field := range fields.Fields.List {
								for _, name := range field.Names {
									add(f, name)
								}
							}
						}
					case *ast.ValueSpec:
						for _, name := range s.Names {
							add(f, name)
						}
					}
				}
			}
		}
	}
	return names
}

// glossary returns the terms of docs/glossary.md, in words.
func glossary(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := glossaryRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 50 {
		t.Fatalf("docs/glossary.md has %d rows", len(rows))
	}
	var all strings.Builder
	for _, row := range rows {
		for name := range strings.SplitSeq(row[1], ",") {
			all.WriteString("|" + wording(strings.Join(camel.FindAllString(strings.ReplaceAll(name, "`", ""), -1), " ")))
		}
	}
	return all.String()
}

// TestGlossary_hasEveryTerm: a term that a page or an exported name uses is explained.
func TestGlossary_hasEveryTerm(t *testing.T) {
	explained := glossary(t)
	var used strings.Builder
	for path, text := range pages(t) {
		if filepath.Base(path) != "glossary.md" {
			used.WriteString(wording(text))
		}
	}
	for _, words := range exportedNames(t) {
		used.WriteString(words)
	}
	for _, term := range terms {
		switch {
		case !occurs(term, used.String()):
			t.Errorf("neither a page nor an exported name uses %q: take it out of the list of terms", term)
		case !occurs(term, explained):
			t.Errorf("docs/glossary.md does not explain %q", term)
		}
	}
}

// TestGlossary_retiredWordsStayAway: a word that a term has replaced comes back in no exported name
// and on no page.
func TestGlossary_retiredWordsStayAway(t *testing.T) {
	for word, better := range retired {
		for name, words := range exportedNames(t) {
			if occurs(word, words) {
				t.Errorf("%s uses %q: say %s", name, word, better)
			}
		}
		for path, text := range pages(t) {
			if occurs(word, wording(shortCode.ReplaceAllString(fencedBlock.ReplaceAllString(text, ""), ""))) {
				t.Errorf("%s uses %q: say %s", path, word, better)
			}
		}
	}
}
