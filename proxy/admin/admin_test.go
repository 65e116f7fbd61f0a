package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"praefect/fsm/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is all that a Service asks, with one virtual storage "default" of
// gitaly-1 (primary), gitaly-2 and gitaly-3, all serving and reachable.
type cluster struct {
	t     *testing.T
	state *state.State
	reach map[string]Reach
	jobs  func(QueueListRequest) ([]Job, error)
}

const incarnation = state.Incarnation(1)

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, state: &state.State{}, reach: map[string]Reach{}}
	c.apply(0, state.Command{Register: &state.Register{ID: "a", ClusterID: "cluster"}})
	c.apply(incarnation, state.Command{Define: &state.Define{
		VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2", "gitaly-3"},
	}})
	for _, name := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
		c.reach[name] = Reach{Reachable: true, FilesystemID: "disk-" + name, Since: time.Unix(1, 0)}
		c.apply(incarnation, state.Command{Return: &state.Return{VirtualStorage: "default", Storage: name, FilesystemID: "disk-" + name}})
		if st := c.state.VirtualStorage("default").Storage(name); st.Standing == state.Filling {
			c.apply(incarnation, state.Command{Return: &state.Return{
				VirtualStorage: "default", Storage: name, FilesystemID: st.FilesystemID, Filled: st.Since,
			}})
		}
	}
	return c
}

func (c *cluster) apply(by state.Incarnation, command state.Command) {
	c.t.Helper()
	index := c.state.Index + 1
	next, results := c.state.Apply(index, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(index), Incarnation: by, Number: uint64(index), Commands: []state.Command{command},
	})
	if refusal := results[0].Refusal; refusal != nil {
		c.t.Fatal(refusal)
	}
	c.state = next
}

// wrote makes a repository one that only the agreeing storages have.
func (c *cluster) wrote(path string, agreeing ...string) {
	c.t.Helper()
	paths := []string{path}
	c.apply(incarnation, state.Command{Open: &state.OpenMark{VirtualStorage: "default", Paths: paths, Kind: state.Solo}})
	c.apply(incarnation, state.Command{Wrote: &state.Wrote{
		VirtualStorage: "default", Paths: paths, Primary: agreeing[0],
		Epoch: c.state.VirtualStorage("default").Epoch, Agreeing: agreeing,
	}})
	c.apply(incarnation, state.Command{Close: &state.Close{VirtualStorage: "default", Paths: paths}})
}

func (c *cluster) View() *state.State            { return c.state }
func (c *cluster) Reach(_, storage string) Reach { return c.reach[storage] }
func (c *cluster) Filling(_, storage string) *Filling {
	return &Filling{Total: 10, Done: 4}
}
func (c *cluster) Jobs(_ context.Context, request QueueListRequest) ([]Job, error) {
	return c.jobs(request)
}

// dial serves the cluster's service and returns a connection to it.
func (c *cluster) dial() *grpc.ClientConn {
	c.t.Helper()
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	New("praefect-1", c, c, c).Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///admin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			c.t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
	return cc
}

