package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"praefect/proxy/admin"
	"praefect/test/cluster"
)

// The repository of the demo, as clients name it.
const (
	virtualStorage = "default"
	relativePath   = "demo/project.git"
)

// tourLimit bounds the whole tour, which takes seconds on a machine that has
// nothing else to do.
const tourLimit = 2 * time.Minute

// tour does the main job of the project once: a repository is created, pushed and
// cloned back through the proxy, and is then on every storage.
type tour struct {
	c      *cluster.Cluster
	steps  *steps
	stdout io.Writer
	work   string // where the local repositories go

	url string
}

func (t *tour) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tourLimit)
	defer cancel()
	for _, step := range []func(context.Context) error{
		t.voters, t.create, t.commit, t.push, t.replicate, t.clone, t.compareStorages, t.askOperator,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) local() string  { return filepath.Join(t.work, "project") }
func (t *tour) cloned() string { return filepath.Join(t.work, "clone") }

// voters waits until every storage takes part, and tells which of them vote.
func (t *tour) voters(ctx context.Context) error {
	if err := t.c.WaitConverged(ctx); err != nil {
		return err
	}
	answer, err := t.c.Instances[0].Admin().Status(ctx, admin.StatusRequest{VirtualStorage: virtualStorage})
	if err != nil {
		return fmt.Errorf("ask who votes: %w", err)
	}
	var votes, not []string
	for _, v := range answer.VirtualStorages {
		for _, s := range v.Storages {
			if s.Votes {
				votes = append(votes, s.Name)
			} else {
				not = append(not, s.Name)
			}
		}
	}
	if len(not) > 0 {
		return fmt.Errorf("writes are not voted on: %s cannot vote", strings.Join(not, ", "))
	}
	t.steps.done("strong consistency", strings.Join(votes, ", ")+" vote on writes")
	return nil
}

func (t *tour) create(ctx context.Context) (err error) {
	if t.url, err = t.c.CreateRepository(ctx, virtualStorage, relativePath); err != nil {
		return fmt.Errorf("create a repository: %w", err)
	}
	t.steps.done("git-remote-gitaly create", t.url)
	return nil
}

// commit makes a repository with two branches, a merge and two tags.
func (t *tour) commit(ctx context.Context) error {
	if err := os.Mkdir(t.local(), 0o755); err != nil {
		return fmt.Errorf("make a local repository: %w", err)
	}
	git := func(args ...string) error {
		_, err := t.c.Git(ctx, t.local(), args...)
		return err
	}
	change := func(file, content, message string) error {
		if err := os.WriteFile(filepath.Join(t.local(), file), []byte(content), 0o644); err != nil {
			return err
		}
		return errors.Join(git("add", file), git("commit", "--quiet", "--message="+message))
	}
	for _, do := range []func() error{
		func() error { return git("init", "--quiet") },
		func() error { return change("README.md", "# A project\n", "Begin with a title") },
		func() error { return git("tag", "v0.1") },
		func() error { return git("switch", "--quiet", "--create", "feature") },
		func() error { return change("feature.txt", strings.Repeat("a feature\n", 1000), "Add a feature") },
		func() error { return git("switch", "--quiet", "main") },
		func() error { return change("README.md", "# A project\n\nIt has text.\n", "Add text") },
		func() error { return git("merge", "--quiet", "--no-edit", "feature") },
		func() error { return git("tag", "--annotate", "--message=The first release", "v1.0") },
		func() error { return git("remote", "add", "origin", t.url) },
	} {
		if err := do(); err != nil {
			return fmt.Errorf("make a local repository: %w", err)
		}
	}
	t.steps.done("local repository", "4 commits, 2 branches, 2 tags")
	return nil
}

