package gitaly

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// CreateRepositoryFromBundle makes a repository with the objects and
// references of the bundle that is streamed in.
func (h *handlers) CreateRepositoryFromBundle(stream gitalypb.RepositoryService_CreateRepositoryFromBundleServer) error {
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	target, err := h.locate(first.GetRepository())
	if err != nil {
		return err
	}
	data := first.GetData()
	receive := func() ([]byte, error) {
		if chunk := data; len(chunk) > 0 {
			data = nil
			return chunk, nil
		}
		req, err := stream.Recv()
		return req.GetData(), err
	}
	err = h.create(stream.Context(), target, nil, func(ctx context.Context, draft *repository) error {
		return h.unbundle(ctx, draft, receive)
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&gitalypb.CreateRepositoryFromBundleResponse{})
}

// unbundle fills the new repository from a bundle. The bundle passes through a
// pipe, so it takes no room but that of its objects.
func (h *handlers) unbundle(ctx context.Context, draft *repository, receive func() ([]byte, error)) error {
	feed, err := h.feed(ctx, receive)
	if err != nil {
		return err
	}
	defer feed.stop()
	listing, err := h.git.output(feed.ctx, command{
		repo:  draft,
		args:  []string{"bundle", "unbundle", "/dev/stdin"},
		stdin: feed.stdin,
	})
	if err != nil {
		return err
	}
	var update bytes.Buffer
	var head string
	branches := make(map[string]string) // name to object id
	for line := range strings.Lines(string(listing)) {
		oid, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case !ok:
			return fmt.Errorf("malformed line %q in the list of references", line)
		case name == "HEAD":
			head = oid
			continue
		case strings.HasPrefix(name, "refs/heads/"):
			branches[name] = oid
		}
		fmt.Fprintf(&update, "create %s %s\n", name, oid)
	}
	if err := draft.run(ctx, command{args: []string{"update-ref", "--stdin"}, stdin: &update}); err != nil {
		return err
	}
	if branch := guessHead(head, branches); branch != "" {
		return draft.setHead(ctx, branch)
	}
	return nil
}

// guessHead returns the branch that HEAD named where the bundle was made: a
// bundle has only the object that it led to. Nothing if no branch fits.
func guessHead(head string, branches map[string]string) string {
	var fitting []string
	for name, oid := range branches {
		if oid == head {
			fitting = append(fitting, name)
		}
	}
	slices.Sort(fitting)
	for _, usual := range []string{defaultBranch, legacyDefaultBranch} {
		if slices.Contains(fitting, usual) {
			return usual
		}
	}
	if len(fitting) > 0 {
		return fitting[0]
	}
	return ""
}
