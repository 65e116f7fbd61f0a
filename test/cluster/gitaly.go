package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

const (
	// EmbeddedGitaly is where GitLab's packages have Gitaly, and beside it git.
	EmbeddedGitaly = "/opt/gitlab/embedded/bin/gitaly"
	// NoGitaly in the place of a program says that none is wanted.
	NoGitaly = "none"
	// leastGit is the oldest git of which every change of a reference is voted on.
	leastGitMajor, leastGitMinor = 2, 42
	// gitalyOnTerm is the exit status of a Gitaly that was sent SIGTERM.
	gitalyOnTerm = 1
	// versionLimit bounds the question for the version of a program.
	versionLimit = 20 * time.Second
)

// Gitaly is a real one, whose nodes run in the place of test-gitaly.
type Gitaly struct {
	// Bin is its program, and Version its own answer.
	Bin, Version string
	// Git is the git that the nodes run; empty: the one that the program brings.
	Git string
}

// FindGitaly finds the programs bin and git, as the variables GITALY_BIN and
// GITALY_GIT name them. Without bin it looks where GitLab's packages have it, and
// returns nil if there is none; so it does for NoGitaly.
func FindGitaly(ctx context.Context, bin, git string) (*Gitaly, error) {
	return findGitaly(ctx, bin, git, EmbeddedGitaly)
}

func findGitaly(ctx context.Context, bin, git, embedded string) (*Gitaly, error) {
	switch bin {
	case NoGitaly:
		return nil, nil
	case "":
		if _, err := os.Stat(embedded); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		bin = embedded
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, fmt.Errorf("find Gitaly: %w", err)
	}
	g := &Gitaly{Bin: bin, Git: git}
	if g.Version, err = versionOf(ctx, bin); err != nil {
		return nil, fmt.Errorf("find Gitaly (GITALY_BIN=%s takes test-gitaly in its place): %w", NoGitaly, err)
	}
	if beside := filepath.Join(filepath.Dir(bin), "git"); g.Git == "" {
		if _, err := exec.LookPath(beside); err == nil {
			g.Git = beside
		}
	}
	if g.Git == "" {
		return g, nil
	}
	text, err := versionOf(ctx, g.Git)
	if err != nil {
		return nil, fmt.Errorf("find the git of Gitaly (GITALY_GIT names it): %w", err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(text, "git version %d.%d", &major, &minor); err != nil {
		return nil, fmt.Errorf("find the git of Gitaly: %s says %q, which is no version", g.Git, text)
	}
	if major < leastGitMajor || major == leastGitMajor && minor < leastGitMinor {
		return nil, fmt.Errorf("find the git of Gitaly: %s is %s, want %d.%d or later: name another one in GITALY_GIT",
			g.Git, text, leastGitMajor, leastGitMinor)
	}
	return g, nil
}

// Major is the release that Version names, 18 of "Gitaly, version 18.9.0"; 0 if it names none.
func (g *Gitaly) Major() int {
	_, number, _ := strings.Cut(g.Version, "version ")
	major, _, _ := strings.Cut(number, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
}

// versionOf is the first line of the answer of a program about its version.
func versionOf(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s --version: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, nil
}

// writeGitalyConfig writes the configuration of a node, and returns its file. Keys
// that some release does not know are left out.
func (c *Cluster) writeGitalyConfig(s *Storage) (string, error) {
	home := filepath.Dir(s.Dir)
	run := filepath.Join(home, "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return "", fmt.Errorf("make the runtime directory of %s: %w", s.Label(), err)
	}
	secret := filepath.Join(home, "gitlab-secret")
	if _, err := newToken(secret); err != nil {
		return "", err
	}
	git := table{"use_bundled_binaries": true}
	if c.options.Gitaly.Git != "" {
		git = table{"bin_path": c.options.Gitaly.Git}
	}
	text, err := toml.Marshal(table{
		"listen_addr": s.Addr,
		"bin_dir":     filepath.Dir(c.options.Gitaly.Bin),
		"runtime_dir": run,
		"auth":        table{"token": s.Token},
		"git":         git,
		"storage":     append([]table{{"name": s.Name, "path": s.Dir}}, s.more...),
		// The hooks of a push ask GitLab, and at the end of each reference us.
		"gitlab":       table{"url": "http+unix://" + url.PathEscape(c.gitlabSocket()), "secret_file": secret},
		"gitlab-shell": table{"dir": home},
		"logging":      table{"format": "json", "level": "info"},
	})
	if err != nil {
		return "", fmt.Errorf("encode the configuration of %s: %w", s.Label(), err)
	}
	path := filepath.Join(home, "gitaly.toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write the configuration of %s: %w", s.Label(), err)
	}
	return path, nil
}

// gitlabSocket is where the hooks of Gitaly find a GitLab that allows everything.
func (c *Cluster) gitlabSocket() string { return filepath.Join(c.Dir, "gitlab.socket") }

// startGitlab starts that GitLab, if there is a Gitaly to ask it.
func (c *Cluster) startGitlab(context.Context) error {
	if c.options.Gitaly == nil {
		return nil
	}
	c.gitlab = c.newProcess("gitlab", c.Binaries.Path(TestGitaly), filepath.Join(c.Dir, "gitlab.log"))
	c.gitlab.args = []string{"gitlab", c.gitlabSocket()}
	return c.gitlab.Start()
}

// explain tells the command, and where its log is, when a node of a real Gitaly
// does not start.
func (g *Gitaly) explain(s *Storage, err error) error {
	if g == nil || err == nil {
		return err
	}
	return fmt.Errorf("%s (%s) was run as: %s; its log is %s: %w",
		g.Bin, g.Version, strings.Join(append([]string{g.Bin}, s.args...), " "), s.Log(), err)
}
