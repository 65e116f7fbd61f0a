package gitalytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

// ExerciseVotes checks that a storage keeps its side of reference transactions
// for the methods that both storages serve.
func ExerciseVotes(t *testing.T, newSubject func(t *testing.T) Subject) {
	exerciseVotes(t, newSubject, (*suite).mutators, maps.Keys(voteChecks()), func(*suite, *testing.T, *gitalypb.Repository) {})
}

// ExerciseGitVotes checks for the methods that only real git serves that they vote
// before and after their effect, alike on all storages. How votes end otherwise
// is the same for all methods.
func ExerciseGitVotes(t *testing.T, newSubject func(t *testing.T) Subject) {
	names := slices.Values([]string{"commit", "abort", "abort when done", "same hashes"})
	exerciseVotes(t, newSubject, (*suite).gitMutators, names, (*suite).addPool)
}

// voteCheck is one check of a mutator's votes.
type voteCheck struct {
	do    func(*suite, *testing.T, mutator)
	first bool // one mutator will do: it is alike for all
}

func voteChecks() map[string]voteCheck {
	return map[string]voteCheck{
		"commit":              {do: (*suite).votesToCommit},
		"abort":               {do: (*suite).votesToAbort},
		"abort when done":     {do: (*suite).votesToAbortWhenDone},
		"stop":                {do: (*suite).votesToStop},
		"cancel":              {do: (*suite).votesUntilCancelled},
		"lost connection":     {do: (*suite).votesUntilDisconnected},
		"same hashes":         {do: (*suite).votesTheSame},
		"no transaction":      {do: (*suite).votesNotWithoutTransaction, first: true},
		"no way to the voter": {do: (*suite).votesNotWithoutBackchannel, first: true},
	}
}

// exerciseVotes runs the checks of these names for all mutators; more adds to
// the repository that they write to.
func exerciseVotes(t *testing.T, newSubject func(t *testing.T) Subject, mutators func(*suite) []mutator, names iter.Seq[string], more func(*suite, *testing.T, *gitalypb.Repository)) {
	for name := range names {
		check := voteChecks()[name]
		exercise(t, newSubject, nil, map[string]func(*suite, *testing.T){name: func(s *suite, t *testing.T) {
			mutators := mutators(s)
			if check.first {
				mutators = mutators[:1]
			}
			for _, storage := range []string{s.Storage, s.Other} {
				repo := named(storage, source)
				s.objects = s.seeded(t, repo, map[string]int{"refs/heads/main": 1, "refs/heads/more": 2})
			}
			for _, m := range mutators {
				s.prepare = func(storage string) { s.readyFor(t, m, storage, more) }
				s.prepare(s.Storage)
				check.do(s, t, m)
				s.clear(t)
			}
		}})
	}
}

func (s *suite) addPool(t *testing.T, origin *gitalypb.Repository) {
	t.Helper()
	_, err := gitalypb.NewObjectPoolServiceClient(s.Conn).CreateObjectPool(s.ctx, &gitalypb.CreateObjectPoolRequest{
		ObjectPool: pool(origin.GetStorageName()), Origin: origin,
	})
	must.Succeed(t, err)
	s.write(t, origin, "refs/heads/topic", s.objects.Commits[0], "") // what the pool has yet to fetch
}

// clear removes the repositories that a mutator may have made or changed.
func (s *suite) clear(t *testing.T) {
	t.Helper()
	for _, storage := range []string{s.Storage, s.Other} {
		for _, path := range []string{present, absent, poolPath, newPool} {
			repo := named(storage, path)
			_, err := s.repos.RemoveRepository(s.ctx, &gitalypb.RemoveRepositoryRequest{Repository: repo})
			if err != nil && status.Code(err) != codes.NotFound {
				t.Fatal(err)
			}
		}
	}
}

