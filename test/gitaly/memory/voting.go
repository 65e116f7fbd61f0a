package memory

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
)

// Fault makes the votes about some repositories, or their writes, go wrong.
type Fault = vote.Fault

// SetFaults replaces the faults in the votes of all storages, at any
// time. A fault that stops the server is as Kill.
func (s *Server) SetFaults(faults ...Fault) error {
	for _, f := range faults {
		if err := f.Check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
	return nil
}

// change is a write that the storages agree on.
type change struct {
	repo *gitalypb.Repository
	lock string // what of the repository nobody else may change meanwhile; "" for all
	deaf bool   // git makes it, and does not hear what is said of it when it is done
	sum  func() vote.Hash
	// check tells whether apply could make it, as git does with its locks held.
	check func() error
	apply func() error
}

// agree makes a change: at once, or in a transaction around the votes on it.
func (h *handlers) agree(ctx context.Context, c change) error {
	tx := vote.From(ctx)
	if vote.Fills(h.place(c.repo).Faults, c.repo.GetRelativePath()) {
		return status.Error(codes.Internal, "no space left on device")
	}
	if tx == nil {
		return c.apply()
	}
	release, err := h.server.locks.Acquire(ctx, strings.Join([]string{c.repo.GetStorageName(), c.repo.GetRelativePath(), c.lock}, "\x00"))
	if err != nil {
		return err
	}
	defer release()
	if err := c.check(); err != nil {
		return err
	}
	sum := c.sum()
	if release := h.server.config.Release; release != "" {
		sum = vote.Of(append(sum[:], release...))
		if err := tx.Vote(ctx, h.place(c.repo), vote.Preparing, sum); err != nil {
			return err
		}
	}
	if err := tx.Vote(ctx, h.place(c.repo), vote.Prepared, sum); err != nil {
		return err
	}
	if err := c.apply(); err != nil {
		return err
	}
	if err := tx.Vote(ctx, h.place(c.repo), vote.Committed, sum); !c.deaf {
		return err
	}
	return nil
}

func (h *handlers) place(repo *gitalypb.Repository) vote.Place {
	h.server.mu.RLock()
	defer h.server.mu.RUnlock()
	return vote.Place{Repository: repo, Faults: h.server.faults, Crash: func(ctx context.Context) {
		h.server.Kill()
		<-ctx.Done()
	}}
}

// agreeOn is agree for a change within a repository: edit is tried on a copy
// first. name is the part of the repository that it changes, deaf as in change.
func (h *handlers) agreeOn(ctx context.Context, named *gitalypb.Repository, name string, deaf bool, edit func(*repository) error) error {
	var sum vote.Hash
	return h.agree(ctx, change{
		repo: named,
		lock: name,
		deaf: deaf,
		check: func() error {
			return h.read(named, func(r *repository) error {
				tried := &repository{head: r.head, refs: maps.Clone(r.refs), created: r.created}
				if err := edit(tried); err != nil {
					return err
				}
				sum = vote.Of(fmt.Appendf(nil, "%s %s %s HEAD %s", r.refs[name], tried.refs[name], name, tried.head))
				return nil
			})
		},
		sum:   func() vote.Hash { return sum },
		apply: func() error { return h.write(named, edit) },
	})
}

// agreeToCreate is agree for a new repository.
func (h *handlers) agreeToCreate(ctx context.Context, named *gitalypb.Repository, repo *repository) error {
	return h.agree(ctx, change{
		repo:  named,
		check: func() error { return h.vacant(named) },
		sum: func() vote.Hash {
			return vote.Of(fmt.Appendf(nil, "create %s %s", repo.head, repo.checksum(all)))
		},
		apply: func() error { return h.create(named, repo) },
	})
}
