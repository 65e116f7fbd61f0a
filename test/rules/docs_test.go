package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the directory of the module.
var root = filepath.Join("..", "..")

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchorNoise    = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// pages returns the README and every page under docs, by path, with the text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	read := func(path string) error {
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	}
	if err := read(filepath.Join(root, "README.md")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		return read(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// anchors returns the names under which the headings of a page can be linked to.
func anchors(text string) map[string]bool {
	names := make(map[string]bool)
	for _, heading := range headingPattern.FindAllStringSubmatch(text, -1) {
		name := anchorNoise.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading[1])), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

// TestDocs_linksLeadSomewhere checks every link from a page to a file of the project, and to a
// heading of a page.
func TestDocs_linksLeadSomewhere(t *testing.T) {
	all := pages(t)
	checked := 0
	for path, text := range all {
		for _, link := range linkPattern.FindAllStringSubmatch(text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(link[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, link[1])
				continue
			}
			if page, ok := all[target]; ok && anchor != "" && !anchors(page)[anchor] {
				t.Errorf("%s links to %s, and the page has no such heading", path, link[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links: are they found?", checked)
	}
}

// TestDocs_commandsAreCarriedOut checks that a test opens every page of operations that has
// commands. It carries out all of them: see package runbook.
func TestDocs_commandsAreCarriedOut(t *testing.T) {
	var tests strings.Builder
	for _, f := range files(t) {
		if f.isTest && slices.Contains(f.imports, "praefect/test/runbook") {
			text, err := os.ReadFile(filepath.Join(root, f.path))
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	checked := 0
	for path, text := range pages(t) {
		if !strings.Contains(text, "```sh") {
			continue
		}
		checked++
		if name := filepath.Base(path); !strings.Contains(tests.String(), `runbook.Open(t, "`+name+`")`) {
			t.Errorf("no test carries out the commands of %s", path)
		}
	}
	if checked < 7 {
		t.Errorf("only %d pages with commands: are they found?", checked)
	}
}

// TestDocs_operationsIndexIsComplete checks that the index names every page of its directory.
func TestDocs_operationsIndexIsComplete(t *testing.T) {
	all := pages(t)
	dir := filepath.Join(root, "docs", "operations")
	index := all[filepath.Join(dir, "README.md")]
	for path := range all {
		name := filepath.Base(path)
		if filepath.Dir(path) == dir && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/operations/README.md does not list %s", name)
		}
	}
}