// state is the look of a repository for clients, in all that writes change.
func (s *suite) state(t *testing.T, repo *gitalypb.Repository) string {
	t.Helper()
	exists, err := s.repos.RepositoryExists(s.ctx, &gitalypb.RepositoryExistsRequest{Repository: repo})
	must.Succeed(t, err)
	if !exists.GetExists() {
		return "absent"
	}
	hooks, err := bytesOf(s.repos.GetCustomHooks(s.ctx, &gitalypb.GetCustomHooksRequest{Repository: repo}))
	if err != nil && status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}
	pool, err := gitalypb.NewObjectPoolServiceClient(s.Conn).GetObjectPool(s.ctx, &gitalypb.GetObjectPoolRequest{Repository: repo})
	if err != nil && status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}
	state := fmt.Sprintf("%v HEAD %s hooks %x pool %s files %s", s.listed(t, repo, "refs/"), s.headOf(t, repo), hooks,
		pool.GetObjectPool().GetRepository().GetRelativePath(), s.files(t, repo))
	if s.unnamed == "" {
		return state
	}
	resp, err := gitalypb.NewCommitServiceClient(s.Conn).FindCommit(s.ctx, &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte(s.unnamed)})
	must.Succeed(t, err)
	return state + " commit " + resp.GetCommit().GetId()
}

