package gitalytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// forked are the commits that a repository of two branches has: both lead on
// from the one named base, each with a file of its own name.
type forked struct {
	base, main, side string
}

// fork makes main and side part.
func (s *suite) fork(t *testing.T, repo *gitalypb.Repository, base string) forked {
	t.Helper()
	return forked{
		base: base,
		main: s.commit(t, repo, "main", base, "main", "main"),
		side: s.commit(t, repo, "side", base, "side", "side"),
	}
}

// editMutators are the methods that make commits out of others.
func (s *suite) editMutators() []mutator {
	edits := gitalypb.NewOperationServiceClient
	var f forked // the same in every repository
	part := func(t test, r repo) { f = s.fork(t, r, s.objects.Commits[1]) }
	return []mutator{
		{"UserMergeToRef", present, part, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserMergeToRef(c, mergeToRef(r, "refs/heads/main", f.side)))
		}},
		{"UserRebaseToRef", present, part, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserRebaseToRef(c, rebaseToRef(r, "refs/heads/main", f.side)))
		}},
		{"UserCherryPick", present, part, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserCherryPick(c, cherryPick(r, "main", f.side)))
		}},
		{"UserRevert", present, part, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserRevert(c, revert(r, "main", f.main)))
		}},
		{"UserRebaseConfirmable", present, part, func(t test, c ctx, to conn, r repo, _ Objects) error {
			// It fetches the commits that it rebases, if from the same repository too.
			return errorOf(rebase(WithServer(t, c, r.GetStorageName(), s.Address, s.Token), edits(to), rebaseHeader(r, r, f.side), true))
		}},
		{"UserSquash", present, func(t test, r repo) {
			part(t, r)
			// The commit that it makes cannot be seen but by its id, which is the same elsewhere.
			elsewhere := named(r.GetStorageName(), source)
			s.unnamed = s.squashed(t, elsewhere)
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserSquash(c, squash(r, f.main, f.side)))
		}},
		{"UserApplyPatch", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(applyPatch(c, edits(to), r, "main", addition("new")))
		}},
		{"UserUpdateSubmodule", present, func(t test, r repo) {
			if _, err := applyPatch(s.ctx, s.edits, r, "main", submoduleAddition("sub")); err != nil {
				t.Fatal(err)
			}
		}, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(edits(to).UserUpdateSubmodule(c, updateSubmodule(r, "main", "sub", o.Commits[0])))
		}},
	}
}

// squashed squashes in a repository as forked ones are, without a vote.
func (s *suite) squashed(t *testing.T, repo *gitalypb.Repository) string {
	t.Helper()
	f := s.fork(t, repo, s.objects.Commits[1])
	resp, err := s.edits.UserSquash(s.ctx, squash(repo, f.main, f.side))
	must.Succeed(t, err)
	return resp.GetSquashSha()
}

const mergeRef = "refs/merge-requests/1/merge"

func mergeToRef(repo *gitalypb.Repository, first, source string) *gitalypb.UserMergeToRefRequest {
	return &gitalypb.UserMergeToRefRequest{
		Repository: repo, User: user(), SourceSha: source, TargetRef: []byte(mergeRef), FirstParentRef: []byte(first),
		Message: []byte("merge"), Timestamp: at(),
	}
}

func rebaseToRef(repo *gitalypb.Repository, first, source string) *gitalypb.UserRebaseToRefRequest {
	return &gitalypb.UserRebaseToRefRequest{
		Repository: repo, User: user(), SourceSha: source, TargetRef: []byte(mergeRef), FirstParentRef: []byte(first), Timestamp: at(),
	}
}

func cherryPick(repo *gitalypb.Repository, branch, commit string) *gitalypb.UserCherryPickRequest {
	return &gitalypb.UserCherryPickRequest{
		Repository: repo, User: user(), Commit: &gitalypb.GitCommit{Id: commit}, BranchName: []byte(branch),
		Message: []byte("pick"), Timestamp: at(),
	}
}

func revert(repo *gitalypb.Repository, branch, commit string) *gitalypb.UserRevertRequest {
	return &gitalypb.UserRevertRequest{
		Repository: repo, User: user(), Commit: &gitalypb.GitCommit{Id: commit}, BranchName: []byte(branch),
		Message: []byte("revert"), Timestamp: at(),
	}
}

