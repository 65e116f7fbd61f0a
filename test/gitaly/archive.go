package gitaly

import (
	"path"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// GetArchive sends the files of a commit, or of a directory of it, as an
// archive.
func (h *handlers) GetArchive(req *gitalypb.GetArchiveRequest, stream gitalypb.RepositoryService_GetArchiveServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	if err := wire.CheckRevision(req.GetCommitId()); err != nil {
		return wire.Fault(err, "invalid commitId")
	}
	if req.GetIncludeLfsBlobs() {
		return status.Error(codes.Unimplemented, "LFS blobs are not served")
	}
	format, ok := map[gitalypb.GetArchiveRequest_Format]string{
		gitalypb.GetArchiveRequest_ZIP:     "zip",
		gitalypb.GetArchiveRequest_TAR:     "tar",
		gitalypb.GetArchiveRequest_TAR_GZ:  "tar.gz",
		gitalypb.GetArchiveRequest_TAR_BZ2: "tar.bz2",
	}[req.GetFormat()]
	if !ok {
		return wire.InvalidArgument("invalid format")
	}
	args := []string{"archive", "--format=" + format}
	if prefix := req.GetPrefix(); prefix != "" {
		args = append(args, "--prefix="+prefix+"/")
	}
	inside := path.Clean(string(req.GetPath()))
	root := req.GetCommitId()
	if inside != "." && req.GetElidePath() {
		root += ":" + inside
		inside = "."
	}
	oid, err := repo.resolve(stream.Context(), root)
	switch {
	case err != nil:
		return wire.Fault(err, "resolve commit")
	case oid == "":
		return status.Error(codes.FailedPrecondition, "path doesn't exist")
	}
	args = append(args, oid, "--")
	if inside != "." {
		args = append(args, ":(literal)"+inside)
	}
	for _, exclude := range req.GetExclude() {
		args = append(args, ":(exclude)"+string(exclude))
	}
	err = repo.run(stream.Context(), command{
		config: []string{"tar.tar.bz2.command=bzip2 -c"},
		args:   args,
		stdout: wire.Sender(func(chunk []byte) error {
			return stream.Send(&gitalypb.GetArchiveResponse{Data: chunk})
		}),
	})
	return failedAs(codes.FailedPrecondition, err, "archive")
}
