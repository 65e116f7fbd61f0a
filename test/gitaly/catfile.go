package gitaly

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/proxy/method"
)

// catFileIdle is how long a kept process waits for the next name before it is ended.
const catFileIdle = 10 * time.Second

// catFiles keeps processes of git cat-file between calls, as a real Gitaly does: most reads of a
// commit then start no process. Such a process still sees packs and alternates that are gone, so
// that a change ends them all: one of a pool concerns the repositories that borrow from the pool.
type catFiles struct {
	most int           // kept at a time; 0: none
	rest time.Duration // how long one is kept without work

	mu      sync.Mutex
	idle    []*catFile // the one used last is the last; guarded by mu
	changes uint64     // counts them; guarded by mu
}

// catFile is a git cat-file --batch. One call at a time uses it.
type catFile struct {
	cmd     *exec.Cmd
	names   io.Writer
	objects *bufio.Reader
	path    string   // of the repository
	dir     *os.File // the repository's directory: no other one gets its inode meanwhile
	changes uint64   // how many there had been when it started
	expire  *time.Timer
}

// watch returns interceptors that end all processes before a change is answered.
func (c *catFiles) watch(methods *method.Table) []grpc.ServerOption {
	after := func(name string) {
		if m, _ := methods.Lookup(name); m.Kind == method.Mutator || m.Kind == method.Maintenance {
			c.changed()
		}
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			defer after(info.FullMethod)
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			defer after(info.FullMethod)
			return handler(srv, stream)
		}),
	}
}

// changed ends the idle processes; the busy ones end after their call.
func (c *catFiles) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for len(c.idle) > 0 {
		c.remove(0).end()
	}
}

// commit reads the commit of that name, nil if there is none. If no answer came, ok is false: a
// process of the call's own then says why, in git's words.
func (c *catFiles) commit(ctx context.Context, repo *repository, name string) (commit *gitalypb.GitCommit, ok bool) {
	if c.most == 0 {
		return nil, false
	}
	p, err := c.take(repo)
	if err != nil {
		return nil, false
	}
	kill := context.AfterFunc(ctx, p.kill)
	commit, err = p.commit(name)
	if !kill() || err != nil {
		p.end()
		return nil, false
	}
	c.put(p)
	return commit, true
}

// take returns an idle process of the repository that is now at its place, or starts one.
func (c *catFiles) take(repo *repository) (*catFile, error) {
	now, err := os.Stat(repo.path)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range slices.Backward(c.idle) {
		if p.path != repo.path {
			continue
		}
		c.remove(i)
		if was, err := p.dir.Stat(); err == nil && os.SameFile(was, now) {
			return p, nil
		}
		p.end() // another repository has taken the place
	}
	return c.start(repo)
}

// start is called with c.mu held.
func (c *catFiles) start(repo *repository) (*catFile, error) {
	// Opened before git starts: a repository that takes the place in between is another directory.
	dir, err := os.Open(repo.path)
	if err != nil {
		return nil, err
	}
	p := &catFile{path: repo.path, dir: dir, changes: c.changes}
	p.cmd = repo.git.process(context.Background(), command{repo: repo, args: []string{"cat-file", "--batch"}})
	names, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	objects, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, names.Close(), dir.Close())
	}
	p.names, p.objects = names, bufio.NewReader(objects)
	if err := p.cmd.Start(); err != nil { // which closes both pipes then
		return nil, errors.Join(err, dir.Close())
	}
	return p, nil
}

// put keeps a process that is as good as a new one. The one that was idle longest makes room.
func (c *catFiles) put(p *catFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.changes != c.changes {
		p.end()
		return
	}
	if len(c.idle) == c.most {
		c.remove(0).end()
	}
	c.idle = append(c.idle, p)
	p.expire = time.AfterFunc(c.rest, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.idle, p); i >= 0 {
			c.remove(i).end()
		}
	})
}

// remove is called with c.mu held.
func (c *catFiles) remove(i int) *catFile {
	p := c.idle[i]
	p.expire.Stop()
	c.idle = slices.Delete(c.idle, i, i+1)
	return p
}

func (p *catFile) commit(name string) (*gitalypb.GitCommit, error) {
	if _, err := io.WriteString(p.names, name+"\n"); err != nil {
		return nil, err
	}
	head, err := p.objects.ReadString('\n')
	if err != nil {
		return nil, err
	}
	o, err := parseObject(head)
	if err != nil || o.kind == "" { // no such object: there is no content either
		return nil, err
	}
	content := make([]byte, o.size+1) // a line's end follows
	if _, err := io.ReadFull(p.objects, content); err != nil {
		return nil, err
	}
	return parseCommit(o.oid, content[:o.size])
}

// kill makes a reader of the answer stop waiting. The process changes nothing, so that it can go at any time.
func (p *catFile) kill() { _ = p.cmd.Process.Kill() } // it may have ended

// end waits until the process is gone.
func (p *catFile) end() {
	p.kill()
	_ = p.cmd.Wait() // it was killed, and says no more than that
	_ = p.dir.Close()
}
