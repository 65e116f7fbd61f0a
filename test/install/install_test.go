package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/netns"
	"praefect/test/place"
	"praefect/test/postgres"
	"praefect/test/runbook"
)

// built are the programs of the tree, and of the packages.
var built cluster.Binaries

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &built)) }

// TestInstall carries out docs/operations/install.md on machines with nothing but a base of Debian.
func TestInstall(t *testing.T) {
	testbed := netns.Run(t)
	packages := t.TempDir()
	former := packageOf(t, packages, "v1.2.0")
	newer := packageOf(t, packages, "v1.2.1-3-gabcdef0")
	base := debian(t)

	var pairs []string
	at := make(map[string]place.Place)
	for label, address := range map[string]string{
		"gitaly-1": "10.0.0.11", "gitaly-2": "10.0.0.12", "gitaly-3": "10.0.0.13",
		"postgres": "10.0.0.21", "balancer": "10.0.0.31",
	} {
		where, err := testbed.Place(t.Context(), label)
		must.Succeed(t, err)
		at[label] = where
		pairs = append(pairs, address, where.IP)
	}
	var machines []*machine
	for n := range 3 {
		where, err := testbed.Place(t.Context(), fmt.Sprintf("praefect-%d", n+1))
		must.Succeed(t, err)
		pairs = append(pairs, fmt.Sprintf("10.0.0.%d", n+1), where.IP)
		m := newMachine(t, base, where)
		must.Succeed(t, copyFile(former, filepath.Join(m.root, "root/praefect.deb")))
		must.Succeed(t, copyFile(newer, filepath.Join(m.root, "root/praefect-new.deb")))
		machines = append(machines, m)
	}
	var hosts []*runbook.Host
	for n, m := range machines {
		hosts = append(hosts, runbook.OnMachine(fmt.Sprintf("praefect-%d", n+1), m.run, pairs...))
		t.Cleanup(func() { must.Succeed(t, m.stop(context.Background())) })
	}
	page := runbook.Open(t, "install.md")
	onEach := func(block string) {
		t.Helper()
		for _, h := range hosts {
			page.CarryOut(h, block)
		}
	}

	onEach("package")
	for _, m := range machines {
		installed(t, m)
	}
	own := newOwn(t, machines)
	mine := runbook.OnMachine("own", own.run, pairs...)
	page.CarryOut(mine, "settings")
	page.CarryOut(mine, "postgres-without-tls")
	server, err := postgres.Launch(t.Context(), postgres.Options{Place: at["postgres"]})
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, server.Close()) })
	_, err = server.SQL(t.Context(), "postgres", "drop role praefect") // test/postgres makes it, here the page does
	must.Succeed(t, err)
	own.env = append(own.env, server.Environment()...)
	page.CarryOut(mine, "postgres")
	for _, label := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
		start(t, at[label], built.Path(cluster.TestGitaly), "-listen", "tcp://"+at[label].IP+":8075",
			"-storage", label+"="+t.TempDir(), "-token-file", filepath.Join(own.dir, "cluster/praefect-1/secrets/gitaly-token"))
	}
	page.CarryOut(mine, "copy")
	onEach("start")
	for _, m := range machines {
		m.awaitReady()
		if !m.enabled {
			t.Error("the page does not enable the unit")
		}
	}
	for _, h := range hosts {
		if out := page.CarryOut(h, "look"); !strings.Contains(out, "can lose 1") {
			t.Errorf("the page ends with a cluster that can lose none: %s", out)
		}
	}

	etc := t.TempDir()
	must.Succeed(t, copyFile(filepath.Join("..", "..", "deploy", "haproxy.cfg"), filepath.Join(etc, "haproxy.cfg")))
	front := &balancer{T: t, place: at["balancer"], config: filepath.Join(etc, "haproxy.cfg")}
	page.CarryOut(runbook.OnMachine("balancer", front.run, append(pairs[:len(pairs):len(pairs)], "/etc/haproxy", etc)...), "balancer")
	await(t, at["balancer"].IP+":2305")
	out := page.CarryOut(mine, "push")
	if !strings.Contains(out, "refs/heads/main") {
		t.Errorf("the push left no branch: %s", out)
	}

	upgrade(t, page, hosts, machines)
	for _, m := range machines {
		m.awaitReady()
	}
	must.Succeed(t, machines[0].stop(t.Context()))
	removed(t, machines[0])
}

// upgrade installs the newer package while the instances run: none is restarted, and no setting
// is lost.
func upgrade(t *testing.T, page *runbook.Page, hosts []*runbook.Host, machines []*machine) {
	t.Helper()
	for n, m := range machines {
		settings := filepath.Join(m.root, "etc/praefect/config.toml")
		before, err := os.ReadFile(settings)
		must.Succeed(t, err)
		page.CarryOut(hosts[n], "upgrade-package")
		after, err := os.ReadFile(settings)
		must.Succeed(t, err)
		if !bytes.Equal(before, after) {
			t.Error("the upgrade changed the settings")
		}
		select {
		case <-m.service.ended:
			t.Fatalf("the upgrade ended the instance: %s", m.journal())
		default:
		}
	}
	for n, m := range machines {
		page.CarryOut(hosts[n], "upgrade-restart")
		m.awaitReady()
	}
}