func (t *tour) push(ctx context.Context) error {
	before, err := t.votes(ctx)
	if err != nil {
		return err
	}
	for _, what := range []string{"--all", "--tags"} {
		if _, err := t.c.Git(ctx, t.local(), "push", "--quiet", "origin", what); err != nil {
			return fmt.Errorf("push through the proxy: %w", err)
		}
	}
	after, err := t.votes(ctx)
	if err != nil {
		return err
	}
	if after == before {
		return errors.New("push through the proxy: the storages did not vote on it")
	}
	t.steps.done("git push", fmt.Sprintf("through the proxy, agreed by %.0f votes of storages", after-before))
	return nil
}

// votes is how many votes of storages the instances have answered with yes.
func (t *tour) votes(ctx context.Context) (sum float64, err error) {
	const series = `gitaly_praefect_transactions_total{action="committed"}`
	for _, i := range t.c.Instances {
		metrics, err := i.Metrics(ctx)
		if err != nil {
			return 0, err
		}
		sum += metrics[series]
	}
	return sum, nil
}

// replicate looks at once whether every storage has the pushed commits: it is not
// acknowledged before the storages that agree have it. One that was too slow to agree is
// repaired.
func (t *tour) replicate(ctx context.Context) error {
	sums, err := t.c.Checksums(ctx, virtualStorage, relativePath)
	if err != nil {
		return err
	}
	different := make(map[string]bool)
	for _, sum := range sums {
		different[sum] = true
	}
	detail := "all had the push when it was acknowledged"
	if len(different) > 1 {
		detail = "one was too slow to vote, and was repaired"
	}
	if err := t.c.WaitConverged(ctx); err != nil {
		return err
	}
	t.steps.done("storages", detail)
	return nil
}

func (t *tour) clone(ctx context.Context) error {
	if _, err := t.c.Git(ctx, t.work, "clone", "--quiet", t.url, t.cloned()); err != nil {
		return fmt.Errorf("clone through the proxy: %w", err)
	}
	pushed, err := t.refs(ctx, t.local())
	if err != nil {
		return err
	}
	cloned, err := t.refs(ctx, t.cloned())
	if err != nil {
		return err
	}
	if !maps.Equal(pushed, cloned) {
		return fmt.Errorf("the clone differs from what was pushed: it has %v instead of %v", cloned, pushed)
	}
	t.steps.done("git clone", "every branch and tag as pushed")
	return nil
}

// refs are the branches and tags of a local repository, the ones that it knows of its
// origin among them.
func (t *tour) refs(ctx context.Context, dir string) (map[string]string, error) {
	out, err := t.c.Git(ctx, dir, "show-ref")
	if err != nil {
		return nil, fmt.Errorf("list the references of %s: %w", dir, err)
	}
	refs := make(map[string]string)
	for line := range strings.Lines(out) {
		object, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "refs/remotes/origin/HEAD" {
			refs[strings.Replace(name, "refs/remotes/origin/", "refs/heads/", 1)] = object
		}
	}
	return refs, nil
}

func (t *tour) compareStorages(ctx context.Context) error {
	if err := t.c.CheckReplicas(ctx); err != nil {
		return err
	}
	sums, err := t.c.Checksums(ctx, virtualStorage, relativePath)
	if err != nil {
		return err
	}
	t.steps.done("comparison of storages", "all have the same references")
	rows := newTable("storage", "address", "checksum of the repository")
	for _, s := range t.c.StoragesOf(virtualStorage) {
		rows.AppendRow(table.Row{s.Name, s.Addr, sums[s.Name]})
	}
	fmt.Fprintf(t.stdout, "\n%s\n", rows.Render())
	return nil
}

// askOperator shows the operator's tool, which must find nothing amiss.
func (t *tour) askOperator(ctx context.Context) error {
	for _, command := range [][]string{{"status"}, {"raft", "status"}, {"queue", "list"}} {
		out, err := t.c.Operate(ctx, command...)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.stdout, "\n$ praefectctl %s\n%s", strings.Join(command, " "), out)
	}
	return nil
}
