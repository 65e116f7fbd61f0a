package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// vs is the virtual storage of the tests that need only one.
const vs = "default"

// impatient makes what takes minutes in production take seconds: the effects of
// a write whose end nobody saw are waited for as long as its deadline, those of
// a copy as long as its. A write whose primary is away is given up soon, and no
// other storage takes its place: what one instance does about a loss is shown
// here, what several agree on is shown elsewhere.
const impatient = `
[failover]
enabled = false
[consistency]
mode = 'eventual'
write_timeout = "4s"
queue_timeout = "1s"
intent_linger = "300ms"
[logging]
level = "debug"
` + workload.EagerRepair

// patient is impatient, but for writes that wait: longer than repairs ever pause them.
var patient = strings.Replace(impatient, `queue_timeout = "1s"`, `queue_timeout = "5s"`, 1)

// intentClosed is after how long the mark of a write, which lingers, has closed.
const intentClosed = 400 * time.Millisecond

// operationLimit bounds one operation of a client where none may fail: it is
// longer than writes ever wait.
const operationLimit = 8 * time.Second

// briefLimit bounds one where the end of it may be lost: its effects are waited
// for as long.
const briefLimit = 4 * time.Second

// start starts a cluster whose storages all serve.
func start(t *testing.T, options cluster.Options) *cluster.Cluster {
	t.Helper()
	options.Binaries = programs
	c := cluster.Run(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), settleLimit)
	defer cancel()
	if !options.WithoutPostgres {
		must.Succeed(t, c.WaitConverged(ctx))
	}
	return c
}

// clientOf is a client of the first instance.
func clientOf(c *cluster.Cluster, virtualStorage string) workload.Client {
	return workload.Client{Conn: c.Instances[0].Conn(), VirtualStorage: virtualStorage}
}

// restart starts the first instance, which must not run, and returns when
// clients reach it and it reaches the storages.
func restart(t *testing.T, c *cluster.Cluster, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	i := c.Instances[0]
	must.Succeed(t, i.Start(env...))
	must.Succeed(t, i.WaitReady(ctx))
	must.Succeed(t, clientOf(c, vs).Connected(ctx))
	eventually(t, time.Minute, func(ctx context.Context) error { return allServe(ctx, c) })
}

// made makes repositories, with a first commit on main each.
func made(t *testing.T, to workload.Client, h *workload.History, paths ...string) {
	t.Helper()
	for _, path := range paths {
		ctx, cancel := context.WithTimeout(t.Context(), operationLimit)
		err := h.Make(ctx, to, path)
		cancel()
		must.Succeed(t, err)
	}
}

// checkout is a clone of one repository, with the place to push to.
type checkout struct {
	*workload.Checkout
	url string
}

// clone clones a repository through the first instance.
func clone(t *testing.T, c *cluster.Cluster, virtualStorage, path string) *checkout {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	url := c.Instances[0].URL(virtualStorage, path)
	w, err := workload.Clone(ctx, c, url, filepath.Join(t.TempDir(), "clone"))
	must.Succeed(t, err)
	return &checkout{Checkout: w, url: url}
}

// push makes a commit and pushes it to a branch.
func (w *checkout) push(ctx context.Context, branch, subject string) error {
	_, err := w.Push(ctx, w.url, branch, subject)
	return err
}

// logged counts the lines of a log that hold a text, from an offset on.
func logged(t *testing.T, p *cluster.Process, from int64, text string) int {
	t.Helper()
	content, err := os.ReadFile(p.Log())
	must.Succeed(t, err)
	n := 0
	for line := range strings.Lines(string(content[from:])) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// logEnd is where a log ends now.
func logEnd(t *testing.T, p *cluster.Process) int64 {
	t.Helper()
	info, err := os.Stat(p.Log())
	must.Succeed(t, err)
	return info.Size()
}

// eventually waits until attempt returns nil, within a limit.
func eventually(t *testing.T, limit time.Duration, attempt func(context.Context) error) {
	t.Helper()
	scenario.Within(t, limit, "all is as wanted", attempt)
}
