package main

import (
	"os"
	"strings"
	"testing"

	"praefect/proxy/admin"
	"praefect/replicator/plan"
)

// TestReasons_areWordsAndRowsOfThePage: each reason for which a repair waits has words of its own, and a row in the
// manual, and none stands there besides.
func TestReasons_areWordsAndRowsOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations/dataloss.md")
	must(t, err)
	_, rows, _ := strings.Cut(string(page), "| reason | the repair waits for |")
	for _, reason := range plan.Reasons {
		if text := (&admin.Waiting{Reason: string(reason)}).String(); text == string(reason) || text == "" {
			t.Errorf("%s has no words", reason)
		}
		if !strings.Contains(rows, "\n| `"+string(reason)+"` |") {
			t.Errorf("docs/operations/dataloss.md has no row of %s", reason)
		}
	}
	if n := strings.Count(rows, "\n| `"); n != len(plan.Reasons) {
		t.Errorf("docs/operations/dataloss.md has %d rows for %d reasons", n, len(plan.Reasons))
	}
}
