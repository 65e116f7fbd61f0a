package main

import (
	"strings"
	"testing"
)

func TestYAMLOf(t *testing.T) {
	for _, row := range []struct{ json, want string }{
		{`{"a":1,"b":"x: y","c":null,"d":true}`, "a: 1\nb: \"x: y\"\nc: null\nd: true\n"},
		{`{"a":[],"b":{},"c":[1,"two"]}`, "a: []\nb: {}\nc:\n  - 1\n  - \"two\"\n"},
		{`{"l":[{"n":"a","m":[1]},{"n":"b","o":{"p":2}}]}`, "l:\n  - n: \"a\"\n    m:\n      - 1\n  - n: \"b\"\n    o:\n      p: 2\n"},
		{`{"z":1,"a":{"y":[],"x":[[1]]}}`, "z: 1\na:\n  y: []\n  x:\n    -\n      - 1\n"},
		{`{"t":"a\nb\u001b","n":18446744073709551615}`, "t: \"a\\nb\\u001b\"\nn: 18446744073709551615\n"},
	} {
		got, err := yamlOf([]byte(row.json))
		if err != nil || string(got) != row.want {
			t.Errorf("%s:\ngot\n%s%v\nwant\n%s", row.json, got, err, row.want)
		}
	}
	if _, err := yamlOf([]byte(`{"a":`)); err == nil {
		t.Error("half a document was written")
	}
}

// Every format has the same facts; wide has columns that a table has not.
func TestProgram_formats(t *testing.T) {
	i := newInstance(t)
	for format, want := range map[string]string{
		"table": "STORAGE   ROLE", "wide": "VOTES", "json": `"name": "gitaly-2"`, "yaml": "\n      - name: \"gitaly-2\"\n",
	} {
		got := i.ctl("-o", format, "status")
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: got %+v, want %q in it", format, got, want)
		}
		if format == "table" && strings.Contains(got.stdout, "VOTES") {
			t.Errorf("a table has the columns of wide:\n%s", got.stdout)
		}
	}
	i.ctl("-o", "xml", "status").fails(t, exitUsage)
}

// Colour only on a terminal, and not where NO_COLOR says so; the sign and the word are always there.
func TestProgram_colour(t *testing.T) {
	i := newInstance(t)
	i.Lose("gitaly-2")
	address := i.serve(t)
	for _, row := range []struct {
		name   string
		env    map[string]string
		args   []string
		colour bool
	}{
		{"terminal", screen, nil, true},
		{"NO_COLOR", map[string]string{"LANG": "en_US.UTF-8", "NO_COLOR": "1"}, nil, false},
		{"flag", screen, []string{"-no-color"}, false},
		{"no terminal", nil, nil, false},
	} {
		got := praefectctl(t, row.env, append(row.args, "-endpoints", address, "status")...)
		if strings.Contains(got.stdout, "\x1b[") != row.colour {
			t.Errorf("%s: got %q", row.name, got.stdout)
		}
		if !strings.Contains(got.stdout, "no  ") || !strings.Contains(got.stdout, "✗") && !strings.Contains(got.stdout, "x ") {
			t.Errorf("%s: no sign and no word in %q", row.name, got.stdout)
		}
	}
}
