package gitaly_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// unanimous commits each round of votes in which all nodes voted alike, and
// aborts others.
func unanimous(nodes int) gitalytest.Decision {
	type round struct {
		votes []string
		full  chan struct{}
	}
	var mu sync.Mutex
	rounds := make(map[int]*round)
	return func(ctx context.Context, v gitalytest.Vote) (gitalytest.State, error) {
		mu.Lock()
		r := rounds[v.Round]
		if r == nil {
			r = &round{full: make(chan struct{})}
			rounds[v.Round] = r
		}
		if r.votes = append(r.votes, v.Hash); len(r.votes) == nodes {
			close(r.full)
		}
		mu.Unlock()
		select {
		case <-r.full:
		case <-ctx.Done():
			return gitalytest.Abort, ctx.Err()
		}
		for _, hash := range r.votes {
			if hash != v.Hash {
				return gitalytest.Abort, nil
			}
		}
		return gitalytest.Commit, nil
	}
}

// both writes main on both storages at once, in one transaction.
func (h *hooked) both(t *testing.T, ctx context.Context) map[string]error {
	var mu sync.Mutex
	ended := make(map[string]error)
	var calls sync.WaitGroup
	for _, storage := range []string{"one", "two"} {
		ctx := gitalytest.InTransaction(t, ctx, pushID, storage, storage == "one")
		calls.Go(func() {
			_, err := h.voting.repos.WriteRef(ctx, &gitalypb.WriteRefRequest{
				Repository: h.repository(storage), Ref: []byte("refs/heads/main"), Revision: []byte(h.objects.Commits[0]),
			})
			mu.Lock()
			defer mu.Unlock()
			ended[storage] = err
		})
	}
	calls.Wait()
	return ended
}

func TestServer_faultyVotes(t *testing.T) {
	for _, row := range []struct {
		fault    gitaly.Fault
		one, two codes.Code
		written  string // the storages that have the reference afterwards
	}{
		{gitaly.Fault{}, codes.OK, codes.OK, "one two"},
		{gitaly.Fault{Prefix: "b", Vote: "differ"}, codes.OK, codes.OK, "one two"},
		{gitaly.Fault{Prefix: "a", Vote: "differ"}, codes.Aborted, codes.Aborted, ""},
		{gitaly.Fault{Vote: "differ@committed"}, codes.OK, codes.OK, "one two"}, // git does not hear of it
		{gitaly.Fault{Vote: "differ@synchronized"}, codes.OK, codes.OK, "one two"},
		{gitaly.Fault{Vote: "late=300ms"}, codes.OK, codes.OK, "one two"},
		{gitaly.Fault{Vote: "refuse@prepared"}, codes.DeadlineExceeded, codes.Internal, ""},
		{gitaly.Fault{Vote: "never"}, codes.DeadlineExceeded, codes.DeadlineExceeded, ""},
	} {
		t.Run(row.fault.Prefix+row.fault.Vote, func(t *testing.T) {
			h := newHooked(t, nil)
			h.Decide = unanimous(2)
			must.Succeed(t, gitaly.WriteFaults(h.dir["two"], row.fault))
			ctx := t.Context()
			if row.one == codes.DeadlineExceeded { // nobody answers; how long is up to the client
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
			}
			begun := time.Now()
			ended := h.both(t, ctx)
			for storage, want := range map[string]codes.Code{"one": row.one, "two": row.two} {
				if got := status.Code(ended[storage]); got != want {
					t.Errorf("%s: got %v, want %v", storage, ended[storage], want)
				}
			}
			if took := time.Since(begun); strings.HasPrefix(row.fault.Vote, "late") && took < 600*time.Millisecond {
				t.Errorf("took %v, want two votes of 300ms at least", took)
			}
			var written []string
			for _, storage := range []string{"one", "two"} {
				if h.main(t, storage) != "" {
					written = append(written, storage)
				}
				checkNoLocks(t, h.path(h.repository(storage)))
			}
			if got := strings.Join(written, " "); got != row.written {
				t.Errorf("written on %q, want %q", got, row.written)
			}
		})
	}
}

func TestWriteFaults_refusesWhatNobodyKnows(t *testing.T) {
	for _, fault := range []gitaly.Fault{
		{Vote: "sometimes"}, {Vote: "late"}, {Vote: "late=x"}, {Vote: "differ@night"}, {StopAt: "before"}, {StopAt: "after-synchronized"},
		{Disk: "slow"},
	} {
		if err := gitaly.WriteFaults(t.TempDir(), fault); err == nil {
			t.Errorf("%+v: got no error", fault)
		}
		if _, err := gitaly.New(gitaly.Config{Storages: map[string]string{"one": t.TempDir()}, Faults: []gitaly.Fault{fault}}); err == nil {
			t.Errorf("%+v: got a server", fault)
		}
	}
}

