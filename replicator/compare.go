package replicator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const (
	// differingLimit bounds how many references of two replicas may differ for a
	// comparison of their contents.
	differingLimit = 1 << 17
	// valuesPerCall bounds how many values one call asks about.
	valuesPerCall = 500
	// aheadLimit bounds how many references are asked for their ancestors, each
	// with a call of its own.
	aheadLimit = 200
)

// dangling are the references under which Gitaly keeps objects of a pool that
// nothing else leads to. Each storage has its own.
var dangling = []byte("refs/dangling/")

// compared yields the references of a replica that count in a comparison.
func (c *calls) compared(ctx context.Context, key state.Key, storage string, peel bool) iter.Seq2[*reference, error] {
	return func(yield func(*reference, error) bool) {
		for ref, err := range c.listed(ctx, key, storage, &gitalypb.ListRefsRequest{Patterns: [][]byte{[]byte("refs/")}, PeelTags: peel}) {
			if err == nil && isPool(key) && bytes.HasPrefix(ref.GetName(), dangling) {
				continue
			}
			if !yield(ref, err) {
				return
			}
		}
	}
}

// sum is a hash over the names and values of all references of a replica. It is
// not CalculateChecksum: Gitaly leaves out there each reference that is not one of the usual kinds.
func (c *calls) sum(ctx context.Context, key state.Key, storage string) (string, error) {
	hash := sha256.New()
	for ref, err := range c.compared(ctx, key, storage, false) {
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %s\n", ref.GetTarget(), ref.GetName())
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// head is the reference that HEAD names, whether or not it exists; empty where a
// storage does not tell.
func (c *calls) head(ctx context.Context, key state.Key, storage string) (name string, err error) {
	err = c.look(ctx, key, storage, "look for HEAD on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		answer, err := gitalypb.NewRefServiceClient(conn).FindDefaultBranchName(ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: repo, HeadOnly: true})
		name = string(answer.GetName())
		if status.Code(err) == codes.Unimplemented {
			return nil
		}
		return err
	})
	return name, err
}

// replica is the part of a replica that a comparison after a copy looks at.
func (c *calls) replica(ctx context.Context, key state.Key, storage string) (r plan.Replica, err error) {
	if r.Has, err = c.exists(ctx, key, storage); err != nil || !r.Has {
		return r, err
	}
	if r.References, err = c.sum(ctx, key, storage); err != nil {
		return r, err
	}
	if r.Head, err = c.head(ctx, key, storage); err != nil {
		return r, err
	}
	r.Pool, err = c.poolOf(ctx, key, storage)
	return r, err
}

// contains tells whether the replica of a storage contains all values: a commit is
// contained if a reference leads to it, through its ancestors or not; anything else,
// as an annotated tag, only if a reference has it as its value.
func (c *calls) contains(ctx context.Context, key state.Key, storage string, values []value) (bool, error) {
	for chunk := range slices.Chunk(distinct(values), valuesPerCall) {
		all, err := c.containsChunk(ctx, key, storage, chunk)
		if err != nil || !all {
			return false, err
		}
	}
	return true, nil
}

// distinct are the values, each once, in their order.
func distinct(values []value) []value {
	seen := make(map[string]bool, len(values))
	var list []value
	for _, v := range values {
		if v.id != "" && !seen[v.id] {
			seen[v.id] = true
			list = append(list, v)
		}
	}
	return list
}

func (c *calls) containsChunk(ctx context.Context, key state.Key, storage string, chunk []value) (bool, error) {
	var revisions []string
	for _, v := range chunk {
		revisions = append(revisions, v.id, v.id+"^{commit}")
	}
	exist, err := c.objects(ctx, key, storage, revisions)
	if err != nil {
		return false, err
	}
	var commits []string
	named := make(map[string]bool) // the objects that a reference must have as its value
	for _, v := range chunk {
		switch {
		case !exist[v.id]:
			return false, nil
		case v.peeled == "" && exist[v.id+"^{commit}"]:
			commits = append(commits, v.id)
		default:
			named[v.id] = true
		}
	}
	if len(named) > 0 {
		request := &gitalypb.ListRefsRequest{Patterns: [][]byte{[]byte("refs/")}}
		for id := range named {
			request.PointingAtOids = append(request.PointingAtOids, []byte(id))
		}
		for ref, err := range c.listed(ctx, key, storage, request) {
			if err != nil {
				return false, err
			}
			delete(named, ref.GetTarget())
		}
		if len(named) > 0 {
			return false, nil
		}
	}
	if len(commits) == 0 {
		return true, nil
	}
	beyond, err := c.newest(ctx, key, storage, append(commits, "--not", "--all"))
	return beyond == nil, err
}

// objects tells which revisions lead to an object of a replica.
func (c *calls) objects(ctx context.Context, key state.Key, storage string, revisions []string) (exist map[string]bool, err error) {
	exist = make(map[string]bool, len(revisions))
	err = c.look(ctx, key, storage, "look for objects on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		stream, err := gitalypb.NewCommitServiceClient(conn).CheckObjectsExist(ctx)
		if err != nil {
			return err
		}
		request := &gitalypb.CheckObjectsExistRequest{Repository: repo}
		for _, revision := range revisions {
			request.Revisions = append(request.Revisions, []byte(revision))
		}
		if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		for {
			answer, err := stream.Recv()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			for _, r := range answer.GetRevisions() {
				exist[string(r.GetName())] = r.GetExists()
			}
		}
	})
	return exist, err
}

