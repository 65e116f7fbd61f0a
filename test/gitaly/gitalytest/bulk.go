package gitalytest

import (
	"maps"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"

	"praefect/test/must"
)

// replicate: the target becomes equal to the source, however it was.
func (s *suite) replicate(t *testing.T) {
	source, target := s.repository("a.git"), named(s.Other, "group/a.git")
	objects := s.seeded(t, source, map[string]int{"refs/heads/main": 0, "refs/heads/gone": 1, "refs/keep/around": 2})
	replicate := func(what string) {
		t.Helper()
		_, err := s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: source})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, want := s.sum(t, target), s.sum(t, source); got != want {
			t.Errorf("%s: got checksum %q, want %q", what, got, want)
		}
		if got, want := s.listed(t, target, "refs/"), s.listed(t, source, "refs/"); !maps.Equal(got, want) {
			t.Errorf("%s: got references %v, want %v", what, got, want)
		}
		if got, want := s.headOf(t, target), s.headOf(t, source); got != want {
			t.Errorf("%s: got HEAD %q, want %q", what, got, want)
		}
	}
	zero := strings.Repeat("0", 40)
	replicate("absent target")
	replicate("equal target")
	s.write(t, source, "refs/heads/main", objects.Commits[2], "")
	s.write(t, source, "refs/heads/gone", zero, "")
	s.write(t, source, "refs/heads/new", objects.Commits[1], "")
	s.write(t, source, "HEAD", "refs/heads/new", "")
	s.write(t, target, "refs/heads/only/there", objects.Commits[0], "")
	replicate("target behind, and ahead")
	s.write(t, source, "refs/heads/main", objects.Commits[0], "")
	replicate("source rewound")
	s.write(t, source, "refs/heads/new", zero, "")
	s.write(t, source, "refs/heads/new/er", objects.Commits[1], "")
	s.write(t, target, "refs/heads/main", zero, "")
	s.write(t, target, "refs/heads/main/old", objects.Commits[1], "")
	// Which git does not do in one transaction.
	_, err := s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: source})
	wantCode(t, "references where the other has directories", err, codes.Internal)
	s.write(t, target, "refs/heads/new", zero, "")
	s.write(t, target, "refs/heads/main/old", zero, "")
	replicate("without those in the way")
	for ref := range s.listed(t, source, "refs/") {
		s.write(t, source, ref, zero, "")
	}
	replicate("empty source")

	_, err = s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: s.repository("absent.git")})
	wantCode(t, "absent source", err, codes.NotFound)
	if err == nil || !strings.Contains(err.Error(), "invalid source repository") {
		t.Errorf("absent source: got %v, want an invalid source repository", err)
	}
	_, err = s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{
		Repository: named(s.Other, "new.git"), Source: s.repository("absent.git"),
	})
	wantCode(t, "absent source and target", err, codes.NotFound)
	_, err = s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: s.repository("b.git"), Source: source})
	wantCode(t, "source in the same storage", err, codes.InvalidArgument)
	_, err = s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target})
	wantCode(t, "no source", err, codes.InvalidArgument)
	_, err = s.repos.ReplicateRepository(s.ctx, &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: source})
	wantError(t, "no way to the source named", err)
	away := WithServer(t, s.ctx, s.Storage, "tcp://127.0.0.1:1", "")
	_, err = s.repos.ReplicateRepository(away, &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: source})
	wantError(t, "source out of reach", err)
	if got := s.walked(t, s.Other); len(got) != 1 {
		t.Errorf("failed replications left %v", got)
	}
}

// replicateHead: the target's HEAD becomes the source's, also where its branch is unborn. Gitaly 18.9
// leaves the target's as it is then.
func (s *suite) replicateHead(t *testing.T) {
	source, target := s.repository("a.git"), named(s.Other, "group/a.git")
	s.seeded(t, source, map[string]int{"refs/heads/main": 0})
	for _, head := range []string{"refs/heads/main", "refs/heads/unborn"} {
		s.write(t, source, "HEAD", head, "")
		_, err := s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: source})
		must.Succeed(t, err)
		if got := s.headOf(t, target); got != head {
			t.Errorf("got HEAD %q, want %q", got, head)
		}
	}
}

func (s *suite) headOf(t *testing.T, repo *gitalypb.Repository) string {
	t.Helper()
	resp, err := s.refs.FindDefaultBranchName(s.ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: repo, HeadOnly: true})
	if err != nil {
		t.Fatalf("find HEAD: %v", err)
	}
	return string(resp.GetName())
}

