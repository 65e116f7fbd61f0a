package replicator

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// fate is what becomes of one call. The zero fate is success.
type fate struct {
	// err is answered; unless happens, in place of the effect.
	err     error
	happens bool
	// lost tells that err is made up on the way: nothing came from the storage.
	lost bool
	// slow is how long the call takes, and late how much later than the answer
	// the effect comes, at the deadline at the latest.
	slow, late time.Duration
}

// meet has every call of a method to a storage meet a fate; to any storage if none is named.
func (w *fixture) meet(storage, method string, f fate) { w.meetFirst(-1, storage, method, f) }

// meetFirst is meet for so many calls; all if n is negative.
func (w *fixture) meetFirst(n int, storage, method string, f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = func(s, m string) fate {
		if n == 0 || m != method || storage != "" && s != storage {
			return fate{}
		}
		n--
		return f
	}
}

// well has all calls succeed again.
func (w *fixture) well() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

// lostError is an error that was made up on the way.
type lostError struct{ error }

// GRPCStatus lets status.Code see it.
func (e lostError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// watchLost is the Watch that knows lostError.
func watchLost(ctx context.Context) (context.Context, func(error) bool) {
	return ctx, func(err error) bool {
		_, lost := errors.AsType[lostError](err)
		return !lost
	}
}

// Invoke implements grpc.ClientConnInterface.
func (d *disk) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	method = path.Base(method)
	w := d.fixture
	w.mu.Lock()
	w.calls[method+" "+d.name]++
	var f fate
	if w.faults != nil {
		f = w.faults(d.name, method)
	}
	switch method {
	case "ReplicateRepository", "RemoveRepository", "OptimizeRepository", "DeleteRefs", "WriteRef", "LinkRepositoryToObjectPool", "DisconnectGitAlternates":
		d.checkTarget(ctx, method, args.(interface{ GetRepository() *gitalypb.Repository }).GetRepository().GetRelativePath())
	}
	w.mu.Unlock()
	pause(ctx, f.slow)
	if err := ctx.Err(); err != nil {
		f = fate{err: status.FromContextError(err).Err(), lost: true, happens: f.happens || f.err == nil, late: f.late}
	}
	if !f.lost {
		f.late = 0 // a status is sent after the effect
	}
	answer := func() error { return nil }
	if f.err == nil || f.happens {
		answer = func() error { return d.serve(ctx, method, args.(proto.Message), reply.(proto.Message)) }
	}
	if f.late > 0 {
		if deadline, ok := ctx.Deadline(); ok {
			f.late = min(f.late, time.Until(deadline), plan.CallerGone)
		}
		// The storage goes on by itself.
		go func() { wait(f.late); w.mu.Lock(); defer w.mu.Unlock(); _ = answer() }()
	} else {
		w.mu.Lock()
		err := answer()
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if f.lost {
		return lostError{f.err}
	}
	return f.err
}

// checkTarget notes a copy onto an in-sync storage, and one that no live intent
// covers: the storage, and the time until which it may have an effect. The caller holds fixture.mu.
func (d *disk) checkTarget(ctx context.Context, method, relativePath string) {
	vs, entry := d.fixture.view.VirtualStorage(vsName), d.fixture.view.Entry(key(relativePath))
	deadline, bounded := ctx.Deadline()
	covered := slices.ContainsFunc(d.fixture.view.Instances, func(i state.Instance) bool {
		intent := entry.Live(i.Incarnation)
		return intent != nil && slices.Contains(intent.Targets, d.name) && min(time.Until(deadline), plan.CallerGone) <= time.Duration(intent.BoundMillis)*time.Millisecond
	})
	if !covered || !bounded {
		d.fixture.broken = append(d.fixture.broken, fmt.Sprintf("%s of %q on %s, which no intent covers: %+v", method, relativePath, d.name, entry))
	}
	for st := range vs.InSync(entry) {
		if st.Name == d.name && (entry == nil || entry.Advancing == "") {
			d.fixture.broken = append(d.fixture.broken, fmt.Sprintf("%s of %q on %s, which is in sync", method, relativePath, d.name))
		}
	}
}

// serve answers a call. The caller holds fixture.mu.
func (d *disk) serve(ctx context.Context, method string, args, reply proto.Message) error {
	repo := args.(interface{ GetRepository() *gitalypb.Repository }).GetRepository()
	if repo.GetStorageName() != d.name {
		return status.Errorf(codes.InvalidArgument, "this is %q, not %q", d.name, repo.GetStorageName())
	}
	content, has := d.repos[repo.GetRelativePath()]
	switch method {
	case "RepositoryExists":
		proto.Merge(reply, &gitalypb.RepositoryExistsResponse{Exists: has})
		return nil
	case "RemoveRepository":
		if !has {
			return status.Error(codes.NotFound, "repository does not exist")
		}
		d.fixture.set(d.name, repo.GetRelativePath(), "")
		delete(d.fixture.ruined, d.name+repo.GetRelativePath())
		delete(d.fixture.damaged, d.name+repo.GetRelativePath())
		return nil
	case "ReplicateRepository":
		source := args.(*gitalypb.ReplicateRepositoryRequest).GetSource()
		if err := checkServers(ctx, source.GetStorageName()); err != nil {
			return err
		}
		var there bool
		content, there = d.fixture.disks[source.GetStorageName()].repos[source.GetRelativePath()]
		if !there {
			return status.Error(codes.NotFound, "invalid source repository")
		}
		if d.fixture.damaged[source.GetStorageName()+source.GetRelativePath()] || has && d.fixture.ruined[d.name+repo.GetRelativePath()] {
			return status.Error(codes.Internal, "fetch internal remote: exit status 128")
		}
		if d.fixture.locked[d.name+repo.GetRelativePath()] {
			return status.Error(codes.Internal, "fetch internal remote: exit status 253")
		}
		if clash := plan.RefConflicts(names(content), names(d.repos[repo.GetRelativePath()])); len(clash) > 0 {
			return status.Errorf(codes.Internal, "cannot lock %q", clash)
		}
		if d.fixture.sloppy == d.name {
			return nil
		}
		// Whether a replica borrows is its own matter; a new one does not.
		copied, _, _ := strings.Cut(content, "@")
		if _, pool, borrows := strings.Cut(d.repos[repo.GetRelativePath()], "@"); borrows {
			copied += "@" + pool
		}
		d.fixture.set(d.name, repo.GetRelativePath(), copied)
		if d.fixture.heads != nil && !d.fixture.leavesHead {
			d.fixture.heads[d.name+repo.GetRelativePath()] = d.fixture.heads[source.GetStorageName()+source.GetRelativePath()]
		}
		return nil
	}
	if !has {
		return status.Error(codes.NotFound, "repository not found")
	}
	switch method {
	case "GetObjectPool":
		if _, pool, borrows := strings.Cut(content, "@"); borrows {
			proto.Merge(reply, &gitalypb.GetObjectPoolResponse{ObjectPool: &gitalypb.ObjectPool{
				Repository: &gitalypb.Repository{StorageName: d.name, RelativePath: "@" + pool},
			}})
		}
	case "DisconnectGitAlternates":
		own, _, _ := strings.Cut(content, "@")
		d.fixture.set(d.name, repo.GetRelativePath(), own)
	case "LinkRepositoryToObjectPool":
		pool := args.(*gitalypb.LinkRepositoryToObjectPoolRequest).GetObjectPool().GetRepository().GetRelativePath()
		if _, there := d.repos[pool]; !there {
			return status.Error(codes.FailedPrecondition, "there is no such pool")
		}
		d.fixture.set(d.name, repo.GetRelativePath(), content+pool)
	case "DeleteRefs":
		refs, more := parts(content)
		left := slices.DeleteFunc(strings.Fields(refs), func(name string) bool {
			return slices.ContainsFunc(args.(*gitalypb.DeleteRefsRequest).GetRefs(), func(ref []byte) bool { return string(ref) == name })
		})
		d.fixture.set(d.name, repo.GetRelativePath(), strings.Join(left, " ")+more)
	case "FindDefaultBranchName":
		proto.Merge(reply, &gitalypb.FindDefaultBranchNameResponse{Name: []byte(d.fixture.heads[d.name+repo.GetRelativePath()])})
	case "WriteRef":
		d.fixture.heads[d.name+repo.GetRelativePath()] = string(args.(*gitalypb.WriteRefRequest).GetRevision())
	case "CommitIsAncestor":
		req := args.(*gitalypb.CommitIsAncestorRequest)
		proto.Merge(reply, &gitalypb.CommitIsAncestorResponse{Value: isAncestor(req.GetAncestorId(), req.GetChildId())})
	case "Fsck":
		if d.fixture.damaged[d.name+repo.GetRelativePath()] {
			proto.Merge(reply, &gitalypb.FsckResponse{Error: []byte("missing blob 1234")})
		}
	case "OptimizeRepository":
		delete(d.fixture.locked, d.name+repo.GetRelativePath())
	case "RepositorySize":
		proto.Merge(reply, &gitalypb.RepositorySizeResponse{Size: int64(len(content))})
	default:
		return status.Error(codes.Unimplemented, method)
	}
	return nil
}

// checkServers checks that the call says how to reach its source.
func checkServers(ctx context.Context, source string) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	text, err := base64.StdEncoding.DecodeString(strings.Join(md.Get("gitaly-servers"), ""))
	if want := fmt.Sprintf(`{%q:{"address":"tcp://%s","token":"token of %s"}}`, source, source, source); err != nil || string(text) != want {
		return status.Errorf(codes.InvalidArgument, "gitaly-servers: %s, want %s", text, want)
	}
	return nil
}

