package gitalytest

import (
	"errors"
	"slices"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ExerciseRealVotes checks the votes of the methods that no storage of ours serves, and
// of which an older or a newer release may lack some: they are skipped by name, and
// logged.
func ExerciseRealVotes(t *testing.T, newSubject func(t *testing.T) Subject) {
	names := slices.Values([]string{"commit", "abort", "abort when done", "same hashes"})
	served := func(s *suite) []mutator { return s.servedByReal(t) }
	exerciseVotes(t, newSubject, served, names, (*suite).addPool)
}

// servedByReal are the methods that test/gitaly does not serve and the storage does.
func (s *suite) servedByReal(t *testing.T) []mutator {
	t.Helper()
	all := slices.Concat(s.userMutators(), s.copyMutators(), s.editMutators()) // every release serves these
	for _, m := range s.realMutators() {
		if s.serves(t, m) {
			all = append(all, m)
		}
	}
	return all
}

// serves tells whether the storage knows the method, by a call about no repository.
func (s *suite) serves(t *testing.T, m mutator) bool {
	t.Helper()
	err := m.do(t, s.ctx, s.Conn, named(s.Storage, "no/such.git"), s.objects)
	if status.Code(err) != codes.Unimplemented {
		return true
	}
	t.Logf("%s is not served", m.name)
	return false
}

// realMutators are the methods that only a real Gitaly serves.
func (s *suite) realMutators() []mutator {
	repos := gitalypb.NewRepositoryServiceClient
	var f forked
	return []mutator{
		{"RestoreCustomHooks", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			data := archived(t, map[string]string{"custom_hooks/update": "#!/bin/sh\n"})
			//lint:ignore SA1019 older releases serve it, and clients of theirs call it
			return errorOf(upload(c, repos(to).RestoreCustomHooks, &gitalypb.RestoreCustomHooksRequest{Repository: r, Data: data}))
		}},
		{"ResolveConflicts", present, func(t test, r repo) {
			f = forked{base: s.objects.Commits[1]}
			f.main = s.commit(t, r, "main", f.base, "both", "ours\n")
			f.side = s.commit(t, r, "side", f.base, "both", "theirs\n")
		}, func(t test, c ctx, to conn, r repo, _ Objects) error {
			// It fetches the commits that it merges, if from the same repository too.
			c = WithServer(t, c, r.GetStorageName(), s.Address, s.Token)
			resp, err := upload(c, gitalypb.NewConflictsServiceClient(to).ResolveConflicts, &gitalypb.ResolveConflictsRequest{
				ResolveConflictsRequestPayload: &gitalypb.ResolveConflictsRequest_Header{Header: &gitalypb.ResolveConflictsRequestHeader{
					Repository: r, TargetRepository: r, OurCommitOid: f.side, TheirCommitOid: f.main,
					SourceBranch: []byte("side"), TargetBranch: []byte("main"), CommitMessage: []byte("resolve"), User: user(), Timestamp: at(),
				}},
			}, &gitalypb.ResolveConflictsRequest{
				ResolveConflictsRequestPayload: &gitalypb.ResolveConflictsRequest_FilesJson{
					FilesJson: []byte(`[{"old_path":"both","new_path":"both","content":"both\n"}]`),
				},
			})
			if err == nil && resp.GetResolutionError() != "" {
				err = errors.New(resp.GetResolutionError())
			}
			return err
		}},
		{"SetFullPath", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			//lint:ignore SA1019 older releases serve it, and clients of theirs call it
			return errorOf(repos(to).SetFullPath(c, &gitalypb.SetFullPathRequest{Repository: r, Path: "group/project"}))
		}},
		{"ApplyGitattributes", present, func(t test, r repo) {
			s.commit(t, r, "main", "", ".gitattributes", "* text\n")
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			//lint:ignore SA1019 older releases serve it, and clients of theirs call it
			return errorOf(repos(to).ApplyGitattributes(c, &gitalypb.ApplyGitattributesRequest{Repository: r, Revision: []byte("refs/heads/main")}))
		}},
		{"ApplyGitattributes that removes", present, func(t test, r repo) {
			with := s.commit(t, r, "with", s.objects.Commits[1], ".gitattributes", "* text\n")
			//lint:ignore SA1019 older releases serve it, and clients of theirs call it
			_, err := s.repos.ApplyGitattributes(s.ctx, &gitalypb.ApplyGitattributesRequest{Repository: r, Revision: []byte(with)})
			if err != nil && status.Code(err) != codes.Unimplemented {
				t.Fatal(err)
			}
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			//lint:ignore SA1019 older releases serve it, and clients of theirs call it
			return errorOf(repos(to).ApplyGitattributes(c, &gitalypb.ApplyGitattributesRequest{Repository: r, Revision: []byte("refs/heads/main")}))
		}},
		{"RewriteHistory", present, func(t test, r repo) {
			s.commit(t, r, "main", "", "secret", "a secret\n")
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(upload(c, gitalypb.NewCleanupServiceClient(to).RewriteHistory,
				&gitalypb.RewriteHistoryRequest{Repository: r}, &gitalypb.RewriteHistoryRequest{Redactions: [][]byte{[]byte("secret")}}))
		}},
	}
}