func TestService_status(t *testing.T) {
	c := newCluster(t)
	c.wrote("a.git", "gitaly-1", "gitaly-3")
	c.wrote("b.git", "gitaly-1")
	c.reach["gitaly-2"] = Reach{Err: errors.New("refused"), Since: time.Unix(2, 0)}
	// Another disk, agreed on: gitaly-3 is filled anew.
	c.apply(incarnation, state.Command{Return: &state.Return{VirtualStorage: "default", Storage: "gitaly-3", FilesystemID: "new"}})
	c.reach["gitaly-3"] = Reach{Reachable: true, FilesystemID: "new", Err: errors.New("late")}

	got, err := NewClient(c.dial()).Status(t.Context(), StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC()
	want := StatusResponse{Schema: 1, Instance: "praefect-1", VirtualStorages: []VirtualStorage{{
		Name: "default", Primary: "gitaly-1", Epoch: c.state.VirtualStorage("default").Epoch,
		Storages: []Storage{
			{Name: "gitaly-1", Standing: state.Serving, Reachable: true, Since: &one},
			{Name: "gitaly-2", Standing: state.Serving, Error: "refused", Since: &two, Behind: 2},
			{Name: "gitaly-3", Standing: state.Filling, Reachable: true, Slow: true, Error: "late", Behind: 2, Filling: &Filling{Total: 10, Done: 4}},
		},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Health() != Degraded {
		t.Errorf("health: got %s", got.Health())
	}
}

func TestService_statusOfOneThatCannotBeWritten(t *testing.T) {
	c := newCluster(t)
	c.reach["gitaly-1"] = Reach{Reachable: true, FilesystemID: "another"}
	c.wrote("a.git", "gitaly-1")
	got, err := NewClient(c.dial()).Status(t.Context(), StatusRequest{VirtualStorage: "default"})
	if err != nil {
		t.Fatal(err)
	}
	vs := got.VirtualStorages[0]
	if vs.Storages[0].Reachable || !strings.Contains(vs.Storages[0].Error, "another disk") || vs.Unavailable != 1 {
		t.Errorf("a primary with another disk: got %+v", vs)
	}
	if got.Health() != Unavailable {
		t.Errorf("health: got %s", got.Health())
	}
}

func TestStatusResponse_health(t *testing.T) {
	good := Storage{Name: "a", Standing: state.Serving, Reachable: true}
	with := func(change func(*VirtualStorage)) StatusResponse {
		vs := VirtualStorage{Primary: "a", Storages: []Storage{good, {Name: "b", Standing: state.Serving, Reachable: true, Behind: 3}}}
		change(&vs)
		return StatusResponse{VirtualStorages: []VirtualStorage{vs, {Primary: "a", Storages: []Storage{good}}}}
	}
	for _, row := range []struct {
		name     string
		response StatusResponse
		want     Health
	}{
		{"one is behind", with(func(*VirtualStorage) {}), Healthy},
		{"a secondary is away", with(func(v *VirtualStorage) { v.Storages[1].Reachable = false }), Degraded},
		{"a secondary is slow", with(func(v *VirtualStorage) { v.Storages[1].Slow = true }), Degraded},
		{"a secondary is out", with(func(v *VirtualStorage) { v.Storages[1].Standing = state.Out }), Degraded},
		{"the primary is away", with(func(v *VirtualStorage) { v.Storages[0].Reachable = false }), Unavailable},
		{"no primary", with(func(v *VirtualStorage) { v.Primary = "" }), Unavailable},
		{"a repository is away", with(func(v *VirtualStorage) { v.Unavailable = 1 }), Unavailable},
		{"nothing is configured", StatusResponse{}, Unavailable},
	} {
		if got := row.response.Health(); got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

func TestService_datalossInPages(t *testing.T) {
	c := newCluster(t)
	for _, path := range []string{"c.git", "a.git", "b.git"} {
		c.wrote(path, "gitaly-1")
	}
	c.wrote("whole.git", "gitaly-1", "gitaly-2", "gitaly-3")
	client := NewClient(c.dial())

	var got []string
	request := DatalossRequest{Limit: 2}
	for {
		page, err := client.Dataloss(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Repositories {
			if !r.Available || !cmp.Equal(r.Behind, []string{"gitaly-2", "gitaly-3"}) {
				t.Errorf("got %+v", r)
			}
			got = append(got, r.RelativePath)
			request.After = &state.Key{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath}
		}
		if !page.More {
			break
		}
	}
	if want := []string{"a.git", "b.git", "c.git"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	c.reach["gitaly-1"] = Reach{}
	page, err := client.Dataloss(t.Context(), DatalossRequest{VirtualStorage: "default"})
	if err != nil || len(page.Repositories) != 3 || page.Repositories[0].Available {
		t.Errorf("the only storage with the writes is away: got %+v, %v", page, err)
	}
	if _, err := client.Dataloss(t.Context(), DatalossRequest{VirtualStorage: "no"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown virtual storage: got %v", err)
	}
}

func TestService_queueList(t *testing.T) {
	c := newCluster(t)
	client := NewClient(c.dial())
	want := []Job{{
		ID: 7, VirtualStorage: "default", RelativePath: "a.git", Target: "gitaly-2,gitaly-3", State: "failed", Attempt: 2,
		Error: "no route", Created: time.Unix(1, 0).UTC(), NotBefore: time.Unix(2, 0).UTC(),
	}}
	c.jobs = func(request QueueListRequest) ([]Job, error) {
		if request.Limit != MaxPage || request.State != "failed" || request.After != 6 {
			t.Errorf("got %+v", request)
		}
		return want, nil
	}
	got, err := client.QueueList(t.Context(), QueueListRequest{State: "failed", After: 6, Limit: 5000})
	if err != nil || got.More || !cmp.Equal(got.Jobs, want) {
		t.Errorf("got %+v, %v", got, err)
	}

	c.jobs = func(QueueListRequest) ([]Job, error) { return nil, errors.New("queue unavailable: refused") }
	_, err = client.QueueList(t.Context(), QueueListRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("without Postgres: got %v", err)
	}
	if _, err := client.Status(t.Context(), StatusRequest{}); err != nil {
		t.Errorf("status without Postgres: got %v", err)
	}
	if _, err := client.QueueList(t.Context(), QueueListRequest{State: "done"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("unknown state: got %v", err)
	}
}

func TestService_refusesWhatItDoesNotUnderstand(t *testing.T) {
	cc := newCluster(t).dial()
	for _, text := range []string{"", "{", `[]`, `{}`, `{"schema":2}`, `{"schema":1,"virtual_storage":3}`} {
		err := cc.Invoke(t.Context(), "/praefect.Admin/Status", wrapperspb.Bytes([]byte(text)), &wrapperspb.BytesValue{})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if err := cc.Invoke(t.Context(), "/praefect.Admin/No", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: got %v", err)
	}
}

// The names that others rely on.
func TestDocuments_haveTheAgreedNames(t *testing.T) {
	for _, row := range []struct {
		document any
		want     string
	}{
		{StatusResponse{Schema: 1, Instance: "p", VirtualStorages: []VirtualStorage{{
			Name: "v", Primary: "a", Epoch: 3, Storages: []Storage{{Name: "a", Standing: state.Serving, Reachable: true, Behind: 1}},
		}}}, `{"schema":1,"instance":"p","virtual_storages":[{"name":"v","primary":"a","epoch":3,"paused":false,"unavailable_repositories":0,` +
			`"storages":[{"name":"a","standing":"serving","reachable":true,"behind":1}]}]}`},
		{DatalossResponse{Schema: 1, Repositories: []Repository{{VirtualStorage: "v", RelativePath: "a.git", Behind: []string{"b"}}}},
			`{"schema":1,"repositories":[{"virtual_storage":"v","relative_path":"a.git","available":false,"behind":["b"]}]}`},
		{QueueListResponse{Schema: 1, Jobs: []Job{{ID: 1, VirtualStorage: "v", RelativePath: "a.git", Target: "b", State: "ready", Attempt: 2}}},
			`{"schema":1,"jobs":[{"id":1,"virtual_storage":"v","relative_path":"a.git","target":"b","state":"ready","attempt":2,` +
				`"created":"0001-01-01T00:00:00Z","not_before":"0001-01-01T00:00:00Z"}]}`},
	} {
		text, err := json.Marshal(row.document)
		if err != nil || string(text) != row.want {
			t.Errorf("got  %s (%v)\nwant %s", text, err, row.want)
		}
	}
}
