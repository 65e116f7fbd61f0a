package gitaly

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/wire"
)

// UserCreateTag makes a tag that is absent: an object of its own if there is a
// message, else a name for the target.
func (h *handlers) UserCreateTag(ctx context.Context, req *gitalypb.UserCreateTagRequest) (*gitalypb.UserCreateTagResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if err := checkTag(req); err != nil {
		return nil, err
	}
	ref := "refs/tags/" + string(req.GetTagName())
	target, err := repo.resolve(ctx, string(req.GetTargetRevision())+"^{object}")
	switch {
	case err != nil:
		return nil, wire.Fault(err, "resolve target revision")
	case target == "":
		return nil, status.Errorf(codes.FailedPrecondition, "revspec '%s' not found", req.GetTargetRevision())
	}
	commit, err := h.findCommit(ctx, repo, target)
	if err != nil {
		return nil, wire.Fault(err, "read target")
	}
	tag := &gitalypb.Tag{Name: req.GetTagName(), Id: target, TargetCommit: commit}
	if message := req.GetMessage(); len(message) > 0 {
		if tag.Id, err = h.makeTag(ctx, repo, req, target); err != nil {
			return nil, wire.Fault(err, "make tag")
		}
		tag.Message, tag.MessageSize = message, int64(len(message))
	}
	current, err := repo.value(ctx, ref)
	switch {
	case err != nil:
		return nil, wire.Fault(err, "look up tag")
	case current != zeroOID:
		exists := &gitalypb.ReferenceExistsError{ReferenceName: []byte(ref), Oid: current}
		return nil, withDetails(status.New(codes.AlreadyExists, "tag already exists"), &gitalypb.UserCreateTagError{
			Error: &gitalypb.UserCreateTagError_ReferenceExists{ReferenceExists: exists},
		})
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: zeroOID, new: tag.GetId()}
	err = changed(repo.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook != nil {
			return &gitalypb.UserCreateTagError{Error: &gitalypb.UserCreateTagError_CustomHook{CustomHook: why.hook}}
		}
		return &gitalypb.UserCreateTagError{Error: &gitalypb.UserCreateTagError_ReferenceUpdate{ReferenceUpdate: why.update}}
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserCreateTagResponse{Tag: tag}, nil
}

func checkTag(req *gitalypb.UserCreateTagRequest) error {
	if len(req.GetTagName()) == 0 {
		return wire.InvalidArgument("empty tag name")
	}
	if err := wire.CheckRevision(string(req.GetTagName())); err != nil {
		return err
	}
	if err := wire.CheckRevision(string(req.GetTargetRevision())); err != nil {
		return wire.Fault(err, "target revision")
	}
	return checkUser(req.GetUser())
}

// makeTag writes a tag object and returns its id.
func (h *handlers) makeTag(ctx context.Context, repo *repository, req *gitalypb.UserCreateTagRequest, target string) (string, error) {
	kind, err := repo.output(ctx, "cat-file", "-t", target)
	if err != nil {
		return "", err
	}
	date, err := dateOf(req.GetUser(), req.GetTimestamp())
	if err != nil {
		return "", err
	}
	object := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger %s <%s> %s\n\n%s\n",
		target, strings.TrimSpace(string(kind)), req.GetTagName(), req.GetUser().GetName(), req.GetUser().GetEmail(), date,
		strings.TrimRight(string(req.GetMessage()), "\n"))
	out, err := h.git.output(ctx, command{repo: repo, args: []string{"mktag"}, stdin: strings.NewReader(object)})
	return strings.TrimSpace(string(out)), err
}

// UserDeleteTag deletes a tag.
func (h *handlers) UserDeleteTag(ctx context.Context, req *gitalypb.UserDeleteTagRequest) (*gitalypb.UserDeleteTagResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if len(req.GetTagName()) == 0 {
		return nil, wire.InvalidArgument("empty tag name")
	}
	if err := wire.CheckRevision(string(req.GetTagName())); err != nil {
		return nil, err
	}
	if err := checkUser(req.GetUser()); err != nil {
		return nil, err
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: "refs/tags/" + string(req.GetTagName()), new: zeroOID}
	if change.old, err = repo.value(ctx, change.ref); err != nil {
		return nil, wire.Fault(err, "look up tag")
	}
	if change.old == zeroOID {
		return nil, status.Errorf(codes.FailedPrecondition, "tag not found: %s", req.GetTagName())
	}
	if expected := req.GetExpectedOldOid(); expected != "" {
		change.old = expected
	}
	err = repo.change(ctx, change)
	if hook, ok := errors.AsType[*hookRefusal](err); ok {
		return &gitalypb.UserDeleteTagResponse{PreReceiveError: hook.Error()}, nil
	}
	if err != nil {
		return nil, changed(err, change, nil)
	}
	return &gitalypb.UserDeleteTagResponse{}, nil
}
