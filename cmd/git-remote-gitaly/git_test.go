package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
)

// heapFile, when set, gets the most memory that the heap of the program took.
const heapFile = "GIT_REMOTE_GITALY_HEAP_FILE"

// TestMain lets git run the test binary as the program, under its name.
func TestMain(m *testing.M) {
	if slices.Contains(names(), filepath.Base(os.Args[0])) {
		if file := os.Getenv(heapFile); file != "" {
			defer writeHeap(file)
		}
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// names are what git looks for: for gitaly:// and for gitalys://.
func names() []string { return []string{"git-remote-gitaly", "git-remote-gitalys"} }

func writeHeap(file string) {
	if err := os.WriteFile(file, []byte(strconv.FormatInt(heap(), 10)), 0o600); err != nil {
		panic(err)
	}
}

// heap returns how large the heap of this process ever was, in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapSys)
}

// client is somebody with git and the program, and a server to use them on.
type client struct {
	url  string   // of the storage
	dir  string   // of the storage
	env  []string // for git
	home string   // for work trees
}

const token = "secret"

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T) *client {
	t.Helper()
	c := &client{dir: t.TempDir(), home: t.TempDir()}
	server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"default": c.dir}, Token: token, Grace: -1})
	must(t, err)
	address := gitalytest.Serve(t, server.Run)
	c.url = "gitaly" + strings.TrimPrefix(address, "tcp") + "/default/"
	self, err := os.Executable()
	must(t, err)
	bin := t.TempDir()
	for _, name := range names() {
		must(t, os.Symlink(self, filepath.Join(bin, name)))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
		"GITALY_TOKEN=" + token,
	}
	return c
}

// try runs a program in a directory, with more environment if wanted.
func (c *client) try(dir string, env []string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = slices.Concat(c.env, env)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// git runs git and fails the test if it fails.
func (c *client) git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := c.try(dir, nil, append([]string{"git"}, args...)...)
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *client) create(t *testing.T, path string) string {
	t.Helper()
	if out, err := c.try(c.home, nil, "git-remote-gitaly", "create", c.url+path); err != nil {
		t.Fatalf("create: %v: %s", err, out)
	}
	return c.url + path
}

// commit writes a file of random bytes and commits it.
func (c *client) commit(t *testing.T, dir, name string, megabytes int) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, name))
	must(t, err)
	source := mathrand.NewChaCha8([32]byte{1})
	chunk := make([]byte, 1<<20)
	for range megabytes {
		source.Read(chunk) // never fails
		if _, err := file.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	must(t, file.Close())
	c.git(t, dir, "add", name)
	c.git(t, dir, "commit", "--quiet", "-m", "add "+name)
}

// same fails the test unless both work trees have the same commit and files.
func (c *client) same(t *testing.T, a, b string) {
	t.Helper()
	if got, want := c.git(t, b, "rev-parse", "HEAD", "HEAD^{tree}"), c.git(t, a, "rev-parse", "HEAD", "HEAD^{tree}"); got != want {
		t.Errorf("got commit and tree %q, want %q", got, want)
	}
	c.git(t, b, "diff", "--quiet", "HEAD")
	c.git(t, b, "fsck", "--full", "--strict")
}

func TestProgram_servesGit(t *testing.T) {
	c := newClient(t)
	url := c.create(t, "group/project.git")
	one, two := filepath.Join(c.home, "one"), filepath.Join(c.home, "two")
	c.git(t, c.home, "init", "--quiet", "-b", "main", "one")
	c.git(t, one, "remote", "add", "origin", url)
	c.commit(t, one, "a", 1)
	c.git(t, one, "tag", "-a", "-m", "a tag", "v1")
	c.git(t, one, "push", "--quiet", "origin", "main", "main:topic", "v1")

	c.git(t, c.home, "clone", "--quiet", url, "two")
	c.same(t, one, two)

	c.commit(t, one, "b", 1)
	c.git(t, one, "push", "--quiet", "origin", "main")
	c.git(t, two, "pull", "--quiet")
	c.same(t, one, two)

	c.git(t, one, "push", "--quiet", "origin", ":topic")
	c.git(t, two, "fetch", "--quiet", "--prune")
	if got := c.git(t, two, "branch", "-r", "--format=%(refname)"); strings.Contains(got, "topic") {
		t.Errorf("got branches %q, want topic deleted", got)
	}
	server := filepath.Join(c.dir, "group", "project.git")
	if got, want := c.git(t, server, "show-ref", "--heads"), c.git(t, one, "rev-parse", "main")+" refs/heads/main"; got != want {
		t.Errorf("on the server: got %q, want %q", got, want)
	}
	if out, err := c.try(two, nil, "git", "-c", "protocol.version=0", "ls-remote", "--exit-code", url, "v1"); err != nil {
		t.Errorf("ls-remote: %v: %s", err, out)
	}
	if out, err := c.try(two, []string{"GIT_PROTOCOL=version=0"}, "git", "clone", "--quiet", "--depth=1", url, "old"); err != nil {
		t.Errorf("shallow clone by the old protocol: %v: %s", err, out)
	}
	// A push from behind is refused by the server's git, and by ours with it.
	c.git(t, two, "reset", "--quiet", "--hard", "HEAD^")
	c.commit(t, two, "c", 1)
	if out, err := c.try(two, nil, "git", "push", "origin", "main"); err == nil || !strings.Contains(out, "rejected") {
		t.Errorf("push from behind: got %v: %s, want it rejected", err, out)
	}
}

