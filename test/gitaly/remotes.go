package gitaly

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// FetchBundle takes over all references of the bundle that is streamed in.
func (h *handlers) FetchBundle(stream gitalypb.RepositoryService_FetchBundleServer) error {
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	repo, err := h.existing(first.GetRepository())
	if err != nil {
		return err
	}
	data := &receiver{data: first.GetData(), receive: func() ([]byte, error) {
		req, err := stream.Recv()
		return req.GetData(), err
	}}
	err = repo.storage.inTemp(func(dir string) error {
		// git reads a bundle more than once.
		bundle := filepath.Join(dir, "bundle")
		if err := writeFile(bundle, data); err != nil {
			return err
		}
		if err := repo.run(stream.Context(), fetchCommand(bundle, []string{"+refs/*:refs/*"})); err != nil {
			return err
		}
		if !first.GetUpdateHead() {
			return nil
		}
		return repo.takeHead(stream.Context(), bundle)
	})
	if err != nil {
		return wire.Fault(err, "fetch bundle")
	}
	return stream.SendAndClose(&gitalypb.FetchBundleResponse{})
}

func writeFile(path string, content io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// takeHead makes HEAD name the branch that HEAD seems to name in what git
// takes for a repository, if that has one.
func (r *repository) takeHead(ctx context.Context, from string) error {
	listing, err := r.output(ctx, "ls-remote", "--symref", from, "HEAD", "refs/heads/*")
	if err != nil {
		return err
	}
	var head string
	branches := make(map[string]string)
	for line := range strings.Lines(string(listing)) {
		value, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		target, symbolic := strings.CutPrefix(value, "ref: ")
		switch {
		case symbolic && name == "HEAD":
			return r.setHead(ctx, target)
		case name == "HEAD":
			head = value
		default:
			branches[name] = value
		}
	}
	if branch := guessHead(head, branches); branch != "" {
		return r.setHead(ctx, branch)
	}
	return nil
}

// FetchRemote takes over references of a repository elsewhere.
func (h *handlers) FetchRemote(ctx context.Context, req *gitalypb.FetchRemoteRequest) (*gitalypb.FetchRemoteResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	remote := req.GetRemoteParams()
	if err := checkURL(remote.GetUrl(), remote.GetResolvedAddress()); err != nil {
		return nil, err
	}
	if req.GetSshKey() != "" || req.GetKnownHosts() != "" {
		return nil, status.Error(codes.Unimplemented, "fetching over SSH is not served")
	}
	var wanted []string
	if !req.GetNoPrune() {
		wanted = append(wanted, "--prune")
	}
	wanted = append(wanted, refmaps(remote.GetMirrorRefmaps())...)
	if !req.GetNoTags() {
		wanted = append(wanted, "+refs/tags/*:refs/tags/*")
	}
	if timeout := req.GetTimeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(timeout)*time.Second)
		defer cancel()
	}
	before, err := repo.tags(ctx)
	if err != nil {
		return nil, wire.Fault(err, "list tags")
	}
	fetch := fetchCommand(remote.GetUrl(), wanted)
	fetch.config = append(fetch.config, authorization(remote.GetHttpAuthorizationHeader())...)
	if err := repo.run(ctx, fetch); err != nil {
		return nil, wire.Fault(err, "fetch remote")
	}
	after, err := repo.tags(ctx)
	if err != nil {
		return nil, wire.Fault(err, "list tags")
	}
	return &gitalypb.FetchRemoteResponse{TagsChanged: !req.GetCheckTagsChanged() || before != after}, nil
}

// refmaps turns Gitaly's words for sets of references into refspecs.
func refmaps(wanted []string) []string {
	var refspecs []string
	for _, refmap := range wanted {
		switch refmap {
		case "all_refs":
			refmap = "+refs/*:refs/*"
		case "heads":
			refmap = "+refs/heads/*:refs/heads/*"
		case "tags":
			refmap = "+refs/tags/*:refs/tags/*"
		}
		refspecs = append(refspecs, refmap)
	}
	if len(refspecs) == 0 {
		refspecs = append(refspecs, "+refs/*:refs/*")
	}
	return refspecs
}

func (r *repository) tags(ctx context.Context) (string, error) {
	out, err := r.output(ctx, "for-each-ref", "refs/tags/")
	return string(out), err
}

// CreateRepositoryFromURL makes a copy of a repository elsewhere: branches and
// tags, or all references for a mirror.
func (h *handlers) CreateRepositoryFromURL(ctx context.Context, req *gitalypb.CreateRepositoryFromURLRequest) (*gitalypb.CreateRepositoryFromURLResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if err := checkURL(req.GetUrl(), req.GetResolvedAddress()); err != nil {
		return nil, err
	}
	wanted := []string{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}
	if req.GetMirror() {
		wanted = []string{"+refs/*:refs/*"}
	}
	err = h.create(ctx, target, nil, func(ctx context.Context, draft *repository) error {
		fetch := fetchCommand(req.GetUrl(), wanted)
		fetch.config = append(fetch.config, authorization(req.GetHttpAuthorizationHeader())...)
		if err := draft.run(ctx, fetch); err != nil {
			return err
		}
		return draft.takeHead(ctx, req.GetUrl())
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.CreateRepositoryFromURLResponse{}, nil
}

func checkURL(url, resolved string) error {
	switch {
	case url == "":
		return wire.InvalidArgument("empty URL")
	case strings.HasPrefix(url, "-"):
		return wire.InvalidArgument("URL can't start with '-'")
	case resolved != "":
		return status.Error(codes.Unimplemented, "resolved addresses are not served")
	}
	return nil
}

// authorization is the setting that sends a header along, none if it is empty.
func authorization(header string) []string {
	if header == "" {
		return nil
	}
	return []string{"http.extraHeader=Authorization: " + header}
}
