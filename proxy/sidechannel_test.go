package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/proxy/storage"
	"praefect/test/must"
)

// packs is a storage that serves what is fetched through sidechannels.
type packs struct {
	gitalypb.UnimplementedServerServiceServer
	gitalypb.UnimplementedSmartHTTPServiceServer
	name  string
	serve answer
	stop  func()
	asked atomic.Int64
}

// answer is how a storage answers a fetch. It can stop the storage.
type answer func(ctx context.Context, stop func()) error

func (p *packs) ServerInfo(context.Context, *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	return &gitalypb.ServerInfoResponse{StorageStatuses: []*gitalypb.ServerInfoResponse_StorageStatus{
		{StorageName: p.name, FilesystemId: "disk of " + p.name, Readable: true, Writeable: true},
	}}, nil
}

func (p *packs) PostUploadPackWithSidechannel(ctx context.Context, r *gitalypb.PostUploadPackWithSidechannelRequest) (*gitalypb.PostUploadPackWithSidechannelResponse, error) {
	p.asked.Add(1)
	if got := r.GetRepository().GetStorageName(); got != p.name {
		return nil, status.Errorf(codes.InvalidArgument, "asked for %q", got)
	}
	return &gitalypb.PostUploadPackWithSidechannelResponse{}, p.serve(ctx, p.stop)
}

// packFixture is an instance in front of storages that answer fetches by serve, in
// the order in which they are asked at all. Those named mute speak no backchannel.
func packFixture(t *testing.T, mute string, serve ...answer) (*fixture, func() int64) {
	t.Helper()
	var storages []*packs
	var calls atomic.Int64
	w := newVotingFixture(t, func(_ *testing.T, name string) *backend {
		p := &packs{name: name, serve: func(ctx context.Context, stop func()) error {
			return serve[min(int(calls.Add(1)), len(serve))-1](ctx, stop)
		}}
		storages = append(storages, p)
		var creds credentials.TransportCredentials = insecure.NewCredentials()
		if !strings.Contains(mute, name) {
			creds = channel.NewServerCredentials(nil, channel.Config{})
		}
		server := grpc.NewServer(grpc.Creds(creds))
		p.stop = server.Stop
		gitalypb.RegisterServerServiceServer(server, p)
		gitalypb.RegisterSmartHTTPServiceServer(server, p)
		healthpb.RegisterHealthServer(server, health.NewServer())
		return &backend{serve: func(ctx context.Context, lis net.Listener) error {
			defer context.AfterFunc(ctx, server.Stop)()
			return server.Serve(lis)
		}}
	})
	return w, func() (n int64) {
		for _, p := range storages {
			n += p.asked.Load()
		}
		return n
	}
}

// sendsBack is a storage's answer: what it was asked for, once more.
func sendsBack(ctx context.Context, _ func()) error {
	side, err := channel.Open(ctx)
	if err != nil {
		return err
	}
	defer side.Close()
	request, err := io.ReadAll(side)
	if err == nil {
		_, err = side.Write(request)
	}
	return err
}

// dies is what a storage does whose process is killed.
func dies(ctx context.Context, stop func()) error {
	go stop()
	<-ctx.Done()
	return ctx.Err()
}

// fetcher is a client that fetches through sidechannels.
type fetcher struct {
	t       *testing.T
	cc      *grpc.ClientConn
	waiting *channel.Registry
}

func (w *fixture) fetcher() *fetcher {
	f := &fetcher{t: w.t, waiting: new(channel.Registry)}
	var err error
	f.cc, err = grpc.NewClient("passthrough:///praefect", grpc.WithContextDialer(w.dial), grpc.WithPerRPCCredentials(storage.Credentials(clientToken)),
		grpc.WithTransportCredentials(channel.NewClientCredentials(nil, channel.Client{Sidechannels: f.waiting})))
	must.Succeed(w.t, err)
	w.t.Cleanup(func() { f.cc.Close() })
	return f
}

// fetch sends request and gives the answer to read. It returns how the call and
// how the sidechannel ended.
func (f *fetcher) fetch(ctx context.Context, request string, read func(io.Reader) error) (call, side error) {
	ctx, waiter := f.waiting.Expect(ctx, func(_ context.Context, c *channel.ClientEnd) error {
		if _, err := io.WriteString(c, request); err != nil {
			return err
		}
		return errors.Join(c.CloseWrite(), read(c))
	})
	return post(ctx, f.cc), waiter.Close()
}

func post(ctx context.Context, cc *grpc.ClientConn) error {
	_, err := gitalypb.NewSmartHTTPServiceClient(cc).PostUploadPackWithSidechannel(ctx, &gitalypb.PostUploadPackWithSidechannelRequest{Repository: repository("a.git")})
	return err
}

