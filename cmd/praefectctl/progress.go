package main

import (
	"fmt"
	"io"
	"strings"

	"praefect/proxy/admin"
)

// progressLine shows how far something is: one line that is written again on a terminal, elsewhere
// one line for each stage.
type progressLine struct {
	w       io.Writer
	rewrite bool
	last    string // the stage that was shown last
	dirty   bool   // a line is there that has not ended
}

func (l *progressLine) show(stage, text string) {
	switch {
	case text == "":
	case l.rewrite:
		fmt.Fprintf(l.w, "\r\x1b[K  %s", text)
		l.dirty = true
	case stage != l.last:
		fmt.Fprintf(l.w, "  %s\n", text)
	}
	l.last = stage
}

// end leaves the cursor at the beginning of an empty line.
func (l *progressLine) end() {
	if l.dirty {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.dirty = false
	}
}

func stageText(p admin.Progress) string {
	switch p.Stage {
	case admin.StageCatchUp:
		return fmt.Sprintf("catching up; repositories to go: %d", p.Behind)
	case admin.StagePauseWrites:
		return fmt.Sprintf("new writes wait; still under way: %d%s", p.InFlight, waiting(p))
	case admin.StageFence:
		return "cutting over" + waiting(p)
	case admin.StageAdmit:
		return "cut over: every instance knows"
	}
	return ""
}

func waiting(p admin.Progress) string {
	if len(p.Waiting) == 0 {
		return ""
	}
	return ", waiting for " + strings.Join(p.Waiting, ", ")
}
