package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/proxy/admin"
)

// ours are the escape sequences that the program writes itself: the colours of marks.
var ours = regexp.MustCompile("\x1b\\[(0|3[1236])m")

// TestProgram_escapesWhatOthersChose: neither a path nor the error of a storage reaches the
// terminal with anything that is not printable, whichever command shows it.
func TestProgram_escapesWhatOthersChose(t *testing.T) {
	const evil = "\x1b]0;owned\a\x1b[2J\x1b[1Arm -rf\r\u202e\u009b31m\x7f"
	const path = "a" + evil + ".git"
	i := newInstance(t)
	i.WrittenOnlyTo(path, "gitaly-1")
	i.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: path, Target: "gitaly-2", State: "failed", Error: "storage: " + evil}}, nil)
	i.Observe("gitaly-2", reachability.Observation{Err: errors.New("dial: " + evil)})
	i.Raise(condition.Raised{Name: condition.RepairWaits, VirtualStorage: "default", Text: path + " cannot be repaired: " + evil})
	address := i.socket(t)
	for _, env := range []map[string]string{nil, screen} {
		for _, row := range []struct {
			args []string
			says string
		}{
			{[]string{"status"}, "dial: "},
			{[]string{"status", "-o", "json"}, "dial: "},
			{[]string{"dataloss"}, ".git"},
			{[]string{"-o", "json", "dataloss"}, ".git"},
			{[]string{"queue", "list"}, "storage: "},
			{[]string{"-o", "json", "queue", "list"}, "storage: "},
			{[]string{"accept-dataloss", "-virtual-storage", "default", "-repository", path, "-authoritative-storage", "gitaly-2", "-dry-run"}, "THEY ARE LOST"},
			{[]string{"accept-dataloss", "-virtual-storage", "default", "-repository", path, "-authoritative-storage", "gitaly-2"}, "not confirmed"}, // the question
			{[]string{"pause", "-virtual-storage", evil}, "no virtual storage"},
			{[]string{"promote", evil}, "no virtual storage has"},
		} {
			got := operator{env: env, types: "no\n"}.run(t, append([]string{"-endpoints", address}, row.args...)...)
			all := got.stdout + got.stderr
			if !strings.Contains(all, row.says) || !strings.Contains(all, `1b[2J`) && !strings.Contains(all, `\u001b[2J`) {
				t.Errorf("%q does not say it: %d %s\n%s", row.args, got.code, got.stderr, got.stdout)
			}
			all = ours.ReplaceAllString(all, "")
			if at := strings.IndexFunc(all, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
				t.Errorf("%q prints %q", row.args, all[max(0, at-20):])
			}
		}
	}
}

// TestOutput_printf: numbers and marks are printed as they are, and texts of any type are escaped.
func TestOutput_printf(t *testing.T) {
	var text strings.Builder
	o := &output{w: &text, terminal: true, utf8: true, colour: true}
	o.printf("%s %d %s %v\n", o.mark(bad), 7, condition.Health("\x1b"), admin.Kind("\a"))
	if got, want := text.String(), fmt.Sprintf("%s 7 %s\n", o.mark(bad), `\x1b \a`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