// installed judges what the package left on a machine.
func installed(t *testing.T, m *machine) {
	t.Helper()
	uid, err := m.id("passwd", "praefect")
	must.Succeed(t, err)
	gid, err := m.id("group", "praefect")
	must.Succeed(t, err)
	for path, want := range map[string]struct {
		mode     fs.FileMode
		uid, gid uint32
	}{
		"etc/praefect": {0o750 | fs.ModeDir, 0, gid}, "etc/praefect/config.toml": {0o640, 0, gid},
		"var/lib/praefect": {0o700 | fs.ModeDir, uid, gid}, "var/log/praefect": {0o750 | fs.ModeDir, uid, gid},
		"usr/bin/praefect": {0o755, 0, 0}, "usr/bin/praefectctl": {0o755, 0, 0}, "usr/bin/git-remote-gitaly": {0o755, 0, 0},
		"usr/lib/systemd/system/praefect.service": {0o644, 0, 0}, "etc/logrotate.d/praefect": {0o644, 0, 0},
		"usr/share/bash-completion/completions/praefectctl": {0o644, 0, 0},
		"usr/share/doc/praefect/prometheus-rules.yml":       {0o644, 0, 0}, "usr/share/doc/praefect/grafana/raft.json": {0o644, 0, 0},
	} {
		info, err := os.Lstat(filepath.Join(m.root, path))
		must.Succeed(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want.mode || stat.Uid != want.uid || stat.Gid != want.gid {
			t.Errorf("%s has mode %v and owner %d:%d, want %v and %d:%d", path, info.Mode(), stat.Uid, stat.Gid, want.mode, want.uid, want.gid)
		}
	}
	if enabled, err := filepath.Glob(filepath.Join(m.root, "etc/systemd/system/*/praefect.service")); err != nil || len(enabled) > 0 {
		t.Errorf("the package enabled its unit: %v, %v", enabled, err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+m.root, "praefect.service").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	// With the file of the package an instance ends, with the status that systemd does not restart.
	out, err := m.run(t.Context(), "code=0; praefect -config /etc/praefect/config.toml || code=$?; echo code $code; praefect version; dpkg-query --showformat='${Conffiles}' --show praefect")
	if err != nil || !strings.Contains(out, "code 2\n") || !strings.Contains(out, "/etc/praefect/config.toml") || !strings.Contains(out, "/etc/logrotate.d/praefect") {
		t.Errorf("got %q, %v", out, err)
	}
}

// removed removes the package, which leaves the state and the secrets.
func removed(t *testing.T, m *machine) {
	t.Helper()
	if out, err := m.run(t.Context(), "apt-get remove --yes praefect"); err != nil || !strings.Contains(out, "has the replicated state of this instance") {
		t.Errorf("apt-get remove: %s, %v", out, err)
	}
	for path, want := range map[string]bool{
		"var/lib/praefect/raft.db": true, "etc/praefect/config.toml": true, "etc/praefect/secrets/admin-token": true, "usr/bin/praefect": false,
	} {
		if _, err := os.Stat(filepath.Join(m.root, path)); (err == nil) != want {
			t.Errorf("after the removal %s: %v", path, err)
		}
	}
}

// packageOf builds the packages of a version and returns the deb; the rpm is judged.
func packageOf(t *testing.T, dir, version string) string {
	t.Helper()
	dir = filepath.Join(dir, version)
	build := exec.CommandContext(t.Context(), "deploy/packages/build.sh", string(built), dir)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "VERSION="+version)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the packages: %v: %s", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	must.Succeed(t, err)
	rpms, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	must.Succeed(t, err)
	if len(debs) != 1 || len(rpms) != 1 {
		t.Fatalf("there are %q and %q", debs, rpms)
	}
	judgeRPM(t, rpms[0], debs[0])
	return debs[0]
}

// debian makes the root that all machines share.
func debian(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "debian")
	out, err := exec.CommandContext(t.Context(), "mmdebstrap", "--variant=essential", "--include=apt,passwd,procps",
		// Nothing of it need survive a crash of this machine; later installations there read the option, too.
		"--dpkgopt=force-unsafe-io", "bookworm", root).CombinedOutput()
	if err != nil {
		t.Fatalf("make a root of Debian: %v: %s", err, out)
	}
	return root
}

// start starts a program that runs until the test ends.
func start(t *testing.T, where place.Place, program string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, err := where.Start(cmd)
	must.Succeed(t, err)
	t.Cleanup(func() {
		select {
		case <-ended:
			t.Errorf("%s ended: %s: %s", program, cmd.ProcessState, &out)
		default:
			must.Succeed(t, cmd.Process.Kill())
			<-ended
		}
	})
}

// await waits until an address accepts connections.
func await(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			must.Succeed(t, conn.Close())
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not listen: %v", addr, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitReady waits until the instance takes requests.
func (m *machine) awaitReady() {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), patience)
	defer cancel()
	awaitOK(m.T, ctx, "http://"+m.place.IP+":9652/readyz", m.service.ended)
}

// awaitOK waits until an instance answers a check well; it must not end.
func awaitOK(t *testing.T, ctx context.Context, url string, ended <-chan struct{}) {
	t.Helper()
	for {
		code, text, err := get(ctx, url)
		if err == nil && code == http.StatusOK {
			return
		}
		select {
		case <-ended:
			t.Fatal("the instance ended")
		case <-ctx.Done():
			t.Fatalf("%s: %d, %s, %v", url, code, text, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (code int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), errors.Join(err, answer.Body.Close())
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // it was only read
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close() // the error above counts
		return err
	}
	return target.Close()
}
