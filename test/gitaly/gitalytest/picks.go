package gitalytest

import (
	"maps"
	"slices"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
)

// parted makes a repository whose branches main, side and clash lead on from
// one commit; clash does not fit with main.
func (s *suite) parted(t *testing.T, repo *gitalypb.Repository) (f forked, clash string) {
	t.Helper()
	s.create(t, repo)
	base := s.commit(t, repo, "main", "", "base", "base")
	clash = s.commit(t, repo, "clash", base, "main", "otherwise")
	return s.fork(t, repo, base), clash
}

// wantFiles fails the test unless a commit has these files, and that author.
func (s *suite) wantFiles(t *testing.T, what string, repo *gitalypb.Repository, commit, author string, parents []string, files ...string) {
	t.Helper()
	resp, err := gitalypb.NewCommitServiceClient(s.Conn).FindCommit(s.ctx, &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte(commit)})
	if err != nil || resp.GetCommit() == nil {
		t.Errorf("%s: commit %q: got %v, %v", what, commit, resp, err)
		return
	}
	if got := string(resp.GetCommit().GetAuthor().GetName()); got != author {
		t.Errorf("%s: got the author %q, want %q", what, got, author)
	}
	if got := resp.GetCommit().GetParentIds(); !slices.Equal(got, parents) {
		t.Errorf("%s: got the parents %q, want %q", what, got, parents)
	}
	archive, err := bytesOf(s.repos.GetArchive(s.ctx, &gitalypb.GetArchiveRequest{
		Repository: repo, CommitId: commit, Format: gitalypb.GetArchiveRequest_TAR,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(unarchived(t, archive))); !slices.Equal(got, files) {
		t.Errorf("%s: got the files %q, want %q", what, got, files)
	}
}

// picks: made on a branch and on a new one, taken back, and refused.
func (s *suite) picks(t *testing.T) {
	repo := s.repository("a.git")
	f, clash := s.parted(t, repo)
	pick := func(change func(*gitalypb.UserCherryPickRequest)) (*gitalypb.OperationBranchUpdate, error) {
		req := cherryPick(repo, "main", f.side)
		change(req)
		resp, err := s.edits.UserCherryPick(s.ctx, req)
		return resp.GetBranchUpdate(), err
	}
	for _, row := range []struct {
		name   string
		change func(*gitalypb.UserCherryPickRequest)
		want   codes.Code
	}{
		{"that conflicts", func(r *gitalypb.UserCherryPickRequest) { r.Commit.Id = clash }, codes.FailedPrecondition},
		{"of what is there", func(r *gitalypb.UserCherryPickRequest) { r.Commit.Id = f.main }, codes.FailedPrecondition},
		{"of nothing", func(r *gitalypb.UserCherryPickRequest) { r.Commit.Id = zero }, codes.NotFound},
		{"on another one's", func(r *gitalypb.UserCherryPickRequest) { r.ExpectedOldOid = f.base }, codes.FailedPrecondition},
		{"not forward", func(r *gitalypb.UserCherryPickRequest) {
			r.BranchName, r.StartBranchName = []byte("clash"), []byte("main")
		}, codes.FailedPrecondition},
		{"from no branch", func(r *gitalypb.UserCherryPickRequest) { r.StartBranchName = []byte("absent") }, codes.NotFound},
		{"without message", func(r *gitalypb.UserCherryPickRequest) { r.Message = nil }, codes.InvalidArgument},
		{"tried only", func(r *gitalypb.UserCherryPickRequest) { r.DryRun = true }, codes.OK},
	} {
		_, err := pick(row.change)
		wantCode(t, "pick "+row.name, err, row.want)
		s.want(t, "pick "+row.name, repo, "refs/heads/main", f.main)
	}
	update, err := pick(func(r *gitalypb.UserCherryPickRequest) {
		r.BranchName, r.StartBranchName = []byte("new"), []byte("main")
		r.CommitAuthorName = []byte("Somebody")
	})
	if err != nil || !update.GetBranchCreated() {
		t.Errorf("pick on a new branch: got %v, %v", update, err)
	}
	s.want(t, "pick on a new branch", repo, "refs/heads/new", update.GetCommitId())
	s.wantFiles(t, "pick on a new branch", repo, update.GetCommitId(), "Somebody", []string{f.main}, "base", "main", "side")
	update, err = pick(func(*gitalypb.UserCherryPickRequest) {})
	if err != nil || update.GetBranchCreated() {
		t.Errorf("pick: got %v, %v", update, err)
	}
	picked := update.GetCommitId()
	s.want(t, "pick", repo, "refs/heads/main", picked)
	s.wantFiles(t, "pick", repo, picked, "U", []string{f.main}, "base", "main", "side")

	for _, row := range []struct {
		name, commit string
		want         codes.Code
	}{
		{"of what is not there", clash, codes.FailedPrecondition},
		{"of what is there", f.main, codes.OK},
		{"again", f.main, codes.FailedPrecondition},
	} {
		resp, err := s.edits.UserRevert(s.ctx, revert(repo, "main", row.commit))
		wantCode(t, "revert "+row.name, err, row.want)
		if err == nil {
			s.want(t, "revert", repo, "refs/heads/main", resp.GetBranchUpdate().GetCommitId())
			s.wantFiles(t, "revert", repo, resp.GetBranchUpdate().GetCommitId(), "U", []string{picked}, "base", "side")
		}
	}
}

// toReferences: merges and rebases that move no branch.
func (s *suite) toReferences(t *testing.T) {
	repo := s.repository("a.git")
	f, clash := s.parted(t, repo)
	var last string
	for _, row := range []struct {
		name, source, expected, target string
		want                           codes.Code
	}{
		{"of what conflicts", clash, "", mergeRef, codes.FailedPrecondition},
		{"of nothing", zero, "", mergeRef, codes.InvalidArgument},
		{"to a branch", f.side, "", "refs/heads/main", codes.InvalidArgument},
		{"to what is elsewhere", f.side, f.base, mergeRef, codes.FailedPrecondition},
		{"to what is absent", f.side, zero, mergeRef, codes.OK},
		{"to what is there", f.side, "", mergeRef, codes.OK},
	} {
		merge := mergeToRef(repo, "refs/heads/main", row.source)
		merge.ExpectedOldOid, merge.TargetRef = row.expected, []byte(row.target)
		merged, err := s.edits.UserMergeToRef(s.ctx, merge)
		wantCode(t, "merge "+row.name, err, row.want)
		if err == nil {
			last = merged.GetCommitId()
			s.wantFiles(t, "merge", repo, last, "U", []string{f.main, f.side}, "base", "main", "side")
		}
		s.want(t, "merge "+row.name, repo, mergeRef, last)
	}
	rebase := rebaseToRef(repo, "refs/heads/main", clash)
	_, err := s.edits.UserRebaseToRef(s.ctx, rebase)
	wantCode(t, "rebase of what conflicts", err, codes.FailedPrecondition)
	s.want(t, "rebase of what conflicts", repo, mergeRef, last)
	rebase.SourceSha = f.side
	rebased, err := s.edits.UserRebaseToRef(s.ctx, rebase)
	wantCode(t, "rebase", err, codes.OK)
	s.want(t, "rebase", repo, mergeRef, rebased.GetCommitId())
	s.wantFiles(t, "rebase", repo, rebased.GetCommitId(), "U", []string{f.main}, "base", "main", "side")
	s.want(t, "in the end", repo, "refs/heads/main", f.main)
	s.want(t, "in the end", repo, "refs/heads/side", f.side)
}

// rebases: of a branch onto one of the same repository, and of another.
func (s *suite) rebases(t *testing.T) {
	repo, other := s.repository("a.git"), s.repository("b.git")
	f, clash := s.parted(t, repo)
	header := rebaseHeader(repo, repo, f.side)
	_, err := rebase(s.ctx, s.edits, header, false)
	wantCode(t, "not applied", err, codes.FailedPrecondition)
	s.want(t, "not applied", repo, "refs/heads/side", f.side)
	header.BranchSha = f.base
	_, err = rebase(s.ctx, s.edits, header, true)
	wantCode(t, "of what is elsewhere", err, codes.FailedPrecondition)
	header.BranchSha = clash
	_, err = rebase(s.ctx, s.edits, header, true)
	wantCode(t, "of what conflicts", err, codes.FailedPrecondition)
	header.BranchSha = f.side
	rebased, err := rebase(s.ctx, s.edits, header, true)
	wantCode(t, "rebase", err, codes.OK)
	s.want(t, "rebase", repo, "refs/heads/side", rebased)
	s.wantFiles(t, "rebase", repo, rebased, "U", []string{f.main}, "base", "main", "side")
	header.BranchSha = rebased
	again, err := rebase(s.ctx, s.edits, header, true)
	if err != nil || again != rebased {
		t.Errorf("again: got %q, %v, want %q", again, err, rebased)
	}

	s.create(t, other)
	theirs := s.commit(t, other, "main", s.commit(t, other, "main", "", "base", "base"), "theirs", "theirs")
	header.RemoteRepository = other
	rebased, err = rebase(s.context(t), s.edits, header, true)
	wantCode(t, "onto another repository's", err, codes.OK)
	s.want(t, "onto another repository's", repo, "refs/heads/side", rebased)
	s.wantFiles(t, "onto another repository's", repo, rebased+"~1", "U", []string{theirs}, "base", "main", "theirs")
}

// madeCommits: squashes, mails and submodules.
func (s *suite) madeCommits(t *testing.T) {
	repo := s.repository("a.git")
	f, clash := s.parted(t, repo)
	_, err := s.edits.UserSquash(s.ctx, squash(repo, f.main, clash))
	wantCode(t, "squash of what conflicts", err, codes.FailedPrecondition)
	_, err = s.edits.UserSquash(s.ctx, squash(repo, zero, f.side))
	wantCode(t, "squash from nothing", err, codes.InvalidArgument)
	squashed, err := s.edits.UserSquash(s.ctx, squash(repo, f.main, f.side))
	wantCode(t, "squash", err, codes.OK)
	s.wantFiles(t, "squash", repo, squashed.GetSquashSha(), "U", []string{f.main}, "base", "main", "side")

	_, err = applyPatch(s.ctx, s.edits, repo, "main", addition("main"))
	wantCode(t, "mail that conflicts", err, codes.FailedPrecondition)
	s.want(t, "mail that conflicts", repo, "refs/heads/main", f.main)
	update, err := applyPatch(s.ctx, s.edits, repo, "mails", addition("one")+addition("two"))
	if err != nil || !update.GetBranchCreated() {
		t.Errorf("mails to a new branch: got %v, %v", update, err)
	}
	s.want(t, "mails to a new branch", repo, "refs/heads/mails", update.GetCommitId())
	s.wantFiles(t, "mails to a new branch", repo, update.GetCommitId()+"~1", "Mailer", []string{f.main}, "base", "main", "one")

	update, err = applyPatch(s.ctx, s.edits, repo, "main", submoduleAddition("sub"))
	if err != nil || update.GetBranchCreated() {
		t.Errorf("mail with a submodule: got %v, %v", update, err)
	}
	s.want(t, "mail with a submodule", repo, "refs/heads/main", update.GetCommitId())
	for _, row := range []struct {
		name, path, commit, said string
	}{
		{"that is none", "main", f.base, "Invalid submodule path"},
		{"where it is", "sub", "1111111111111111111111111111111111111111", "The submodule sub is already at 1111111111111111111111111111111111111111"},
		{"elsewhere", "sub", f.base, ""},
	} {
		resp, err := s.edits.UserUpdateSubmodule(s.ctx, updateSubmodule(repo, "main", row.path, row.commit))
		if err != nil || resp.GetCommitError() != row.said {
			t.Errorf("submodule %s: got %v, %v, want %q", row.name, resp, err, row.said)
		}
		if row.said == "" {
			s.want(t, "submodule", repo, "refs/heads/main", resp.GetBranchUpdate().GetCommitId())
		}
	}
}
