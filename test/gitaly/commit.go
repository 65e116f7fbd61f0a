package gitaly

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	commit, err := h.findCommit(ctx, repo, string(req.GetRevision()))
	if err != nil {
		return nil, wire.Fault(err, "read commit")
	}
	if commit == nil {
		return &gitalypb.FindCommitResponse{}, nil
	}
	if req.GetTrailers() {
		if commit.Trailers, err = repo.trailers(ctx, commit.GetId()); err != nil {
			return nil, wire.Fault(err, "read trailers")
		}
	}
	return &gitalypb.FindCommitResponse{Commit: commit}, nil
}

// findCommit returns the commit that a revision leads to, nil for none.
func (h *handlers) findCommit(ctx context.Context, repo *repository, revision string) (*gitalypb.GitCommit, error) {
	name := revision + "^{commit}"
	if commit, ok := h.catFiles.commit(ctx, repo, name); ok {
		return commit, nil
	}
	var found *gitalypb.GitCommit
	err := repo.eachCommit(ctx, strings.NewReader(name+"\n"), func(commit *gitalypb.GitCommit) error {
		found = commit
		return nil
	})
	return found, err
}

// eachCommit calls found for every commit that a line of revisions leads to;
// lines that lead to none are passed over.
func (r *repository) eachCommit(ctx context.Context, revisions io.Reader, found func(*gitalypb.GitCommit) error) error {
	return r.run(ctx, command{
		args:   []string{"cat-file", "--batch"},
		stdin:  revisions,
		stdout: &commitWriter{each: found},
	})
}

// commitWriter takes git cat-file's answers apart; it holds no more than one.
type commitWriter struct {
	each func(*gitalypb.GitCommit) error
	rest []byte
}

// Write takes in p.
func (w *commitWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		head, content, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		o, err := parseObject(string(head))
		if err != nil {
			return 0, err
		}
		if o.kind == "" { // no such object: there is no content either
			w.rest = content
			continue
		}
		if int64(len(content)) < o.size+1 { // a line's end follows
			return len(p), nil
		}
		if o.kind == "commit" {
			commit, err := parseCommit(o.oid, bytes.Clone(content[:o.size]))
			if err == nil {
				err = w.each(commit)
			}
			if err != nil {
				return 0, err
			}
		}
		w.rest = content[o.size+1:]
	}
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
