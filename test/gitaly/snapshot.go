package gitaly

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// GetSnapshot sends HEAD, references and objects as an archive of files that
// are a repository when they are unpacked. References are listed first: what
// they lead to is among the objects, whatever is written meanwhile.
func (h *handlers) GetSnapshot(req *gitalypb.GetSnapshotRequest, stream gitalypb.RepositoryService_GetSnapshotServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(wire.Sender(func(chunk []byte) error {
		return stream.Send(&gitalypb.GetSnapshotResponse{Data: chunk})
	}), wire.ChunkSize)
	err = repo.snapshot(stream.Context(), out)
	if err == nil {
		err = out.Flush()
	}
	return wire.Fault(err, "building snapshot failed")
}

func (r *repository) snapshot(ctx context.Context, out io.Writer) error {
	w := tar.NewWriter(out)
	refs, err := r.output(ctx, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return err
	}
	if err := tarFile(w, filepath.Join(r.path, "HEAD"), "HEAD"); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "packed-refs", Size: int64(len(refs)), Mode: 0o644}); err != nil {
		return err
	}
	if _, err := w.Write(refs); err != nil {
		return err
	}
	// git needs the directory to know a repository by.
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "refs/", Mode: 0o755}); err != nil {
		return err
	}
	dirs, err := r.objectDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := tarTree(w, dir, "objects", isObjectFile); err != nil {
			return err
		}
	}
	return w.Close()
}

// isObjectFile tells packs and loose objects from what else is beside them.
func isObjectFile(relative string) bool {
	dir, name := filepath.Split(relative)
	switch {
	case strings.Contains(relative, "tmp_"):
		return false
	case dir == "pack/":
		return strings.HasSuffix(name, ".pack") || strings.HasSuffix(name, ".idx")
	}
	return len(dir) == len("ab/") && strings.Trim(name, "0123456789abcdef") == ""
}

// CreateRepositoryFromSnapshot makes a repository out of what GetSnapshot sent
// and an HTTP server passes on.
func (h *handlers) CreateRepositoryFromSnapshot(ctx context.Context, req *gitalypb.CreateRepositoryFromSnapshotRequest) (*gitalypb.CreateRepositoryFromSnapshotResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	switch {
	case req.GetHttpUrl() == "":
		return nil, wire.InvalidArgument("empty http_url")
	case req.GetResolvedAddress() != "":
		return nil, status.Error(codes.Unimplemented, "resolved addresses are not served")
	}
	err = h.create(ctx, target, nil, func(ctx context.Context, draft *repository) error {
		return unpackSnapshot(ctx, draft, req.GetHttpUrl(), req.GetHttpAuth())
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.CreateRepositoryFromSnapshotResponse{}, nil
}

func unpackSnapshot(ctx context.Context, draft *repository, url, authorization string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return wire.InvalidArgument("snapshot: %v", err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	// A client of its own: no connection outlives the call.
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("get snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get snapshot: server answered %q", resp.Status)
	}
	return untar(draft.path, resp.Body)
}

// objectDirs returns where the repository has objects: its own directory and
// those that it borrows from.
func (r *repository) objectDirs() ([]string, error) {
	own := filepath.Join(r.path, "objects")
	raw, err := os.ReadFile(filepath.Join(own, "info", "alternates"))
	if errors.Is(err, fs.ErrNotExist) {
		return []string{own}, nil
	}
	if err != nil {
		return nil, err
	}
	dirs := []string{own}
	for line := range bytes.Lines(raw) {
		dir := string(bytes.TrimRight(line, "\n"))
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(own, dir)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}