func TestProgram_saysWhatIsWrong(t *testing.T) {
	c := newClient(t)
	url := c.create(t, "a.git")
	c.git(t, c.home, "init", "--quiet", "-b", "main", "work")
	work := filepath.Join(c.home, "work")
	c.commit(t, work, "a", 0)
	tokenFile := filepath.Join(c.home, "token")
	must(t, os.WriteFile(tokenFile, []byte(token+"\n"), 0o600))
	for _, row := range []struct {
		name string
		env  []string
		args []string
		want string // "" if it succeeds
	}{
		{"token from a file", []string{"GITALY_TOKEN=", "GITALY_TOKEN_FILE=" + tokenFile}, []string{"git", "ls-remote", url}, ""},
		{"no token", []string{"GITALY_TOKEN="}, []string{"git", "ls-remote", url}, "set GITALY_TOKEN"},
		{"wrong token", []string{"GITALY_TOKEN=guess"}, []string{"git", "clone", url, "x"}, "refuses the token"},
		{"wrong token for a push", []string{"GITALY_TOKEN=guess"}, []string{"git", "push", url, "main"}, "refuses the token"},
		{"no such repository", nil, []string{"git", "clone", url + "x", "x"}, `repository "a.gitx" not found in "default"`},
		{"no such storage", nil, []string{"git", "ls-remote", strings.Replace(url, "default", "other", 1)}, "storage name not found"},
		{"a path that escapes", nil, []string{"git", "ls-remote", c.url + "x/../../a.git"}, "escapes"},
		{"no server", nil, []string{"git", "ls-remote", "gitaly://127.0.0.1:1/default/a.git"}, "cannot reach 127.0.0.1:1"},
		{"no time", []string{"GITALY_DEADLINE=1ns"}, []string{"git", "ls-remote", url}, "GITALY_DEADLINE"},
		{"created twice", nil, []string{"git-remote-gitaly", "create", url}, "exists already"},
		{"wrong token for creating", []string{"GITALY_TOKEN=guess"}, []string{"git-remote-gitaly", "create", c.url + "b.git"}, "refuses the token"},
	} {
		out, err := c.try(work, row.env, row.args...)
		if (err == nil) != (row.want == "") || !strings.Contains(out, row.want) {
			t.Errorf("%s: got %v: %q, want %q", row.name, err, out, row.want)
		}
	}
}

// What passes does not stay: not in the program, and not in the storage.
func TestProgram_streamsInFlatMemory(t *testing.T) {
	const megabytes, bound = 64, 40 << 20
	c := newClient(t)
	url := c.create(t, "large.git")
	c.git(t, c.home, "init", "--quiet", "-b", "main", "one")
	one := filepath.Join(c.home, "one")
	c.git(t, one, "config", "core.compression", "0")
	c.git(t, one, "config", "core.bigFileThreshold", "1m")
	for i := range 4 {
		c.commit(t, one, fmt.Sprintf("file-%d", i), megabytes/4)
	}
	before := heap()
	for _, step := range [][]string{
		{"git", "-C", one, "push", "--quiet", url, "main"},
		{"git", "clone", "--quiet", "--bare", url, "two"},
	} {
		file := filepath.Join(c.home, "heap")
		if out, err := c.try(c.home, []string{heapFile + "=" + file}, step...); err != nil {
			t.Fatalf("%v: %v: %s", step, err, out)
		}
		raw, err := os.ReadFile(file)
		must(t, err)
		used, err := strconv.ParseInt(string(raw), 10, 64)
		must(t, err)
		if used > bound {
			t.Errorf("%v: the program's heap took %d MiB, want at most %d", step, used>>20, bound>>20)
		}
	}
	if grown := heap() - before; grown > bound {
		t.Errorf("the storage's heap grew by %d MiB, want at most %d", grown>>20, bound>>20)
	}
	if got, want := c.git(t, filepath.Join(c.home, "two"), "rev-parse", "main"), c.git(t, one, "rev-parse", "main"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgram_servesGitOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	c := newClient(t)
	server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"default": t.TempDir()}, Token: token, Grace: -1})
	must(t, err)
	address := gitalytest.Serve(t, func(ctx context.Context, lis net.Listener) error {
		return server.Run(ctx, tls.NewListener(lis, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"h2"},
		}))
	})
	c.url = "gitalys" + strings.TrimPrefix(address, "tcp") + "/default/"
	if out, err := c.try(c.home, nil, "git-remote-gitaly", "create", c.url+"a.git"); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("unknown certificate: got %v: %s, want it refused", err, out)
	}
	c.env = append(c.env, "SSL_CERT_FILE="+roots)
	url := c.create(t, "a.git")
	if out, err := c.try(c.home, nil, "git", "ls-remote", url); err != nil {
		t.Errorf("ls-remote: %v: %s", err, out)
	}
	if out, err := c.try(c.home, nil, "git", "ls-remote", "gitaly::"+url); err != nil {
		t.Errorf("ls-remote through the other name: %v: %s", err, out)
	}
}