// blob: in chunks, up to a limit.
func (s *suite) blob(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, nil)
	for _, row := range []struct {
		name   string
		oid    string
		limit  int64
		size   int64 // as reported
		length int64 // of the data
	}{
		{"all", objects.Blob, -1, objects.BlobSize, objects.BlobSize},
		{"beginning", objects.Blob, 100, objects.BlobSize, 100},
		{"more than all", objects.Blob, objects.BlobSize + 1, objects.BlobSize, objects.BlobSize},
		{"only the size", objects.Blob, 0, objects.BlobSize, 0},
		{"absent", "refs/heads/absent", -1, 0, 0},
	} {
		stream, err := gitalypb.NewBlobServiceClient(s.Conn).GetBlob(s.ctx, &gitalypb.GetBlobRequest{Repository: repo, Oid: row.oid, Limit: row.limit})
		all, err := collect(stream, err)
		if err != nil || len(all) == 0 {
			t.Errorf("%s: got %d messages, %v", row.name, len(all), err)
			continue
		}
		var length int64
		for i, resp := range all {
			length += int64(len(resp.GetData()))
			if len(resp.GetData()) > 128<<10 {
				t.Errorf("%s: got a message of %d bytes", row.name, len(resp.GetData()))
			}
			if i > 0 && (resp.GetSize() != 0 || resp.GetOid() != "") {
				t.Errorf("%s: got size and id in message %d, want them in the first only", row.name, i)
			}
		}
		if all[0].GetSize() != row.size || length != row.length {
			t.Errorf("%s: got size %d and %d bytes, want %d and %d", row.name, all[0].GetSize(), length, row.size, row.length)
		}
		if wantOID := row.size > 0; (all[0].GetOid() == row.oid) != wantOID {
			t.Errorf("%s: got id %q", row.name, all[0].GetOid())
		}
	}
	stream, err := gitalypb.NewBlobServiceClient(s.Conn).GetBlob(s.ctx, &gitalypb.GetBlobRequest{Repository: repo})
	wantCode(t, "no id", drain(stream, err), codes.InvalidArgument)
}

// bundle: a repository made of one, and of what is none.
func (s *suite) bundle(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, nil)
	for i, ref := range []string{"refs/heads/main", "refs/heads/b", "refs/keep/around"} {
		s.write(t, repo, ref, objects.Commits[i], "")
	}
	s.write(t, repo, "HEAD", "refs/heads/b", "")
	whole := s.bundleOf(t, repo)
	restored := s.repository("restored.git")
	if err := s.restore(restored, whole, len(whole)/3+1); err != nil {
		t.Fatalf("create from bundle: %v", err)
	}
	if got, want := s.sum(t, restored), s.sum(t, repo); got != want {
		t.Errorf("got checksum %q, want %q", got, want)
	}
	if got, want := s.headOf(t, restored), "refs/heads/b"; got != want {
		t.Errorf("got HEAD %q, want %q", got, want)
	}
	wantCode(t, "create where present", s.restore(restored, whole, len(whole)), codes.AlreadyExists)
	wantCode(t, "no bundle", s.restore(s.repository("bad.git"), []byte("not a bundle\n\n"), 5), codes.Internal)
	wantCode(t, "nothing", s.restore(s.repository("bad.git"), nil, 1), codes.Internal)
	if got := s.walked(t, s.Storage); len(got) != 2 {
		t.Errorf("failed creations left %v", got)
	}
}

// restore creates a repository from a bundle that is sent in chunks, the first
// with the header.
func (s *suite) restore(repo *gitalypb.Repository, bundle []byte, chunk int) error {
	var requests []*gitalypb.CreateRepositoryFromBundleRequest
	for first, rest := true, bundle; first || len(rest) > 0; first = false {
		req := &gitalypb.CreateRepositoryFromBundleRequest{Data: rest[:min(chunk, len(rest))]}
		if first {
			req.Repository = repo
		}
		rest = rest[len(req.Data):]
		requests = append(requests, req)
	}
	return errorOf(upload(s.ctx, s.repos.CreateRepositoryFromBundle, requests...))
}

// push: faults before the first byte of data.
func (s *suite) push(t *testing.T) {
	repo := s.repository("a.git")
	s.create(t, repo)
	for _, row := range []struct {
		name  string
		first *gitalypb.PostReceivePackRequest
	}{
		{"no GlId", &gitalypb.PostReceivePackRequest{Repository: repo}},
		{"data in the first message", &gitalypb.PostReceivePackRequest{Repository: repo, GlId: "key-1", Data: []byte("0000")}},
	} {
		err := exchange(s.ctx, gitalypb.NewSmartHTTPServiceClient(s.Conn).PostReceivePack, row.first)
		wantCode(t, row.name, err, codes.InvalidArgument)
	}
	wantError(t, "no message at all", exchange(s.ctx, gitalypb.NewSmartHTTPServiceClient(s.Conn).PostReceivePack))
}