// names are the references of a replica by its content.
func names(content string) []string {
	refs, _ := parts(content)
	var list []string
	for _, ref := range strings.Fields(refs) {
		name, _, _ := strings.Cut(ref, ":")
		list = append(list, name)
	}
	return list
}

// references are those of a replica by its content: a field name:value, of which the
// value stands for a commit, and its prefixes for the ancestors of that. The value is
// the name if none is given.
func references(content string) []*gitalypb.ListRefsResponse_Reference {
	refs, _ := parts(content)
	var list []*gitalypb.ListRefsResponse_Reference
	for _, ref := range slices.Sorted(slices.Values(strings.Fields(refs))) {
		name, value, given := strings.Cut(ref, ":")
		if !given {
			value = name
		}
		list = append(list, &gitalypb.ListRefsResponse_Reference{Name: []byte(name), Target: value})
	}
	return list
}

// isAncestor tells whether one value stands for an ancestor of the other, or is it.
func isAncestor(ancestor, child string) bool { return strings.HasPrefix(child, ancestor) }

// reachable tells whether a reference of a replica leads to a commit.
func reachable(content, commit string) bool {
	return slices.ContainsFunc(references(content), func(ref *gitalypb.ListRefsResponse_Reference) bool {
		return isAncestor(commit, ref.GetTarget())
	})
}

