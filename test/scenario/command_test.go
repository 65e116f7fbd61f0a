package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"praefect/test/must"
)

func TestCommand(t *testing.T) {
	for _, row := range []struct {
		args   string
		chosen string
		usage  string // a part of what is printed; empty: nothing is, and all is well
	}{
		{"", "a b c", ""},
		{"-only c,a", "c a", ""},
		{"-only ,", "a b c", ""},
		{"-only a,d", "", `there is no "d"`},
		{"-no-such-flag", "", "not defined"},
		{"more", "", `unknown argument "more"`},
	} {
		var stderr strings.Builder
		c := NewCommand("show", &stderr)
		out, chosen := c.Out(), Only(c, []string{"a", "b", "c"}, func(name string) string { return name })
		err := c.Read(strings.Fields(row.args))
		if row.usage != "" {
			if !errors.Is(err, ErrUsage) || !strings.Contains(stderr.String(), row.usage) || !strings.Contains(stderr.String(), "-only") {
				t.Errorf("%q: got %v, %s; want %q and the usage", row.args, err, &stderr, row.usage)
			}
			continue
		}
		if err != nil || !slices.Equal(*chosen, strings.Fields(row.chosen)) || *out != filepath.Join("build", "show.json") {
			t.Errorf("%q: got %v, %q, %v; want %s", row.args, *chosen, *out, err, row.chosen)
		}
	}
	var stderr strings.Builder
	for args, want := range map[string]string{"up": "up", "-build x up": "up", "": "", "sideways": "", "up up": ""} {
		got, err := NewCommand("show", &stderr).ReadWord(strings.Fields(args), "up", "down")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", args, got, err, want)
		}
	}
}

func TestWriteJSON_replacesAWholeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build", "figures.json")
	for _, figures := range [][]int{{1, 2, 3}, {4}} {
		must.Succeed(t, WriteJSON(path, figures, 0o600))
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "[\n  4\n]\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := WriteJSON(path, func() {}, 0o600); err == nil {
		t.Error("a function was written")
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
