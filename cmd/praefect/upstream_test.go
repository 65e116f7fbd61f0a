package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
)

// memoryStorage is a storage in memory, until the test ends; it returns its
// address.
func memoryStorage(t *testing.T, name, token string) string {
	t.Helper()
	_, address := memoryServer(t, name, token)
	return address
}

// memoryServer is memoryStorage with its server.
func memoryServer(t *testing.T, name, token string) (*memory.Server, string) {
	t.Helper()
	server, err := memory.New(memory.Config{Storages: []string{name}, Token: token})
	must(t, err)
	l := loopback(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return server, "tcp://" + l.Addr().String()
}

// Upstream's example files start with nothing changed but where things are.
func TestServe_upstreamExamples(t *testing.T) {
	for release, listeners := range map[string]int{"16.7": 2, "18.9": 4} {
		t.Run(release, func(t *testing.T) {
			text, err := os.ReadFile("../../config/testdata/upstream-" + release + ".toml")
			must(t, err)
			dir := t.TempDir()
			pair := writeCertificate(t, dir)
			token := filepath.Join(dir, "token")
			must(t, os.WriteFile(token, []byte("client token\n"), 0o600))
			places := []string{
				"/home/git/cert.cert", pair.CertificatePath, "/home/git/key.pem", pair.KeyPath, "/path/to/token/file", token,
				"/home/git/gitlab/tmp/sockets/private/praefect.socket", filepath.Join(dir, "socket"),
			}
			for i := range 3 {
				name := fmt.Sprintf("praefect-git-%d", i)
				places = append(places, "tcp://"+name+".internal:8075", memoryStorage(t, name, "secret"))
			}
			config := filepath.Join(dir, "config.toml")
			settings := strings.NewReplacer(places...).Replace(string(text)) +
				"[database]\n" + databaseSettings(t) + fmt.Sprintf("\n[raft]\ndata_dir = %q\n", filepath.Join(dir, "raft"))
			must(t, os.WriteFile(config, []byte(settings), 0o600))
			i := serveAt(t, config, listeners)
			i.awaitReady()
			cc, err := storage.NewClient(strings.Replace(i.grpc, "unix://", "unix:", 1), "client token")
			must(t, err)
			_, err = gitalypb.NewRepositoryServiceClient(cc).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{
				Repository: &gitalypb.Repository{StorageName: "praefect", RelativePath: "a.git"},
			})
			should(t, errors.Join(err, cc.Close()))
			i.endsWell()
		})
	}
}
