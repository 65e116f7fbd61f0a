package console_test

import (
	"slices"
	"strings"
	"testing"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
	"praefect/test/browser"
)

// focused describes what has the focus: a text for messages, whether the user sees that it has it,
// and a number that tells it from all others.
type focused struct {
	What    string
	Visible bool
	Number  int
}

// look is evaluated in the page. Every node that had the focus gets a number. A mark is visible if
// the node, or a part of it, is drawn otherwise than without the focus.
const look = `(() => {
	const n = document.activeElement;
	if (!n || n.tabIndex < 0 || n === document.body) return {What: "", Visible: true, Number: 0};
	window.numbers ??= new Map();
	if (!window.numbers.has(n)) window.numbers.set(n, window.numbers.size + 1);
	const parts = [n, ...n.querySelectorAll("*")];
	const drawn = () => parts.map((p) => { const s = getComputedStyle(p); return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.stroke, s.strokeWidth, s.borderColor].join(); });
	const r = n.getBoundingClientRect();
	const inside = r.width > 0 && r.height > 0;
	const with_ = drawn();
	n.blur();
	const without = drawn();
	n.focus({focusVisible: true, preventScroll: true});
	return {What: n.tagName + " " + (n.getAttribute("aria-label") ?? n.textContent ?? n.id).trim().slice(0, 60),
		Visible: inside && with_.some((style, i) => style !== without[i]), Number: window.numbers.get(n)};
})()`

// operable checks that every control of the page has a name, and that Tab reaches each of them and
// shows where it is.
func operable(t *testing.T, p *browser.Page, page string) {
	t.Helper()
	reachable := 0
	for _, c := range p.Controls() {
		if strings.TrimSpace(c.Name) == "" {
			t.Errorf("%s: a %s has no name", page, c.Role)
		}
		switch {
		case c.Disabled:
		case !c.Focusable:
			t.Errorf("%s: the keyboard does not reach the %s %q", page, c.Role, c.Name)
		default:
			reachable++
		}
	}
	var seen []int
	for range 4 * (reachable + 10) {
		p.Press("Tab")
		var at focused
		p.Eval(look, &at)
		if at.Number == 0 { // between the last and the first one
			continue
		}
		if !at.Visible {
			t.Errorf("%s: nothing shows that %s has the focus", page, at.What)
		}
		switch {
		case !slices.Contains(seen, at.Number):
			seen = append(seen, at.Number)
		case len(seen) >= reachable: // the page is live: a round may have met one that was made again
			return
		}
	}
	t.Errorf("%s: Tab reaches %d of %d controls", page, len(seen), reachable)
}

// TestBrowser_keyboardAndNames goes through every page and dialog by keyboard alone, light and dark.
func TestBrowser_keyboardAndNames(t *testing.T) {
	w := begin(t)
	w.WrittenOnlyTo("a.git", "gitaly-1")
	w.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git", Target: "gitaly-2", State: "dead"}}, nil)
	p := browser.Start(t).Open(t)
	for _, scheme := range []string{"light", "dark"} {
		p.Prefer(scheme)
		p.Go(w.url)
		if scheme == "light" {
			p.Wait("document.activeElement?.id === 'token'")
			operable(t, p, "sign in")
			p.Eval("document.getElementById('token').focus()", nil)
			p.Type(actToken)
			p.Press("Enter")
		}
		p.WaitText(".tools", "live")
		for _, page := range []struct{ key, title string }{{"o", "gitaly-1"}, {"r", "a.git"}, {"i", "praefect-1"}, {"q", "a.git"}, {"h", "serving"}, {"s", "Settings"}} {
			p.Eval("document.activeElement?.blur()", nil)
			p.Press("g", page.key)
			p.WaitText("main", page.title)
			operable(t, p, scheme+" "+page.key)
		}
		p.Eval("location.hash = '#/repository/default/a.git'", nil)
		p.WaitText("main", "a.git")
		p.Wait("document.querySelector(\"button[aria-label='Accept the replica on gitaly-2']\")")
		operable(t, p, scheme+" repository")
		p.Eval("document.querySelector(\"button[aria-label='Accept the replica on gitaly-2']\").focus()", nil)
		p.Press("Enter")
		p.WaitText("dialog code", "praefectctl accept-dataloss")
		operable(t, p, scheme+" dialog")
		p.Press("Escape")
		p.Wait("!document.querySelector('dialog').open")
		p.Press("?")
		p.WaitText("dialog", "Keys")
		operable(t, p, scheme+" keys")
		p.Press("Escape")
		p.Wait("!document.querySelector('dialog').open")
	}
}

