// Package runbook carries out the commands of the pages in docs/operations on the hosts of a test's
// cluster, so that every command of a page works. It promises that a test which opens a page
// carries out every block of it: a block begins with "```sh NAME", and the test chooses on which
// host it runs. Tests of real processes use it.
package runbook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"praefect/test/must"
)

// pages is where the pages are, from the directory of a test's package.
var pages = filepath.Join("..", "..", "docs", "operations")

// Page is one page with the commands that were carried out.
type Page struct {
	t      testing.TB
	name   string
	blocks map[string][]string // commands by the name of their block
	done   []string            // names of the blocks that were carried out
}

// Open reads a page of docs/operations. At its end a test that has not failed fails
// if it has left a block of the page out.
func Open(t testing.TB, name string) *Page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pages, name))
	must.Succeed(t, err)
	blocks, fault := parse(string(text))
	if fault != "" {
		t.Fatalf("%s: %s", name, fault)
	}
	p := &Page{t: t, name: name, blocks: blocks}
	t.Cleanup(func() {
		for block := range p.blocks {
			if !t.Failed() && !t.Skipped() && !slices.Contains(p.done, block) {
				t.Errorf("%s: the block %q was not carried out", name, block)
			}
		}
	})
	return p
}

// parse returns the commands of a page by their blocks, or an error that names the fault.
func parse(text string) (blocks map[string][]string, fault string) {
	blocks = make(map[string][]string)
	for _, block := range strings.Split(text, "```sh")[1:] {
		head, rest, _ := strings.Cut(block, "\n")
		name := strings.TrimSpace(head)
		body, _, closed := strings.Cut(rest, "```")
		switch {
		case name == "":
			return nil, "a block has no name: write ```sh NAME, so that a test can carry it out"
		case !closed:
			return nil, "the block " + name + " has no end"
		case blocks[name] != nil:
			return nil, "there are two blocks " + name
		}
		blocks[name] = lines(body)
	}
	if len(blocks) == 0 {
		return nil, "there is no block of commands"
	}
	return blocks, ""
}

// lines are the commands of a block: one a line, unless the line ends with a backslash.
func lines(body string) []string {
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(body, "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, line)
		}
	}
	return commands
}

// CarryOut carries out one block of the page on a host, command by command, and fails
// the test at the first that does not succeed. It returns their output.
func (p *Page) CarryOut(h *Host, block string) string {
	p.t.Helper()
	commands := p.blocks[block]
	if commands == nil {
		p.t.Fatalf("%s has no block %q", p.name, block)
	}
	if !slices.Contains(p.done, block) {
		p.done = append(p.done, block)
	}
	var printed strings.Builder
	for _, command := range commands {
		out, err := h.run(p.t.Context(), command)
		printed.WriteString(out)
		p.t.Logf("%s$ %s\n%s", h.name, command, out)
		if err != nil {
			p.t.Fatalf("%s, block %s: %s$ %s: %v", p.name, block, h.name, command, err)
		}
	}
	return printed.String()
}

// Ask carries out a block whose commands answer by their exit codes, such as praefectctl status. It
// returns their output and the highest code; the error is for a command without one. The
// caller may ask again until the answer is the expected one.
func (p *Page) Ask(h *Host, block string) (printed string, code int, err error) {
	p.t.Helper()
	commands := p.blocks[block]
	if commands == nil {
		return "", 0, fmt.Errorf("%s has no block %q", p.name, block)
	}
	if !slices.Contains(p.done, block) {
		p.done = append(p.done, block)
	}
	for _, command := range commands {
		out, err := h.run(p.t.Context(), command)
		printed += out
		if exit, ok := errors.AsType[*statusError](err); ok {
			code = max(code, exit.code)
		} else if err != nil {
			return printed, code, fmt.Errorf("%s, block %s: %s$ %s: %w", p.name, block, h.name, command, err)
		}
	}
	return printed, code, nil
}