// echoed fetches and checks what came back.
func (f *fetcher) echoed() {
	f.t.Helper()
	request := strings.Repeat("want", 300<<10)
	call, side := f.fetch(f.t.Context(), request, func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if string(got) != request {
			f.t.Errorf("got %d bytes, want %d", len(got), len(request))
		}
		return err
	})
	if call != nil || side != nil {
		f.t.Errorf("call: %v, sidechannel: %v", call, side)
	}
}

func TestSidechannel_isRelayed(t *testing.T) {
	w, calls := packFixture(t, "", sendsBack)
	f := w.fetcher()
	for range 3 {
		f.echoed()
	}
	if n := calls(); n != 3 {
		t.Errorf("storages were asked %d times", n)
	}
}

// TestSidechannel_onAnotherStorage: a read whose storage was lost before it
// opened anything is made up for, sidechannel and all.
func TestSidechannel_onAnotherStorage(t *testing.T) {
	w, calls := packFixture(t, "", dies, sendsBack)
	w.fetcher().echoed()
	if n := calls(); n != 2 {
		t.Errorf("storages were asked %d times", n)
	}
}

// TestSidechannel_isNotRepeated: the client has no second one to offer.
func TestSidechannel_isNotRepeated(t *testing.T) {
	w, calls := packFixture(t, "", func(ctx context.Context, stop func()) error {
		return errors.Join(sendsBack(ctx, stop), dies(ctx, stop))
	}, sendsBack)
	call, side := w.fetcher().fetch(t.Context(), "want", func(r io.Reader) error {
		_, err := io.ReadAll(r)
		return err
	})
	if status.Code(call) != codes.Unavailable || side != nil || calls() != 1 {
		t.Errorf("call: %v, sidechannel: %v, %d calls", call, side, calls())
	}
}

// TestSidechannel_notOpened: whether it is used is for the storage to decide.
func TestSidechannel_notOpened(t *testing.T) {
	w, _ := packFixture(t, "", func(context.Context, func()) error { return nil })
	if call, side := w.fetcher().fetch(t.Context(), "", nil); call != nil || side != channel.ErrNotOpened {
		t.Errorf("call: %v, sidechannel: %v", call, side)
	}
}

// TestSidechannel_brokenReplacesSuccess has a client close its end early, and a
// storage that does not mind.
func TestSidechannel_brokenReplacesSuccess(t *testing.T) {
	w, _ := packFixture(t, "", func(ctx context.Context, _ func()) error {
		side, err := channel.Open(ctx)
		if err != nil {
			return err
		}
		defer side.Close()
		_, err = side.Write(make([]byte, 4<<20))
		if err == nil {
			t.Error("the storage could write everything")
		}
		return nil
	})
	if call, _ := w.fetcher().fetch(t.Context(), "", func(io.Reader) error { return nil }); status.Code(call) != codes.Internal || !strings.Contains(call.Error(), "sidechannel") {
		t.Errorf("got %v", call)
	}
}

func TestSidechannel_endsWithItsCall(t *testing.T) {
	ended := make(chan error, 1)
	w, _ := packFixture(t, "", func(ctx context.Context, _ func()) error {
		side, err := channel.Open(ctx)
		if err != nil {
			return err
		}
		defer side.Close()
		for err == nil {
			_, err = side.Write(make([]byte, 64<<10))
		}
		ended <- err
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	call, _ := w.fetcher().fetch(ctx, "want", func(r io.Reader) error {
		_, err := io.CopyN(io.Discard, r, 1<<20)
		cancel()
		return err
	})
	if status.Code(call) != codes.Canceled {
		t.Errorf("got %v", call)
	}
	<-ended
}

func TestSidechannel_storagesWithoutBackchannel(t *testing.T) {
	w, _ := packFixture(t, "gitaly-1 gitaly-3", sendsBack)
	f := w.fetcher()
	for range 3 {
		f.echoed()
	}
	none, calls := packFixture(t, "gitaly-1 gitaly-2 gitaly-3", sendsBack)
	if call, _ := none.fetcher().fetch(t.Context(), "", nil); status.Code(call) != codes.Unimplemented {
		t.Errorf("got %v", call)
	}
	if n := calls(); n != 0 {
		t.Errorf("storages were asked %d times", n)
	}
}

func TestSidechannel_clientWithoutBackchannel(t *testing.T) {
	w, calls := packFixture(t, "", sendsBack)
	if err := post(metadata.AppendToOutgoingContext(t.Context(), channel.IDHeader, "1"), w.conn); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %v", err)
	}
	if n := calls(); n != 0 {
		t.Errorf("storages were asked %d times", n)
	}
}

// TestSidechannel_isPassedOn goes through two instances, of which the one that
// the client speaks to has no lease.
func TestSidechannel_isPassedOn(t *testing.T) {
	w, here := packFixture(t, "", sendsBack)
	other, there := packFixture(t, "", sendsBack)
	w.peerOf(other)
	w.session.lose(true)
	f := w.fetcher()
	for range 3 {
		f.echoed()
	}
	if here() != 0 || there() != 3 {
		t.Errorf("storages were asked %d times here, %d times there", here(), there())
	}
}
