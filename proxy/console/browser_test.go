package console_test

import (
	"encoding/json"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/browser"
)

// TestBrowser_namesAreText shows pages of a cluster in which everything that others choose is
// markup and script. Nothing of it may become either.
func TestBrowser_namesAreText(t *testing.T) {
	const evil = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'"&#x27;javascript:alert(1)`
	w := begin(t)
	path := evil + ".git"
	w.WrittenOnlyTo(path, "gitaly-1")
	w.Conflict(path, "gitaly-1", state.Conflict{
		Storage: "gitaly-2", Primary: "gitaly-1", Time: 1, Differing: 1,
		Sample: []state.DifferingReference{{Name: "refs/heads/" + evil, Here: "8a90f1dd3bc2", There: "41b06cc01e9f"}},
	})
	w.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: path, Target: "gitaly-2", State: "dead", Error: evil}}, nil)
	w.Raft(func(v *admin.RaftView) { v.Instances[2].State, v.Instances[2].Error = admin.Unreachable, evil })
	p := browser.Start(t).Open(t)
	p.Go(w.url)
	p.Wait("document.activeElement?.id === 'token'")
	p.Type(actToken)
	p.Press("Tab")
	p.Type(evil[:30])
	p.Press("Enter")
	p.WaitText(".tools", "live")
	for _, page := range []struct{ key, shows string }{{"o", "gitaly-1"}, {"r", evil}, {"i", evil}, {"q", evil}, {"h", evil}, {"s", "Settings"}} {
		p.Press("g", page.key)
		p.WaitText("main", page.shows)
	}
	p.Eval("location.hash = '#/repository/default/' + encodeURIComponent("+quoted(path)+")", nil)
	p.WaitText("main", "refs/heads/"+evil)
	p.Click("button[aria-label='Accept the replica on gitaly-2']")
	p.WaitText("dialog code", "praefectctl accept-dataloss")
	var hacked bool
	p.Eval("window.hacked === 1 || document.querySelectorAll('main img, main script, dialog img').length > 0", &hacked)
	if hacked {
		t.Error("a name became markup")
	}
	p.Wait("document.querySelector('#proceed').disabled")
	p.Click("#confirm")
	p.Type("gitaly-2")
	p.Wait("!document.querySelector('#proceed').disabled")
}

// TestBrowser_readersSeeTheCommand shows that a session which may only read is told what to run.
func TestBrowser_readersSeeTheCommand(t *testing.T) {
	w := begin(t)
	p := browser.Start(t).Open(t)
	p.Go(w.url)
	p.Wait("document.activeElement?.id === 'token'")
	p.Type("wrong")
	p.Press("Enter")
	p.WaitText(".login .fault", "neither the client token nor the admin token")
	p.Wait("document.activeElement?.id === 'token'")
	p.Eval("document.getElementById('token').select()", nil)
	p.Type(readToken)
	p.Press("Enter")
	p.WaitText(".tools", "read only")
	p.Click("button[aria-label='Promote gitaly-2']")
	p.WaitText("dialog code", "praefectctl promote gitaly-2 -virtual-storage default")
	p.Wait("!document.querySelector('#proceed')")
	w.unchanged()
}

// quoted is a text as JavaScript writes it.
func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil { // a text
		panic(err)
	}
	return string(out)
}
