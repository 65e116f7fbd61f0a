package gitalytest

import (
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// mutator is a write that votes, on a repository as the suite prepares it: with
// branches main, topic and gone, and without the one named absent.
type mutator struct {
	name string
	// place is the path of the repository that it writes to.
	place string
	// before makes its other preconditions; nil for nothing.
	before func(t test, r repo)
	do     func(t test, c ctx, to conn, r repo, o Objects) error
}

const (
	present  = "present.git"
	absent   = "absent.git"
	poolPath = "@pools/ab/cd/abcd000000000000000000000000000000000000000000000000000000000001.git"
	newPool  = "@pools/ab/cd/abcd000000000000000000000000000000000000000000000000000000000002.git"
	// source is the path of a repository that others are made from.
	source = "source.git"
)

// mutators are the writes that both storages serve.
func (s *suite) mutators() []mutator {
	repos := gitalypb.NewRepositoryServiceClient
	return []mutator{
		{"WriteRef", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("refs/heads/main"), Revision: []byte(o.Commits[2])}))
		}},
		{"WriteRef of HEAD", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("HEAD"), Revision: []byte("refs/heads/topic")}))
		}},
		{"CreateRepository", absent, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).CreateRepository(c, &gitalypb.CreateRepositoryRequest{Repository: r}))
		}},
		{"RemoveRepository", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).RemoveRepository(c, &gitalypb.RemoveRepositoryRequest{Repository: r}))
		}},
		{"PostReceivePack", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return push(c, to, r, deletion("refs/heads/gone", o.Commits[0]))
		}},
	}
}