// checkNoLocks waits until no lock is left: git removes them when it is told to
// end, of which a client with a deadline hears nothing.
func checkNoLocks(t *testing.T, dir string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		left := locksIn(t, dir)
		if len(left) == 0 {
			return
		}
		select {
		case <-deadline:
			t.Errorf("left over: %q", left)
			return
		case <-poll.C:
		}
	}
}

func locksIn(t *testing.T, dir string) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".lock") {
			left = append(left, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return left
}

// A server that is killed at a step of a vote has the write when it restarts,
// or not, but never half of it, and takes the next one.
func TestServer_killedAtAVote(t *testing.T) {
	for _, row := range []struct {
		step  string
		wrote bool
	}{
		{"before-prepared", false}, {"after-prepared", false}, {"before-committed", true}, {"after-committed", true},
	} {
		t.Run(row.step, func(t *testing.T) {
			dir := t.TempDir()
			p := startProcess(t, dir)
			coordinator := &gitalytest.Coordinator{}
			voting := newClients(gitalytest.DialVoting(t, p.address, token, coordinator))
			repo := p.create(t, "a.git")
			objects := p.seed(t, repo)
			must.Succeed(t, gitaly.WriteFaults(dir, gitaly.Fault{Prefix: "a.git", StopAt: row.step}))
			ctx := gitalytest.InTransaction(t, t.Context(), pushID, "one", true)
			_, err := voting.repos.WriteRef(ctx, &gitalypb.WriteRefRequest{Repository: repo, Ref: []byte("refs/heads/main"), Revision: []byte(objects.Commits[0])})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("got %v, want Unavailable", err)
			}
			if err := p.cmd.Wait(); p.cmd.ProcessState == nil || p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the server ended with %v, not killed", err)
			}
			must.Succeed(t, gitaly.WriteFaults(dir))
			p = startProcess(t, dir)
			checkNoLocks(t, p.path(repo))
			if got := git(t, p.path(repo), nil, "for-each-ref", "refs/heads/main"); (got != "") != row.wrote {
				t.Errorf("got %q, want it written: %v", got, row.wrote)
			}
			p.write(t, repo, "refs/heads/main", objects.Commits[1])
		})
	}
}

func TestServer_malformedTransaction(t *testing.T) {
	f := start(t)
	voting := newClients(gitalytest.DialVoting(t, f.address, token, &gitalytest.Coordinator{}))
	for _, header := range []string{"no base64!", "bm8ganNvbg=="} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "gitaly-reference-transaction", header)
		_, err := voting.info.ServerInfo(ctx, &gitalypb.ServerInfoRequest{})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: got %v, want InvalidArgument", header, err)
		}
	}
}

// A server like an old one breaks the connection of a client that multiplexes
// it, and serves others.
func TestServer_withoutBackchannel(t *testing.T) {
	server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"one": t.TempDir()}, Token: token, NoBackchannel: true})
	must.Succeed(t, err)
	address := gitalytest.Serve(t, server.Run)
	voting := newClients(gitalytest.DialVoting(t, address, token, &gitalytest.Coordinator{}))
	if _, err := voting.info.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("multiplexed: got %v, want Unavailable", err)
	}
	plain := newClients(gitalytest.Dial(t, address, token))
	if _, err := plain.info.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{}); err != nil {
		t.Errorf("not multiplexed: %v", err)
	}
}

// A server of another release says so, votes when it is about to prepare what is not git's,
// and hashes it otherwise; two of one release vote alike.
func TestServer_votesLikeItsRelease(t *testing.T) {
	votesOf := func(release string) (lines []string) {
		t.Helper()
		server, err := gitaly.New(gitaly.Config{Storages: map[string]string{"one": t.TempDir()}, Token: token, Release: release})
		must.Succeed(t, err)
		coordinator := &gitalytest.Coordinator{}
		to := newClients(gitalytest.DialVoting(t, gitalytest.Serve(t, server.Run), token, coordinator))
		info, err := to.info.ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
		if err != nil || release != "" && info.GetServerVersion() != release {
			t.Errorf("%q: got %q, %v", release, info.GetServerVersion(), err)
		}
		_, err = to.repos.CreateRepository(gitalytest.InTransaction(t, t.Context(), 7, "one", true),
			&gitalypb.CreateRepositoryRequest{Repository: &gitalypb.Repository{StorageName: "one", RelativePath: "a.git"}})
		must.Succeed(t, err)
		for _, v := range coordinator.Votes(7, "one") {
			lines = append(lines, fmt.Sprintf("%d %x", v.Phase, v.Hash))
		}
		return lines
	}
	old, one, two, other := votesOf(""), votesOf("18.9.0"), votesOf("18.9.0"), votesOf("17.1.0")
	if len(old) != 2 || len(one) != 3 || !strings.HasPrefix(one[0], "4 ") {
		t.Fatalf("got %q of the default, %q of 18.9.0", old, one)
	}
	if !slices.Equal(one, two) {
		t.Errorf("two of one release differ: %q and %q", one, two)
	}
	if one[1] == old[0] || one[1] == other[1] {
		t.Errorf("releases hash alike: %q, %q, %q", old, one, other)
	}
}