// newest is the newest commit that the revisions lead to, nil if there is none.
func (c *calls) newest(ctx context.Context, key state.Key, storage string, revisions []string) (commit *gitalypb.GitCommit, err error) {
	err = c.look(ctx, key, storage, "list commits on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
		stream, err := gitalypb.NewCommitServiceClient(conn).ListCommits(ctx, &gitalypb.ListCommitsRequest{
			Repository: repo, Revisions: revisions, Order: gitalypb.ListCommitsRequest_DATE,
			PaginationParams: &gitalypb.PaginationParameter{Limit: 1},
		})
		if err != nil {
			return err
		}
		answer, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if commits := answer.GetCommits(); len(commits) > 0 {
			commit = commits[0]
		}
		return nil
	})
	return commit, err
}

// ancestors tells whether each value is equal to the other of its reference, or an
// ancestor of it; an absent one is.
func (c *calls) ancestors(ctx context.Context, key state.Key, storage string, list []differing) (bool, error) {
	if len(list) > aheadLimit {
		return false, nil
	}
	for _, d := range list {
		switch {
		case d.here.id == "":
			continue
		case d.there.id == "" || d.here.peeled != "" || d.there.peeled != "":
			return false, nil
		}
		is := false
		err := c.look(ctx, key, storage, "compare commits on", func(ctx context.Context, conn grpc.ClientConnInterface, repo *gitalypb.Repository) error {
			answer, err := gitalypb.NewCommitServiceClient(conn).CommitIsAncestor(ctx, &gitalypb.CommitIsAncestorRequest{
				Repository: repo, AncestorId: d.here.id, ChildId: d.there.id,
			})
			is = answer.GetValue()
			return err
		})
		if err != nil || !is {
			return false, err
		}
	}
	return true, nil
}

// meeting is the finding of a comparison of a newcomer with the primary.
type meeting struct {
	plan.Newcomer
	list []differing
}

// meet compares the replica of a newcomer with the primary's, and sets the facts of the newcomer
// that are on the disks.
func (c *calls) meet(ctx context.Context, key state.Key, primary, storage string) (m meeting, err error) {
	if m.Has, err = c.exists(ctx, key, storage); err != nil || !m.Has {
		return m, err
	}
	if m.PrimaryHas, err = c.exists(ctx, key, primary); err != nil {
		return m, err
	}
	if !m.PrimaryHas {
		m.Contains = true
		return m, nil
	}
	if m.list, err = c.differ(ctx, key, primary, storage); err != nil {
		return m, err
	}
	here, there := make([]value, len(m.list)), make([]value, len(m.list))
	for i, d := range m.list {
		here[i], there[i] = d.here, d.there
	}
	if m.Contained, err = c.contains(ctx, key, primary, there); err != nil {
		return m, err
	}
	if m.Contains, err = c.contains(ctx, key, storage, here); err != nil {
		return m, err
	}
	if m.Contained && m.Contains && len(m.list) > 0 {
		m.Ahead, err = c.ancestors(ctx, key, storage, m.list)
	}
	return m, err
}

// describe is a conflict of a storage with the primary, for people. A part of it that
// cannot be had is left out.
func (c *calls) describe(ctx context.Context, key state.Key, primary, storage string, m meeting) state.Conflict {
	conflict := state.Conflict{Storage: storage, Primary: primary, Time: time.Now().UnixMilli(), Differing: len(m.list)}
	for _, d := range m.list[:min(len(m.list), state.ConflictSample)] {
		conflict.Sample = append(conflict.Sample, state.DifferingReference{
			Name: state.Shorten(d.name), Here: state.Shorten(d.here.id), There: state.Shorten(d.there.id),
		})
	}
	side := func(storage string, has bool) state.ConflictSide {
		if !has {
			return state.ConflictSide{Absent: true}
		}
		commit, err := c.newest(ctx, key, storage, []string{"--all"})
		if err != nil || commit == nil {
			return state.ConflictSide{}
		}
		return state.ConflictSide{Commit: state.Shorten(commit.GetId()), Time: commit.GetCommitter().GetDate().GetSeconds()}
	}
	conflict.Here, conflict.There = side(primary, m.PrimaryHas), side(storage, m.Has)
	return conflict
}

// names are the names of some of the references, for a log line.
func (m meeting) names() string {
	var names []string
	for _, d := range m.list[:min(len(m.list), state.ConflictSample)] {
		names = append(names, d.name)
	}
	return strings.Join(names, " ")
}