// files are the content of the repository beside references and objects, where it is on a disk.
func (s *suite) files(t *testing.T, repo *gitalypb.Repository) (content string) {
	t.Helper()
	if s.Path == nil {
		return ""
	}
	for _, name := range []string{"config", "info/attributes"} {
		text, err := os.ReadFile(filepath.Join(s.Path(repo), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		content += fmt.Sprintf("%s %q ", name, text)
	}
	return content
}

// votedWrite is one write with a coordinator of its own.
type votedWrite struct {
	*Coordinator
	before, after string // the state of the repository
	err           error
}

const transactionID = 1<<40 + 7

// tidyLimit is how long a server may keep the locks of a call that was ended from outside.
const tidyLimit = 30 * time.Second

// cast makes the write in a transaction; decide answers the votes. The
// repository must take the same write without one afterwards, if it was not
// made: no lock may be left.
func (s *suite) cast(t *testing.T, m mutator, decide func(b *votedWrite, cut, cancel func()) Decision) *votedWrite {
	t.Helper()
	repo := s.repository(m.place)
	b := &votedWrite{Coordinator: &Coordinator{}, before: s.state(t, repo)}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	conn := DialVoting(t, s.Address, s.Token, b.Coordinator)
	cut := func() { _ = conn.Close() } // the cleanup of DialVoting sees to its error
	b.Decide = decide(b, cut, cancel)
	b.err = m.do(t, InTransaction(t, ctx, transactionID, s.Storage, true), conn, repo, s.objects)
	b.after = s.state(t, repo)
	return b
}

// refused checks that a write failed, changed nothing, and can be made now.
func (s *suite) refused(t *testing.T, m mutator, b *votedWrite) {
	t.Helper()
	s.unchanged(t, m, b)
	s.afterwards(t, m, b, m.do(t, s.ctx, s.Conn, s.repository(m.place), s.objects))
}

// afterwards wants the same write to have ended with no err, and with an effect.
func (s *suite) afterwards(t *testing.T, m mutator, b *votedWrite, err error) {
	t.Helper()
	repo := s.repository(m.place)
	if err != nil {
		t.Errorf("%s: without a transaction, afterwards: %v", m.name, err)
	}
	if after := s.state(t, repo); after == b.before {
		t.Errorf("%s: without a transaction, afterwards: changed nothing: %s", m.name, after)
	}
}

// cutOff is like refused, for a call that was ended from outside. The server learns of that, and
// gives its locks back, in its own time.
func (s *suite) cutOff(t *testing.T, m mutator, b *votedWrite) {
	t.Helper()
	s.unchanged(t, m, b)
	if s.KillsGit {
		return
	}
	err := m.do(t, s.ctx, s.Conn, s.repository(m.place), s.objects)
	for until := time.Now().Add(tidyLimit); err != nil && time.Now().Before(until); {
		time.Sleep(50 * time.Millisecond)
		err = m.do(t, s.ctx, s.Conn, s.repository(m.place), s.objects)
	}
	s.afterwards(t, m, b, err)
}

// unchanged wants the write to have failed without an effect.
func (s *suite) unchanged(t *testing.T, m mutator, b *votedWrite) {
	t.Helper()
	// A push that is refused all its references is no error to git.
	if b.err == nil && !strings.HasSuffix(m.name, "ReceivePack") {
		t.Errorf("%s: got no error", m.name)
	}
	if b.after != b.before {
		t.Errorf("%s: changed\n%s\nto\n%s", m.name, b.before, b.after)
	}
}

func (s *suite) votesToCommit(t *testing.T, m mutator) {
	b := s.cast(t, m, func(b *votedWrite, _, _ func()) Decision {
		committed := false
		return func(_ context.Context, v Vote) (State, error) {
			committed = committed || v.Phase == gitalypb.VoteTransactionRequest_COMMITTED_PHASE
			// Before all have agreed nothing is to be seen of the write.
			if now := s.state(t, s.repository(m.place)); !committed && now != b.before {
				t.Errorf("%s: changed to %s before it was agreed on", m.name, now)
			}
			return Commit, nil
		}
	})
	if b.err != nil {
		t.Errorf("%s: %v", m.name, b.err)
	}
	if b.after == b.before {
		t.Errorf("%s: changed nothing", m.name)
	}
	phases := make(map[gitalypb.VoteTransactionRequest_Phase]string)
	for _, v := range b.Votes(transactionID, s.Storage) {
		if phases[v.Phase] == "" {
			phases[v.Phase] = v.Hash
		}
	}
	for _, phase := range []gitalypb.VoteTransactionRequest_Phase{gitalypb.VoteTransactionRequest_PREPARED_PHASE, gitalypb.VoteTransactionRequest_COMMITTED_PHASE} {
		if phases[phase] == "" {
			t.Errorf("%s: got no vote in %v", m.name, phase)
		}
	}
}

// answering answers votes of a phase that way and commits others.
func answering(phase gitalypb.VoteTransactionRequest_Phase, state State) func(*votedWrite, func(), func()) Decision {
	return func(*votedWrite, func(), func()) Decision {
		failed := false
		return func(_ context.Context, v Vote) (State, error) {
			if failed = failed || v.Phase == phase; failed {
				return state, nil
			}
			return Commit, nil
		}
	}
}

func (s *suite) votesToAbort(t *testing.T, m mutator) {
	s.refused(t, m, s.cast(t, m, answering(gitalypb.VoteTransactionRequest_PREPARED_PHASE, Abort)))
}

func (s *suite) votesToStop(t *testing.T, m mutator) {
	s.refused(t, m, s.cast(t, m, answering(gitalypb.VoteTransactionRequest_PREPARED_PHASE, Stop)))
}

// votesToAbortWhenDone: it is too late to undo it. The answer is an error, but where
// git makes the change by itself: it does not hear of it any more.
func (s *suite) votesToAbortWhenDone(t *testing.T, m mutator) {
	b := s.cast(t, m, answering(gitalypb.VoteTransactionRequest_COMMITTED_PHASE, Abort))
	switch git := slices.Contains(deaf, m.name) || s.KillsGit && m.name == "WriteRef of HEAD"; {
	case git && (b.err != nil || b.after == b.before):
		t.Errorf("%s: got %v and %s, want no error and a change", m.name, b.err, b.after)
	case !git && b.err == nil:
		t.Errorf("%s: got no error", m.name)
	}
}

// deaf are the mutators by which git changes references on its own.
var deaf = []string{
	"FetchBundle", "FetchRemote", "FetchSourceBranch", "UpdateReferences", "UserMergeToRef", "UserRebaseToRef", "WriteRef", "WriteRef that deletes",
}

// votesUntilCancelled: a vote is not answered until the call has ended.
func (s *suite) votesUntilCancelled(t *testing.T, m mutator) {
	b := s.cast(t, m, func(_ *votedWrite, _, cancel func()) Decision {
		return func(ctx context.Context, v Vote) (State, error) {
			if v.Phase != gitalypb.VoteTransactionRequest_PREPARED_PHASE {
				return Commit, nil
			}
			cancel()
			<-ctx.Done()
			return Abort, ctx.Err()
		}
	})
	if code := status.Code(b.err); code != codes.Canceled {
		t.Errorf("%s: got %v, want Canceled", m.name, b.err)
	}
	s.cutOff(t, m, b)
}

// votesUntilDisconnected: the connection is lost while a vote waits.
func (s *suite) votesUntilDisconnected(t *testing.T, m mutator) {
	b := s.cast(t, m, func(_ *votedWrite, cut, _ func()) Decision {
		return func(ctx context.Context, v Vote) (State, error) {
			if v.Phase != gitalypb.VoteTransactionRequest_PREPARED_PHASE {
				return Commit, nil
			}
			go cut() // it waits for this very call to end
			<-ctx.Done()
			return Abort, ctx.Err()
		}
	})
	s.cutOff(t, m, b)
}

// votesTheSame: the storages vote alike on the same call, the one that is no
// primary included.
func (s *suite) votesTheSame(t *testing.T, m mutator) {
	s.prepare(s.Other)
	coordinator := &Coordinator{}
	conn := DialVoting(t, s.Address, s.Token, coordinator)
	for _, storage := range []string{s.Storage, s.Other} {
		ctx := InTransaction(t, s.ctx, transactionID, storage, storage == s.Storage)
		if err := m.do(t, ctx, conn, named(storage, m.place), s.objects); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	got, want := coordinator.Votes(transactionID, s.Other), coordinator.Votes(transactionID, s.Storage)
	if len(got) != len(want) || len(want) < 2 {
		t.Fatalf("%s: got %d votes of a secondary and %d of the primary", m.name, len(got), len(want))
	}
	for i := range want {
		if got[i].Phase != want[i].Phase || got[i].Hash != want[i].Hash {
			t.Errorf("%s: vote %d: got %v %x of a secondary, want %v %x", m.name, i, got[i].Phase, got[i].Hash, want[i].Phase, want[i].Hash)
		}
	}
}

func (s *suite) votesNotWithoutTransaction(t *testing.T, m mutator) {
	coordinator := &Coordinator{}
	conn := DialVoting(t, s.Address, s.Token, coordinator)
	if err := m.do(t, s.ctx, conn, s.repository(m.place), s.objects); err != nil {
		t.Errorf("%s: %v", m.name, err)
	}
	coordinator.mu.Lock()
	defer coordinator.mu.Unlock()
	if len(coordinator.votes) > 0 {
		t.Errorf("%s: got votes %v", m.name, coordinator.votes)
	}
}

func (s *suite) votesNotWithoutBackchannel(t *testing.T, m mutator) {
	ctx := InTransaction(t, s.ctx, transactionID, s.Storage, true)
	before := s.state(t, s.repository(m.place))
	if err := m.do(t, ctx, s.Conn, s.repository(m.place), s.objects); err == nil {
		t.Errorf("%s: got no error", m.name)
	}
	if after := s.state(t, s.repository(m.place)); after != before {
		t.Errorf("%s: changed\n%s\nto\n%s", m.name, before, after)
	}
}

// deletion is the request of a client to delete a reference.
func deletion(ref, old string) []byte {
	line := fmt.Sprintf("%s %s %s\x00 report-status delete-refs agent=test", old, zero, ref)
	return fmt.Appendf(nil, "%04x%s0000", len(line)+4, line)
}

// push sends data through PostReceivePack.
func push(ctx context.Context, to *grpc.ClientConn, repo *gitalypb.Repository, data []byte) error {
	return exchange(ctx, gitalypb.NewSmartHTTPServiceClient(to).PostReceivePack,
		&gitalypb.PostReceivePackRequest{Repository: repo, GlId: "key-1"}, &gitalypb.PostReceivePackRequest{Data: data})
}
