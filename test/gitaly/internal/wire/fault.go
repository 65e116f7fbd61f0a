package wire

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault returns err with the status a client shall see, the attempt put
// before its text. A status within err keeps its code and details; the end of
// a context becomes Canceled or DeadlineExceeded; all else is Internal.
func Fault(err error, tried string) error {
	if err == nil {
		return nil
	}
	if inner, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		p := inner.GRPCStatus().Proto()
		p.Message = tried + ": " + p.GetMessage()
		return status.FromProto(p).Err()
	}
	code := codes.Internal
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Error(code, fmt.Sprintf("%s: %v", tried, err))
}

// InvalidArgument is the status of a request that no storage could serve.
func InvalidArgument(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// CheckFields refuses a repository field that names no repository: unset, or
// without a path or a storage.
func CheckFields(repo *gitalypb.Repository) error {
	switch {
	case repo.GetStorageName() == "" && repo.GetRelativePath() == "":
		return InvalidArgument("repository not set")
	case repo.GetRelativePath() == "":
		return InvalidArgument("repository path not set")
	case repo.GetStorageName() == "":
		return InvalidArgument("storage name not set")
	}
	return nil
}

// UnknownStorage is the status of a storage name that this server does not serve.
func UnknownStorage() error {
	return InvalidArgument("storage name not found")
}

// EscapingPath is the status of a relative path that leads out of its storage.
func EscapingPath() error {
	return InvalidArgument("relative path escapes root directory")
}

// RepositoryNotFound is the status of a call for a repository that is absent.
func RepositoryNotFound() error {
	return status.Error(codes.NotFound, "repository not found")
}

// RepositoryExists is the status of a creation where a repository is already.
func RepositoryExists() error {
	return status.Error(codes.AlreadyExists, "repository exists already")
}

// NothingToRemove is the status of the removal of an absent repository.
func NothingToRemove() error {
	return status.Error(codes.NotFound, "repository does not exist")
}

// InvalidSource is the status of a replication whose source is absent; the
// proxy matches on code and text.
func InvalidSource() error {
	return status.Error(codes.NotFound, "invalid source repository")
}

// Answer returns a response, or the error alone.
func Answer[T any](response *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return response, nil
}