func squash(repo *gitalypb.Repository, start, end string) *gitalypb.UserSquashRequest {
	return &gitalypb.UserSquashRequest{
		Repository: repo, User: user(), Author: user(), StartSha: start, EndSha: end, CommitMessage: []byte("squash"), Timestamp: at(),
	}
}

func updateSubmodule(repo *gitalypb.Repository, branch, name, commit string) *gitalypb.UserUpdateSubmoduleRequest {
	return &gitalypb.UserUpdateSubmoduleRequest{
		Repository: repo, User: user(), CommitSha: commit, Branch: []byte(branch), Submodule: []byte(name),
		CommitMessage: []byte("submodule"), Timestamp: at(),
	}
}

// rebaseHeader is of a rebase of side onto main, of another repository or the
// same.
func rebaseHeader(repo, remote *gitalypb.Repository, side string) *gitalypb.UserRebaseConfirmableRequest_Header {
	return &gitalypb.UserRebaseConfirmableRequest_Header{
		Repository: repo, User: user(), Branch: []byte("side"), BranchSha: side,
		RemoteRepository: remote, RemoteBranch: []byte("main"), Timestamp: at(),
	}
}

// rebase returns the commit that a rebase offers, and applies it or not.
func rebase(ctx context.Context, edits gitalypb.OperationServiceClient, header *gitalypb.UserRebaseConfirmableRequest_Header, apply bool) (string, error) {
	stream, err := edits.UserRebaseConfirmable(ctx)
	if err != nil {
		return "", err
	}
	err = stream.Send(&gitalypb.UserRebaseConfirmableRequest{
		UserRebaseConfirmableRequestPayload: &gitalypb.UserRebaseConfirmableRequest_Header_{Header: header},
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	offered, err := stream.Recv()
	if err != nil {
		return "", err
	}
	err = stream.Send(&gitalypb.UserRebaseConfirmableRequest{
		UserRebaseConfirmableRequestPayload: &gitalypb.UserRebaseConfirmableRequest_Apply{Apply: apply},
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	done, err := stream.Recv()
	if err == nil && !done.GetRebaseApplied() {
		err = fmt.Errorf("got %v, want the end of the rebase", done)
	}
	return offered.GetRebaseSha(), errors.Join(err, drain(stream, nil))
}

// applyPatch sends a mailbox in two parts.
func applyPatch(ctx context.Context, edits gitalypb.OperationServiceClient, repo *gitalypb.Repository, branch, mailbox string) (*gitalypb.OperationBranchUpdate, error) {
	requests := []*gitalypb.UserApplyPatchRequest{{
		UserApplyPatchRequestPayload: &gitalypb.UserApplyPatchRequest_Header_{Header: &gitalypb.UserApplyPatchRequest_Header{
			Repository: repo, User: user(), TargetBranch: []byte(branch), Timestamp: at(),
		}},
	}}
	for _, part := range []string{mailbox[:len(mailbox)/2], mailbox[len(mailbox)/2:]} {
		requests = append(requests, &gitalypb.UserApplyPatchRequest{
			UserApplyPatchRequestPayload: &gitalypb.UserApplyPatchRequest_Patches{Patches: []byte(part)},
		})
	}
	resp, err := upload(ctx, edits.UserApplyPatch, requests...)
	return resp.GetBranchUpdate(), err
}

// addition is a mail that adds a file of one line, its name.
func addition(file string) string { return mail(file, "100644", file) }

// submoduleAddition is a mail that adds a submodule.
func submoduleAddition(name string) string {
	return mail(name, "160000", "Subproject commit 1111111111111111111111111111111111111111")
}

func mail(file, mode, line string) string {
	return fmt.Sprintf(`From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001
From: Mailer <mailer@example.org>
Date: Tue, 14 Nov 2023 22:13:20 +0000
Subject: [PATCH] Add %[1]s

---
diff --git a/%[1]s b/%[1]s
new file mode %[2]s
index 0000000..1111111
--- /dev/null
+++ b/%[1]s
@@ -0,0 +1 @@
+%[3]s
-- 
2.39.5

`, file, mode, line)
}
