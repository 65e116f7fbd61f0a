package condition_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/fsm/condition"
)

var update = flag.Bool("update", false, "write the table of conditions into its page")

// TestPage_saysWhatTheCodeSays compares the table in the operators' page with the kinds. With
// -update it writes the table.
func TestPage_saysWhatTheCodeSays(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "operations", "conditions.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head, end = "| condition | level |", "\n## Levels"
	before, rest, found := strings.Cut(string(text), head)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no part from %q to %q", path, head, end)
	}
	want := before + page() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what the code says: run go test ./fsm/condition -run Page -update", path)
	}
}

// page is the part of docs/operations/conditions.md about the kinds: a table, and a section for each.
func page() string {
	var b strings.Builder
	b.WriteString("| condition | level | exit code | metric |\n|---|---|---|---|\n")
	for _, k := range condition.Kinds() {
		exit := string('0' + rune(k.Level.Health().ExitCode()))
		b.WriteString("| [`" + string(k.Name) + "`](#" + string(k.Name) + ") | " + string(k.Level) + " | " + exit + " | `" + k.Metric() + "` |\n")
	}
	for _, k := range condition.Kinds() {
		b.WriteString("\n### " + string(k.Name) + "\n\n" + k.Meaning + "\n\n- Do: " + k.Next + "\n")
		if alert := k.Alert(); alert != "" {
			b.WriteString("- Alert: [" + alert + "](alerts.md#" + strings.ToLower(alert) + ")\n")
		}
	}
	return b.String()
}

// TestRunBook_exists finds the section of each kind, and that of its alert.
func TestRunBook_exists(t *testing.T) {
	sections := func(page string) map[string]bool {
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[string]bool)
		for line := range strings.Lines(string(text)) {
			if title, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") {
				found[page+"#"+strings.ToLower(strings.TrimSpace(title))] = true
			}
		}
		return found
	}
	conditions, alerts := sections("docs/operations/conditions.md"), sections("docs/operations/alerts.md")
	for _, k := range condition.Kinds() {
		if book := k.Name.RunBook(); !conditions[book] {
			t.Errorf("%s: there is no section %s", k.Name, book)
		}
		switch alert := k.Alert(); {
		case alert == "" && k.Level != condition.Notice:
			t.Errorf("%s is %s, and no alert says so", k.Name, k.Level)
		case alert != "" && !alerts["docs/operations/alerts.md#"+strings.ToLower(alert)]:
			t.Errorf("%s: there is no alert %s", k.Name, alert)
		}
	}
}

func TestKinds_areComplete(t *testing.T) {
	names := make(map[condition.Name]bool)
	for _, k := range condition.Kinds() {
		if names[k.Name] || k.Meaning == "" || k.Next == "" || k.About == "" {
			t.Errorf("%+v is named twice or lacks something", k)
		}
		names[k.Name] = true
		if got := condition.KindOf(k.Name); got != k {
			t.Errorf("KindOf(%s) is %+v", k.Name, got)
		}
	}
	if got := condition.KindOf("of-a-newer-program"); got.Level != condition.Degraded {
		t.Errorf("a name that is not known is %v: want it to be degraded", got.Level)
	}
}

func TestHealth_exitCodes(t *testing.T) {
	for level, want := range map[condition.Level]int{condition.Notice: 0, condition.Degraded: 3, condition.Unavailable: 4, "": 0} {
		if got := level.Health().ExitCode(); got != want {
			t.Errorf("%q: exit code %d, want %d", level, got, want)
		}
	}
}
