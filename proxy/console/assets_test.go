package console

import (
	"fmt"
	"strings"
	"testing"

	"praefect/proxy/admin"
)

// TestAssets_nameEveryStage checks that the dialog of a switchover shows each stage that an
// instance reports, so that a rename takes the page with it.
func TestAssets_nameEveryStage(t *testing.T) {
	text, err := embedded.ReadFile("assets/dialogs.js")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(text), "const stages = ")
	if !found {
		t.Fatal("dialogs.js lists no stages")
	}
	line, last, _ := strings.Cut(line, "\n")
	last, _, _ = strings.Cut(last, "\n")
	for _, stage := range []admin.Stage{
		admin.StagePlan, admin.StageCatchUp, admin.StagePauseWrites, admin.StageFence, admin.StageAdmit, admin.StageResumeWrites,
	} {
		if !strings.Contains(line, fmt.Sprintf("[%q, ", stage)) {
			t.Errorf("dialogs.js does not list the stage %q", stage)
		}
		if got := strings.Contains(last, fmt.Sprintf("%q", stage)); got != stage.CutOver() {
			t.Errorf("dialogs.js says %v for the question whether %q is past the cut-over", got, stage)
		}
	}
}
