package gitaly

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/gitaly/internal/wire"
)

// FindCommit returns the commit that a revision leads to, none if it leads to
// no commit.
func (h *handlers) FindCommit(ctx context.Context, req *gitalypb.FindCommitRequest) (*gitalypb.FindCommitResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if err := wire.CheckRevision(string(req.GetRevision())); err != nil {
		return nil, err
	}
	out, err := h.git.output(ctx, command{
		repo:  repo,
		args:  []string{"cat-file", "--batch"},
		stdin: strings.NewReader(string(req.GetRevision()) + "^{commit}\n"),
	})
	if err != nil {
		return nil, wire.Fault(err, "read commit")
	}
	head, rest, _ := bytes.Cut(out, []byte("\n"))
	o, err := parseObject(string(head))
	if err != nil {
		return nil, wire.Fault(err, "read commit")
	}
	if o.kind != "commit" || int64(len(rest)) < o.size {
		return &gitalypb.FindCommitResponse{}, nil
	}
	commit, err := parseCommit(o.oid, rest[:o.size])
	if err != nil {
		return nil, wire.Fault(err, "read commit")
	}
	if req.GetTrailers() {
		if commit.Trailers, err = repo.trailers(ctx, o.oid); err != nil {
			return nil, wire.Fault(err, "read trailers")
		}
	}
	return &gitalypb.FindCommitResponse{Commit: commit}, nil
}

// parseCommit reads a commit object.
func parseCommit(oid string, raw []byte) (*gitalypb.GitCommit, error) {
	header, message, _ := bytes.Cut(raw, []byte("\n\n"))
	subject, _, _ := bytes.Cut(message, []byte("\n"))
	commit := &gitalypb.GitCommit{Id: oid, Subject: subject, Body: message, BodySize: int64(len(message))}
	for line := range strings.Lines(string(header)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var err error
		switch key {
		case "tree":
			commit.TreeId = value
		case "parent":
			commit.ParentIds = append(commit.ParentIds, value)
		case "author":
			commit.Author, err = parseAuthor(value)
		case "committer":
			commit.Committer, err = parseAuthor(value)
		case "encoding":
			commit.Encoding = value
		case "gpgsig":
			commit.SignatureType = signatureType(value)
		}
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", oid, err)
		}
	}
	return commit, nil
}

// parseAuthor reads "Name <email> seconds zone".
func parseAuthor(line string) (*gitalypb.CommitAuthor, error) {
	name, rest, ok := strings.Cut(line, "<")
	end := strings.LastIndexByte(rest, '>')
	if !ok || end < 0 {
		return nil, fmt.Errorf("malformed author %q", line)
	}
	author := &gitalypb.CommitAuthor{Name: []byte(strings.TrimSpace(name)), Email: []byte(rest[:end])}
	when := strings.Fields(rest[end+1:])
	if len(when) != 2 {
		return author, nil // git shows such commits too, without a date
	}
	seconds, err := strconv.ParseInt(when[0], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("malformed date of author %q: %w", line, err)
	}
	author.Date = timestamppb.New(time.Unix(seconds, 0))
	author.Timezone = []byte(when[1])
	return author, nil
}

func signatureType(firstLine string) gitalypb.SignatureType {
	switch {
	case strings.HasPrefix(firstLine, "-----BEGIN SIGNED MESSAGE"):
		return gitalypb.SignatureType_X509
	case strings.HasPrefix(firstLine, "-----BEGIN SSH SIGNATURE"):
		return gitalypb.SignatureType_SSH
	case strings.HasPrefix(firstLine, "-----BEGIN PGP"):
		return gitalypb.SignatureType_PGP
	}
	return gitalypb.SignatureType_NONE
}

// trailers returns the key: value lines at the end of a commit's message.
func (r *repository) trailers(ctx context.Context, oid string) ([]*gitalypb.CommitTrailer, error) {
	out, err := r.output(ctx, "show", "--no-patch", "--format=%(trailers:only,unfold,separator=%x00)", oid)
	if err != nil {
		return nil, err
	}
	var trailers []*gitalypb.CommitTrailer
	for pair := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n"), "\x00") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, fmt.Errorf("malformed trailer %q", pair)
		}
		trailers = append(trailers, &gitalypb.CommitTrailer{Key: []byte(key), Value: []byte(strings.TrimSpace(value))})
	}
	return trailers, nil
}
