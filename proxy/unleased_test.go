package proxy

import (
	"net"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

// peerOf has the instance of other listed as a peer.
func (w *fixture) peerOf(other *fixture) {
	w.t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(w.t, err)
	served := make(chan error, 1)
	go func() { served <- other.server.Serve(lis, "tcp", nil) }()
	w.t.Cleanup(func() {
		lis.Close()
		<-served
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers = append(w.peers, Peer{Name: "praefect-2", Address: "tcp://" + lis.Addr().String()})
}

// readOf makes a read of a.git and returns its trailer.
func (w *fixture) readOf() (metadata.MD, error) {
	var trailer metadata.MD
	_, err := gitalypb.NewRefServiceClient(w.conn).RefExists(w.t.Context(),
		&gitalypb.RefExistsRequest{Repository: repository("a.git"), Ref: []byte("refs/heads/main")}, grpc.Trailer(&trailer))
	return trailer, err
}

func asked(w *fixture) (n int) {
	for _, b := range w.storages {
		n += len(b.asked())
	}
	return n
}

func TestRead_withoutLeaseIsServedAndMarked(t *testing.T) {
	w := newFixture(t)
	w.session.lose(true)
	trailer, err := w.readOf()
	if status.Code(err) != codes.NotFound || len(trailer.Get(oldViewTrailer)) != 1 {
		t.Errorf("got %v, trailer %v", err, trailer)
	}
	w.session.lose(false)
	if trailer, _ := w.readOf(); len(trailer.Get(oldViewTrailer)) != 0 {
		t.Errorf("a read under a lease is marked: %v", trailer)
	}
}

func TestRead_withoutLeaseIsRefused(t *testing.T) {
	w := newFixture(t)
	w.server.cfg.RefuseReads = true
	w.session.lose(true)
	if _, err := w.readOf(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("got %v", err)
	}
	if n := asked(w); n != 0 {
		t.Errorf("storages were asked %d times", n)
	}
}

func TestRead_withoutLeaseIsPassedOn(t *testing.T) {
	w, other := newFixture(t), newFixture(t)
	w.peerOf(other)
	w.session.lose(true)
	for range 3 {
		if trailer, err := w.readOf(); status.Code(err) != codes.NotFound || len(trailer.Get(oldViewTrailer)) != 0 {
			t.Errorf("got %v, trailer %v", err, trailer)
		}
	}
	if here, there := asked(w), asked(other); here != 0 || there != 3 {
		t.Errorf("storages were asked %d times here, %d times there", here, there)
	}
}

// TestRead_isPassedOnOnce: two instances without a lease do not pass a read to
// and fro, and it is served where it came from.
func TestRead_isPassedOnOnce(t *testing.T) {
	w, other := newFixture(t), newFixture(t)
	w.peerOf(other)
	other.peerOf(w)
	w.session.lose(true)
	if _, err := w.readOf(); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	other.session.lose(true) // and w does not know yet
	trailer, err := w.readOf()
	if status.Code(err) != codes.NotFound || len(trailer.Get(oldViewTrailer)) != 1 {
		t.Errorf("got %v, trailer %v", err, trailer)
	}
	if here, there := asked(w), asked(other); here != 1 || there != 1 {
		t.Errorf("storages were asked %d times here, %d times there", here, there)
	}
}

func TestMaintain_needsALease(t *testing.T) {
	w := newFixture(t)
	w.session.lose(true)
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repository("a.git")})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	w.untouched()
}
