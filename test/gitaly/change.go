package gitaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// refChange is a user's change of a reference.
type refChange struct {
	user *gitalypb.User
	repo *gitalypb.Repository // as the request names it
	ref  string
	old  string // zero: it is absent
	new  string // zero: it is deleted
}

// change makes a user's change, with the hooks that a push would run. Its
// error is a *gitError if git refused it, a *hookRefusal if a hook did.
func (r *repository) change(ctx context.Context, c refChange) error {
	if vote.From(ctx) == nil && !r.hasCustomHooks() {
		return r.updateRef(ctx, c.ref, c.new, c.old)
	}
	line := fmt.Sprintf("%s %s %s\n", c.old, c.new, c.ref)
	if err := r.runHook(ctx, c, line, preReceive); err != nil {
		return err
	}
	if err := r.runHook(ctx, c, "", updateHook, c.ref, c.old, c.new); err != nil {
		return err
	}
	update := r.refUpdate(c.ref, c.new, c.old)
	update.hears = true
	if err := r.git.run(ctx, update); err != nil {
		return err
	}
	return r.runHook(ctx, c, line, postReceive)
}

// runHook runs a hook as git does in a push.
func (r *repository) runHook(ctx context.Context, c refChange, input string, args ...string) error {
	var stdout, stderr bytes.Buffer
	err := r.run(ctx, command{
		program: filepath.Join(r.storage.hooksDir(), args[0]),
		args:    args,
		env:     append(pusher(c.user.GetGlId(), c.user.GetGlUsername(), c.repo.GetGlRepository(), "web"), "GIT_PUSH_OPTION_COUNT=0"),
		stdin:   strings.NewReader(input),
		stdout:  &stdout,
		stderr:  &stderr,
	})
	if _, refused := errors.AsType[*gitError](err); refused {
		return &hookRefusal{hook: args[0], stdout: stdout.Bytes(), stderr: stderr.Bytes()}
	}
	return err
}

// pusher is the environment that tells hooks the author of a change.
func pusher(id, name, repository, protocol string) []string {
	return []string{"GL_ID=" + id, "GL_USERNAME=" + name, "GL_REPOSITORY=" + repository, "GL_PROTOCOL=" + protocol}
}

// hookRefusal is the error of a change that one of the repository's own hooks
// refused.
type hookRefusal struct {
	hook   string
	stdout []byte
	stderr []byte
}

// Error returns the hook's output.
func (e *hookRefusal) Error() string {
	if said := bytes.TrimSpace(e.stderr); len(said) > 0 {
		return string(said)
	}
	if said := bytes.TrimSpace(e.stdout); len(said) > 0 {
		return string(said)
	}
	return e.hook + " hook declined"
}

// details returns it as Gitaly's clients get it.
func (e *hookRefusal) details() *gitalypb.CustomHookError {
	kind := gitalypb.CustomHookError_HOOK_TYPE_PRERECEIVE
	if e.hook == updateHook {
		kind = gitalypb.CustomHookError_HOOK_TYPE_UPDATE
	}
	return &gitalypb.CustomHookError{Stdout: e.stdout, Stderr: e.stderr, HookType: kind}
}

// changed is the status of a commit whose change ended with err.
func changed(err error, c refChange) error {
	if hook, ok := errors.AsType[*hookRefusal](err); ok {
		return withDetails(status.New(codes.PermissionDenied, hook.Error()), &gitalypb.UserCommitFilesError{
			Error: &gitalypb.UserCommitFilesError_CustomHook{CustomHook: hook.details()},
		})
	}
	if _, ok := errors.AsType[*gitError](err); ok {
		return status.Errorf(codes.FailedPrecondition, "Could not update %s. Please refresh and try again.", c.ref)
	}
	return wire.Fault(err, "update reference")
}

// withDetails returns a status with details as its error.
func withDetails(fault *status.Status, details protoadapt.MessageV1) error {
	detailed, err := fault.WithDetails(details)
	if err != nil {
		return wire.Fault(err, fault.Message())
	}
	return detailed.Err()
}