// TestBrowser_repairs asks for the missing repairs and for the verification of every repository.
func TestBrowser_repairs(t *testing.T) {
	w := begin(t)
	w.WrittenOnlyTo("a.git", "gitaly-1")
	w.WrittenOnlyTo("b.git", "gitaly-1")
	w.SetRepositories(3, nil)
	p := w.signIn(t, actToken, "live")
	p.Press("g", "q")
	p.WaitText("main", "no jobs")
	press := func(label string) {
		button := "[...document.querySelectorAll('main button')].find((b) => b.textContent === " + quoted(label) + ")"
		p.Wait(button) // the page before has the texts of this one, too
		p.Eval(button+".focus()", nil)
		p.Press("Enter")
	}
	press("Search for missing repairs")
	p.WaitText("dialog", "Jobs that are made for repositories without one: 2")
	p.WaitText("dialog code", "praefectctl reconcile")
	if n := len(w.Asked()); n != 0 {
		t.Errorf("a plan has asked for %d changes", n)
	}
	p.Click("#proceed")
	p.WaitText("dialog", "jobs made: 2")
	p.Press("Escape")
	p.WaitText("main table", "b.git")
	press("Search for missing repairs")
	p.WaitText("dialog", "Jobs that are made for repositories without one: 0")
	p.Wait("!document.querySelector('#proceed')")
	p.Press("Escape")
	p.Press("g", "r")
	p.WaitText("main", "a.git")
	press("Verify every repository")
	p.WaitText("dialog", "repositories to compare on all storages")
	p.WaitText("dialog code", "praefectctl verify -all")
	p.Click("#proceed")
	p.WaitText("dialog", "repositories that are compared")
}

// TestBrowser_settingsThatDiffer shows which instance has which value, and of a secret that it differs.
func TestBrowser_settingsThatDiffer(t *testing.T) {
	w := begin(t)
	w.Raise(condition.Raised{Name: condition.SettingsDiffer, Text: "the settings differ", Settings: []condition.Setting{
		{Key: "consistency.copies", Values: []condition.SettingValue{{Value: "2", Instances: []string{"praefect-1", "praefect-3"}}, {Value: "3", Instances: []string{"praefect-2"}}}},
		{Key: "admin.token", Values: []condition.SettingValue{{Secret: true, Instances: []string{"praefect-1", "praefect-3"}}, {Absent: true, Instances: []string{"praefect-2"}}}},
	}})
	p := w.signIn(t, readToken, "read only")
	p.WaitText(".conditions", "Run-book: docs/operations/conditions.md#settings-differ")
	p.Press("g", "s")
	p.WaitText(".differences", "consistency.copies")
	var rows []string
	p.Eval("[...document.querySelectorAll('.differences tbody tr')].map((r) => [...r.children].map((c) => c.textContent).join(' | '))", &rows)
	want := []string{"admin.token | secret 1, not shown | praefect-1, praefect-3", "not set | praefect-2", "consistency.copies | 2 | praefect-1, praefect-3", "3 | praefect-2"}
	if !slices.Equal(rows, want) {
		t.Errorf("got %q, want %q", rows, want)
	}
}

// signIn opens the console and signs in; tools is what the head of the page says of the session then.
func (w *fixture) signIn(t *testing.T, token, tools string) *browser.Page {
	t.Helper()
	p := browser.Start(t).Open(t)
	p.Go(w.url)
	p.Wait("document.activeElement?.id === 'token'")
	p.Type(token)
	p.Press("Enter")
	p.WaitText(".tools", tools)
	return p
}
