package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"praefect/proxy/channel"
	"praefect/proxy/storage"
	"praefect/test/must"
)

// TestFrames_everyWire forwards reads as frames from clients over TCP, TLS and multiplexed sessions to storages over TCP and TLS,
// beside the connections with a backchannel.
func TestFrames_everyWire(t *testing.T) {
	forwardsFrames(t, true)
	server, roots := certificate(t)
	for name, secured := range map[string]*tls.Config{"storages over TCP": nil, "storages over TLS": server} {
		t.Run(name, func(t *testing.T) {
			w := newFixtureOf(t, withBlobs(3<<20, secured, roots), true)
			w.create("a.git")
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			must.Succeed(t, err)
			go func() { _ = w.server.Serve(lis, "tls", credentials.NewTLS(server)) }() // until the fixture ends
			want := ""
			for _, from := range []struct {
				name, address string
				creds         credentials.TransportCredentials
			}{
				{"TCP", w.address, insecure.NewCredentials()},
				{"TLS", lis.Addr().String(), trusting(roots)},
				{"a session over TCP", w.address, multiplexed(nil)},
				{"a session over TLS", lis.Addr().String(), multiplexed(trusting(roots))},
			} {
				t.Run(from.name, func(t *testing.T) {
					conn, err := grpc.NewClient("passthrough:///"+from.address, grpc.WithTransportCredentials(from.creds),
						grpc.WithPerRPCCredentials(storage.Credentials(clientToken)))
					must.Succeed(t, err)
					defer conn.Close()
					got := w.readsOver(t, w.proved(conn))
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				})
			}
		})
	}
}

func trusting(roots *x509.CertPool) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{RootCAs: roots})
}

func multiplexed(base credentials.TransportCredentials) credentials.TransportCredentials {
	return channel.NewClientCredentials(base, channel.Client{Sidechannels: new(channel.Registry)})
}

// readsOver makes reads that must all be diverted, one of which its client gives up, and a write beside them. It returns the content
// of a blob.
func (w *fixture) readsOver(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	refs, blobs := w.diverted(refExistsMethod), w.diverted(getBlobMethod)
	for range 10 {
		wants(t, exists(t.Context(), conn, "a.git"), codes.OK)
	}
	sum := sumOf(t, conn, "default")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	blob, err := gitalypb.NewBlobServiceClient(conn).GetBlob(ctx, &gitalypb.GetBlobRequest{Repository: repository("a.git"), Oid: revision, Limit: -1})
	must.Succeed(t, err)
	_, err = blob.Recv()
	must.Succeed(t, err)
	_, err = gitalypb.NewRepositoryServiceClient(conn).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{
		Repository: repository(fmt.Sprintf("%d.git", refs)),
	})
	must.Succeed(t, err)
	cancel()
	w.eventually(func() error {
		for _, name := range all {
			to, err := w.server.storages.Conn("default", name)
			if err != nil {
				return err
			}
			if n := to.Outstanding(); n > 0 {
				return fmt.Errorf("%s has %d calls", name, n)
			}
		}
		return nil
	})
	if r, b := w.diverted(refExistsMethod)-refs, w.diverted(getBlobMethod)-blobs; r != 10 || b != 2 {
		t.Errorf("%d of 10 small reads and %d of 2 large ones were diverted", r, b)
	}
	return sum
}
