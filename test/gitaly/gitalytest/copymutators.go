package gitalytest

import (
	"net/http"
	"net/http/httptest"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// copyMutators are the methods that bring a repository from a bundle, a URL or a snapshot.
func (s *suite) copyMutators() []mutator {
	repos := gitalypb.NewRepositoryServiceClient
	return []mutator{
		{"FetchBundle", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(upload(c, repos(to).FetchBundle, &gitalypb.FetchBundleRequest{Repository: r, Data: s.bundleOf(t, s.repository(source))}))
		}},
		{"FetchRemote", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).FetchRemote(c, &gitalypb.FetchRemoteRequest{
				Repository: r, NoPrune: true, RemoteParams: &gitalypb.Remote{Url: "file://" + s.Path(s.repository(source))},
			}))
		}},
		{"CreateRepositoryFromURL", absent, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).CreateRepositoryFromURL(c, &gitalypb.CreateRepositoryFromURLRequest{
				Repository: r, Url: "file://" + s.Path(s.repository(source)),
			}))
		}},
		{"CreateRepositoryFromSnapshot", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			snapshot, err := bytesOf(s.repos.GetSnapshot(s.ctx, &gitalypb.GetSnapshotRequest{Repository: s.repository(source)}))
			must.Succeed(t, err)
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(snapshot) // who goes away early tells so elsewhere
			}))
			defer site.Close()
			_, err = repos(to).CreateRepositoryFromSnapshot(c, &gitalypb.CreateRepositoryFromSnapshotRequest{Repository: r, HttpUrl: site.URL})
			return err
		}},
	}
}
