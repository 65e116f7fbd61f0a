package console

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"praefect/test/browser"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/postgres"
	"praefect/test/scenario"
)

var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// harness is a cluster of three instances, and pages at the first of them that is not stopped.
type harness struct {
	t *testing.T
	c *cluster.Cluster
	b *browser.Browser
}

func begin(t *testing.T) *harness {
	t.Helper()
	c := cluster.Run(t, cluster.Options{Binaries: programs, Instances: 3, Console: true, Settings: "failover = { return_after = '2s' }"})
	return &harness{t, c, browser.Start(t)}
}

func (w *harness) secret(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(file)
	must.Succeed(w.t, err)
	return strings.TrimSpace(string(text))
}

// signIn opens the console of an instance.
func (w *harness) signIn(at *cluster.Instance, token, name string) *browser.Page {
	w.t.Helper()
	p := w.b.Open(w.t)
	p.Prefer("light")
	p.Go("http://" + at.ConsoleAddr + "/")
	p.Click("#token")
	p.Type(token)
	p.Click("#name")
	p.Type(name)
	p.Press("Enter")
	p.WaitText(".tools", "live")
	p.WaitText(".verdict", "healthy")
	return p
}

// maxImage is the size of a screenshot that the manual may have.
const maxImage = 150 << 10

// shoot takes a screenshot, if $SCREENSHOTS names a directory for them.
func (w *harness) shoot(p *browser.Page, name string) {
	w.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	small, err := browser.Small(p.Screenshot())
	must.Succeed(w.t, err)
	if len(small) > maxImage {
		w.t.Errorf("the screenshot %s has %d bytes, want at most %d", name, len(small), maxImage)
	}
	must.Succeed(w.t, os.WriteFile(filepath.Join(dir, "console-"+name+".png"), small, 0o644))
}

// create makes an empty repository.
func (w *harness) create(path string) {
	w.t.Helper()
	if _, err := w.c.CreateRepository(w.t.Context(), "default", path); err != nil {
		w.t.Fatal(err)
	}
}

// card selects a storage in the picture.
func card(storage string) string { return `[data-key="storage default ` + storage + `"]` }

func TestConsole_inABrowser(t *testing.T) {
	w := begin(t)
	for i := range 3 {
		w.create(fmt.Sprintf("@hashed/0%d/project.git", i))
	}
	at := scenario.Follower(w.t, w.c)
	p := w.signIn(at, w.secret(w.c.AdminTokenFile), "alice")
	for i := range 3 {
		p.WaitText(".picture", w.c.Instances[i].Label())
		p.Wait(fmt.Sprintf("document.querySelector('%s.good')", card(w.c.Storages[i].Name)))
	}
	p.WaitText(".card.primary", w.c.Storages[0].Name)
	p.WaitText(".stat", "can lose 1")
	w.shoot(p, "overview")

	w.aStorageDies(p)
	w.keys(p)
	w.aPromotion(p)
	w.noPostgres(p)
	w.noQuorum(p, at)
	w.theStreamDrops(p, at)
}

// aStorageDies kills the primary: the page shows the failover without being loaded again, and the
// repository that the dead one misses a write of.
func (w *harness) aStorageDies(p *browser.Page) {
	w.t.Helper()
	p.Eval("window.sameDocument = true", nil)
	dead := w.c.Storages[0]
	must.Succeed(w.t, dead.Kill())
	p.Wait(fmt.Sprintf("document.querySelector('%s.bad')", card(dead.Name)))
	p.Wait(fmt.Sprintf("document.querySelector('.card.primary') && !document.querySelector('%s.primary')", card(dead.Name)))
	p.WaitText(".changes", dead.Name)
	w.create("@hashed/ab/late.git")
	p.WaitText("nav", "Repositories1")
	p.WaitText(".verdict", "degraded")
	w.shoot(p, "failover")
	p.Prefer("dark")
	p.Wait("getComputedStyle(document.body).backgroundColor === 'rgb(16, 20, 26)'")
	w.shoot(p, "dark")
	p.Size(390, 844)
	p.Wait("document.querySelector('.picture.tall')")
	p.Wait("document.documentElement.scrollWidth <= innerWidth") // nothing sticks out
	w.shoot(p, "narrow")
	p.Size(1280, 900)
	p.Prefer("light")
	p.Press("g", "r")
	p.WaitText(".matrix", "@hashed/ab/late.git")
	p.WaitText(".matrix", "behind")
	p.Click(".matrix a")
	p.WaitText("h2", "Replicas")
	p.WaitText(".verdict", "misses an acknowledged write")
	p.WaitText(".command", "praefectctl explain -virtual-storage default @hashed/ab/late.git")
	w.shoot(p, "repository")
	must.Succeed(w.t, dead.Start())
	p.WaitText(".verdict", "clean")
	p.Press("g", "o")
	p.Wait(fmt.Sprintf("document.querySelector('%s.good')", card(dead.Name)))
	p.Wait("window.sameDocument")
}

