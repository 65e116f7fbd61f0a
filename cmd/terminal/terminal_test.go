package terminal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

var samples = []struct{ text, line string }{
	{"", ""},
	{"@hashed/ab/cd/é 世界.git", "@hashed/ab/cd/é 世界.git"},
	{"a\x1b[31mred.git", `a\x1b[31mred.git`},
	{"\x1b]0;title\a", `\x1b]0;title\a`},
	{"over\rwritten\n\tindented", `over\rwritten\n\tindented`},
	{"\u009b2J", `\u009b2J`},                   // the control characters of eight bits
	{"fdp.\u202egit", `fdp.\u202egit`},         // from right to left
	{"zero\u200bwidth", `zero\u200bwidth`},     // not seen at all
	{"\xff\x9b2J", `\xff\x9b2J`},               // no UTF-8
	{"\ufffd", "\ufffd"},                       // what stands for it
	{"\U000e0041tag\x7f", `\U000e0041tag\x7f`}, // beyond 16 bits
}

func TestLine(t *testing.T) {
	for _, s := range samples {
		if got := Line(s.text); got != s.line {
			t.Errorf("%q: got %q, want %q", s.text, got, s.line)
		}
	}
}

func TestText_keepsLines(t *testing.T) {
	if got := Text("one\n\ttwo\r\x1b[1A"); got != "one\n\ttwo"+`\r\x1b[1A` {
		t.Errorf("got %q", got)
	}
}

func TestJSON_meansTheSame(t *testing.T) {
	for _, s := range samples {
		document, err := json.MarshalIndent(map[string]string{"path": s.text}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		shown := JSON(document)
		if strings.ContainsFunc(string(shown), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q: got %q", s.text, shown)
		}
		var before, after map[string]string
		if err := json.Unmarshal(document, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(shown, &after); err != nil || after["path"] != before["path"] {
			t.Errorf("%q: read as %q, %v", s.text, after["path"], err)
		}
	}
}

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	w := Writer(&out)
	for _, b := range []byte("10%\r\x1b[2Jdone é 世\u009b2J\x7f\n") { // however it is divided
		if n, err := w.Write([]byte{b}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := out.String(), "10%\r"+`\x1b`+"[2Jdone é 世\xc2"+`\x9b2J\x7f`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, err := Writer(failing{}).Write([]byte("x")); err == nil || n != 0 {
		t.Errorf("a write that fails: got %d, %v", n, err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }
