package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
)

// pushers is how many push at a time.
const pushers = 64

// push measures pushes of many at once on real git, each of a commit to a branch of
// its own: all to one repository, through one instance and through three, and each
// to another. They come by PostReceivePack, as from Workhorse, without a git process
// on the client's side.
func push(ctx context.Context, binaries cluster.Binaries, s settings) (figures, error) {
	git, err := prepareGit(ctx, binaries, pushers)
	if err != nil {
		return nil, err
	}
	defer git.end()
	var all figures
	for _, at := range []struct {
		instances int
		targets   []target
	}{
		{1, []target{{"push_one_repository", 1}, {"push_64_repositories", pushers}}},
		{3, []target{{"push_three_instances", 1}}},
	} {
		c, err := git.cluster(ctx, strong, at.instances)
		if err != nil {
			return nil, err
		}
		measured, err := pushTo(ctx, c, s, git.seeds.Paths(), filepath.Join(git.dir, fmt.Sprint("small-", at.instances)), at.targets)
		stopCluster(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, measured...)
	}
	return all, nil
}

// target is the number of repositories that are pushed to, and the name of that measurement.
type target struct {
	name         string
	repositories int
}

// pushTo measures pushes to a cluster, and past it. work is a directory to make.
func pushTo(ctx context.Context, c *cluster.Cluster, s settings, paths []string, work string, targets []target) (figures, error) {
	commit, err := smallCommit(ctx, c, work)
	if err != nil {
		return nil, err
	}
	single := c.StoragesOf(alone)[0]
	ways := map[string][]way{direct: {{conn: single.Conn(), storage: single.Name}}}
	for _, i := range c.Instances {
		ways[proxied] = append(ways[proxied], way{i.Conn(), "default", i.PID(), c})
	}
	var all figures
	for _, target := range targets {
		rate, failed, cpu := map[string][]float64{}, map[string][]float64{}, []float64(nil)
		for n := range s.few() {
			for _, path := range []string{direct, proxied} {
				r := rush{to: ways[path], commit: commit, paths: paths[:target.repositories], name: fmt.Sprint(target.name, "-", n)}
				o, err := r.run(ctx)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", target.name, path, err)
				}
				for _, fault := range o.faults {
					fmt.Fprintf(os.Stderr, "  %s, %s, run %d: %v\n", target.name, path, n+1, fault)
				}
				rate[path], failed[path] = append(rate[path], o.rate), append(failed[path], float64(len(o.faults)))
				if path == proxied {
					cpu = append(cpu, o.cpu)
				}
			}
		}
		for _, path := range []string{direct, proxied} {
			all = append(all, of(target.name+"_rate", path, pushers, "pushes/s", rate[path]), of(target.name+"_failed", path, pushers, "pushes", failed[path]))
		}
		all = append(all, of(target.name+"_cpu_per_push", proxied, pushers, "ms", cpu))
	}
	return all, nil
}

// commit is one that no repository has, with the pack that brings it.
type commit struct {
	id   string
	pack []byte
}

// smallCommit makes it in a directory that there is not yet.
func smallCommit(ctx context.Context, c *cluster.Cluster, work string) (commit, error) {
	if err := os.Mkdir(work, 0o755); err != nil {
		return commit{}, err
	}
	if err := os.WriteFile(filepath.Join(work, "file"), []byte(strings.Repeat("a line of a file\n", 500)), 0o644); err != nil {
		return commit{}, err
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"}, {"add", "file"}, {"commit", "--quiet", "-m", "small"}, {"repack", "-adq"},
	} {
		if _, err := c.Git(ctx, work, args...); err != nil {
			return commit{}, err
		}
	}
	id, err := c.Git(ctx, work, "rev-parse", "HEAD")
	if err != nil {
		return commit{}, err
	}
	packs, err := filepath.Glob(filepath.Join(work, ".git/objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		return commit{}, fmt.Errorf("repack left %d packs: %w", len(packs), err)
	}
	pack, err := os.ReadFile(packs[0])
	return commit{id, pack}, err
}

// rush is all pushers at once.
type rush struct {
	to     []way // in turn
	commit commit
	paths  []string // of the repositories, in turn
	name   string   // that no other rush has
}

// outcome is how a rush went: pushes that succeeded a second, milliseconds of the
// proxy's processor time for each push, and why some failed.
type outcome struct {
	rate, cpu float64
	faults    []error
}

func (r rush) run(ctx context.Context) (o outcome, err error) {
	before, err := r.spent(ctx)
	if err != nil {
		return o, err
	}
	var all sync.WaitGroup
	faults := make([]error, pushers)
	start := time.Now()
	for i := range pushers {
		all.Go(func() {
			faults[i] = r.push(ctx, r.to[i%len(r.to)], r.paths[i%len(r.paths)], fmt.Sprintf("refs/heads/%s-%d", r.name, i))
		})
	}
	all.Wait()
	took := time.Since(start)
	for _, fault := range faults {
		if fault != nil {
			o.faults = append(o.faults, fault)
		}
	}
	o.rate = float64(pushers-len(o.faults)) / took.Seconds()
	if r.to[0].repairs == nil || ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	if err := settle(ctx, r.to[0].repairs); err != nil {
		return o, err
	}
	after, err := r.spent(ctx)
	o.cpu = 1000 * (after - before) / pushers
	return o, err
}

// spent is the processor time that the instances have used.
func (r rush) spent(ctx context.Context) (sum float64, err error) {
	for _, to := range r.to {
		used, _, err := to.spent(ctx)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// push makes a reference for the commit.
func (r rush) push(ctx context.Context, to way, path, ref string) error {
	const limit = time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stream, err := gitalypb.NewSmartHTTPServiceClient(to.conn).PostReceivePack(ctx)
	if err != nil {
		return err
	}
	for _, message := range []*gitalypb.PostReceivePackRequest{
		{
			Repository: &gitalypb.Repository{StorageName: to.storage, RelativePath: path, GlRepository: "project-1"},
			GlId:       "user-1", GlUsername: "author", GlRepository: "project-1",
		},
		{Data: creation(ref, r.commit)},
	} {
		if stream.Send(message) != nil {
			break // the answer says why
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var report strings.Builder
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return accepted(report.String(), ref)
		}
		if err != nil {
			return fmt.Errorf("push %s of %q: %w", ref, path, err)
		}
		report.Write(part.GetData())
	}
}

// creation is git's message to make a reference: see gitprotocol-pack(5).
func creation(ref string, c commit) []byte {
	line := fmt.Sprintf("%s %s %s\x00report-status\n", strings.Repeat("0", len(c.id)), c.id, ref)
	return append(fmt.Appendf(nil, "%04x%s0000", len(line)+4, line), c.pack...)
}

// accepted reads git's report of a push.
func accepted(report, ref string) error {
	if !strings.Contains(report, "unpack ok\n") || !strings.Contains(report, "ok "+ref+"\n") {
		return fmt.Errorf("push %s: refused: %q", ref, report)
	}
	return nil
}