// keys goes through the pages without a mouse.
func (w *harness) keys(p *browser.Page) {
	w.t.Helper()
	p.Press("?")
	p.WaitText("dialog h2", "Keys")
	p.Press("Escape")
	p.Wait("!document.getElementById('dialog').open")
	for key, view := range map[string]string{"i": "raft", "h": "history", "s": "settings", "q": "queue"} {
		p.Press("g", key)
		p.Wait("document.querySelector('.view." + view + "')")
	}
	p.Press("/")
	p.Wait("document.activeElement?.id === 'search'")
	p.Type("@hashed/00/project.git")
	p.Press("Enter")
	p.WaitText(".verdict", "clean")
	p.Press("d")
	p.Wait("document.documentElement.dataset.theme === 'dark'")
	p.Press("d")
	p.Wait("document.documentElement.dataset.theme === 'light'")
	p.Press("Tab")
	p.Wait("document.activeElement !== document.body && document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle !== 'none'")
	p.Press("g", "o")
	// Every control says what it is to a screen reader.
	p.Wait("document.querySelector('.picture') && [...document.querySelectorAll('button, a, input, select, [role=button]')].every(n => n.getAttribute('aria-label') || n.textContent.trim() || n.labels?.length)")
}

// aPromotion promotes a storage from its card, by keys alone.
func (w *harness) aPromotion(p *browser.Page) {
	w.t.Helper()
	name := w.c.Storages[0].Name
	p.Wait(fmt.Sprintf("(document.querySelector('%s')?.focus(), document.activeElement.matches('%[1]s'))", card(name)))
	p.Press("Enter")
	p.WaitText("dialog h2", name)
	p.Click("dialog .buttons button")
	p.WaitText("dialog .plan-title", "→ "+name)
	p.Click("#why")
	p.Type("its kernel is new")
	p.WaitText("dialog code", "praefectctl promote "+name+" -virtual-storage default -why 'its kernel is new'")
	p.Click("#proceed")
	p.WaitText("dialog .result", name+" is the primary of default")
	p.WaitText("dialog code", "praefectctl promote")
	p.Press("Escape")
	p.Wait(fmt.Sprintf("document.querySelector('%s.primary')", card(name)))
	primary, err := w.c.Primary(w.t.Context(), "default")
	must.Succeed(w.t, err)
	if primary.Name != name {
		w.t.Errorf("the page says that %s is the primary, and it is %s", name, primary.Name)
	}
	p.Press("g", "h")
	p.WaitText("tbody", "its kernel is new")
	p.WaitText("tbody", "alice, console of praefect-")
	p.Press("g", "o")
}

// noPostgres stops Postgres: the queue is not known, and everything else is.
func (w *harness) noPostgres(p *browser.Page) {
	w.t.Helper()
	p.Press("g", "q")
	p.WaitText(".panel", "no jobs")
	must.Succeed(w.t, w.c.Postgres.Stop(postgres.Fast))
	p.WaitText(".unknown", "the queue since")
	p.Press("g", "o")
	p.WaitText(".stat", "not known")
	p.Wait(fmt.Sprintf("document.querySelector('%s.good')", card(w.c.Storages[0].Name)))
	must.Succeed(w.t, w.c.Postgres.Start(w.t.Context()))
	p.Wait("![...document.querySelectorAll('.stat')].some(n => n.textContent.includes('not known'))")
}

// noQuorum kills the other two instances: the page says that it knows its own view alone.
func (w *harness) noQuorum(p *browser.Page, at *cluster.Instance) {
	w.t.Helper()
	for _, i := range w.c.Instances {
		if i != at {
			must.Succeed(w.t, i.Kill())
		}
	}
	p.WaitText(".verdict", "reaches no leader: this is what it knows by itself")
	p.WaitText(".stat", "nothing can be changed")
	p.Wait("document.querySelectorAll('.edge.unknown').length >= 6")
	p.Wait(fmt.Sprintf("document.querySelector('%s')", card(w.c.Storages[0].Name)))
	for _, i := range w.c.Instances {
		if i != at {
			must.Succeed(w.t, i.Start())
		}
	}
	p.WaitText(".stat", "can lose 1")
}

// theStreamDrops stops the instance and kills it: the page turns grey and dated, goes on by itself
// when the same process goes on, and wants a login from a new one.
func (w *harness) theStreamDrops(p *browser.Page, at *cluster.Instance) {
	w.t.Helper()
	must.Succeed(w.t, at.Pause())
	p.WaitText(".dropped", "dropped. This is how the cluster was at ")
	p.Wait("document.body.classList.contains('stale') && getComputedStyle(document.querySelector('main')).filter === 'grayscale(1)'")
	p.WaitText(".tools", "not live")
	must.Succeed(w.t, at.Resume())
	p.Wait("!document.body.classList.contains('stale')")
	must.Succeed(w.t, at.Kill())
	p.WaitText(".dropped", "next attempt in")
	must.Succeed(w.t, at.Start())
	p.Wait("document.querySelector('.login')")
}