// parts are the references and what else is in a replica.
func parts(content string) (refs, more string) {
	if i := strings.IndexAny(content, "+@"); i >= 0 {
		return content[:i], content[i:]
	}
	return content, ""
}

// NewStream implements grpc.ClientConnInterface, for WalkRepos and ListRefs.
func (d *disk) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	w := d.fixture
	w.mu.Lock()
	defer w.mu.Unlock()
	method = path.Base(method)
	w.calls[method+" "+d.name]++
	var f fate
	if w.faults != nil {
		f = w.faults(d.name, method)
	}
	return &listing{ctx: ctx, disk: d, fate: f}, nil
}

// listing yields what was there when it was asked for; with an error in its fate,
// after the first one.
type listing struct {
	grpc.ClientStream
	ctx     context.Context
	disk    *disk
	answers []proto.Message
	absent  bool
	fate    fate
	sent    int
}

func (s *listing) SendMsg(m any) error {
	s.disk.fixture.mu.Lock()
	defer s.disk.fixture.mu.Unlock()
	if req, ok := m.(*gitalypb.WalkReposRequest); ok && req != nil {
		for _, path := range slices.Sorted(maps.Keys(s.disk.repos)) {
			s.answers = append(s.answers, &gitalypb.WalkReposResponse{RelativePath: path})
		}
		return nil
	}
	content, has := s.disk.repos[m.(interface{ GetRepository() *gitalypb.Repository }).GetRepository().GetRelativePath()]
	s.absent = !has
	switch req := m.(type) {
	case *gitalypb.ListRefsRequest:
		for _, ref := range references(content) {
			s.answers = append(s.answers, &gitalypb.ListRefsResponse{References: []*gitalypb.ListRefsResponse_Reference{ref}})
		}
	case *gitalypb.CheckObjectsExistRequest:
		answer := &gitalypb.CheckObjectsExistResponse{}
		for _, revision := range req.GetRevisions() {
			commit, _, _ := strings.Cut(string(revision), "^")
			answer.Revisions = append(answer.Revisions, &gitalypb.CheckObjectsExistResponse_RevisionExistence{
				Name: revision, Exists: reachable(content, commit),
			})
		}
		s.answers = append(s.answers, answer)
	case *gitalypb.ListCommitsRequest: // whatever no reference leads to, or everything
		commits := req.GetRevisions()
		if len(commits) == 1 {
			for _, ref := range references(content) {
				commits = append(commits, ref.GetTarget())
			}
		}
		for _, commit := range commits {
			if all := len(req.GetRevisions()) == 1; !strings.HasPrefix(commit, "--") && (all || !reachable(content, commit)) {
				s.answers = append(s.answers, &gitalypb.ListCommitsResponse{Commits: []*gitalypb.GitCommit{{Id: commit}}})
			}
		}
	}
	return nil
}

func (s *listing) CloseSend() error { return nil }

func (s *listing) RecvMsg(m any) error {
	pause(s.ctx, s.fate.slow)
	switch {
	case s.ctx.Err() != nil:
		return status.FromContextError(s.ctx.Err()).Err()
	case s.fate.err != nil && s.sent > 0:
		return s.fate.err
	case s.absent:
		return status.Error(codes.NotFound, "repository not found")
	case s.sent == len(s.answers):
		return io.EOF
	}
	proto.Merge(m.(proto.Message), s.answers[s.sent])
	s.sent++
	return nil
}
