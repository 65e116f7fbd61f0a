package console

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/browser"
	"praefect/test/cluster"
)

var programs cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &programs)) }

// world is a cluster of three instances, and pages at the first of them that is not stopped.
type world struct {
	t *testing.T
	c *cluster.Cluster
	b *browser.Browser
}

func begin(t *testing.T) *world {
	t.Helper()
	c := cluster.Run(t, cluster.Options{Binaries: programs, Instances: 3, Console: true, Settings: "failover = { return_after = '2s' }"})
	return &world{t, c, browser.Start(t)}
}

func (w *world) secret(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// signIn opens the console of an instance.
func (w *world) signIn(at *cluster.Instance, token, name string) *browser.Page {
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

// follower is an instance that does not lead: what happens to the leader does not end its pages.
func (w *world) follower() *cluster.Instance {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	leader, err := w.c.Leader(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range w.c.Instances {
		if i != leader {
			return i
		}
	}
	w.t.Fatal("no instance but the leader")
	return nil
}

// images is where screenshots go, empty if none are wanted.
func images() string { return os.Getenv("SCREENSHOTS") }

// shoot takes a screenshot, if they are wanted.
func (w *world) shoot(p *browser.Page, name string) {
	w.t.Helper()
	if images() == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(images(), "console-"+name+".png"), p.Screenshot(), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func TestConsole_inABrowser(t *testing.T) {
	w := begin(t)
	at := w.follower()
	p := w.signIn(at, w.secret(w.c.AdminTokenFile), "alice")
	for i := range 3 {
		p.WaitText(".picture", w.c.Instances[i].Label())
		p.WaitText(".picture", w.c.Storages[i].Name)
	}
	w.shoot(p, "overview")
}
