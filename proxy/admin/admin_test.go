package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"praefect/fsm/condition"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
	"praefect/proxy/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// three are the storages of most tests, gitaly-1 the primary.
var three = []string{"gitaly-1", "gitaly-2", "gitaly-3"}

// must ends a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client serves a cluster and returns a client of the service.
func client(t *testing.T, c *admintest.Cluster, access admin.Access) *admin.Client {
	t.Helper()
	return admin.NewClient(dial(t, admin.New(c.Deps(), admin.Config{Instance: "praefect-1", Access: access})))
}

// dial serves a service until the test ends and returns a connection to it.
func dial(t *testing.T, service *admin.Service, options ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer(append(options, grpc.ForceServerCodecV2(stream.Codec{}))...) // as that of the proxy
	service.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///admin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	must(t, err)
	t.Cleanup(func() {
		if err := cc.Close(); err != nil && status.Code(err) != codes.Canceled { // the test has closed it
			t.Error(err)
		}
		server.Stop()
		service.Wait()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return cc
}

func TestService_status(t *testing.T) {
	c := admintest.New(t, three...)
	c.WrittenOnlyTo("a.git", "gitaly-1", "gitaly-3")
	c.WrittenOnlyTo("b.git", "gitaly-1")
	c.Observe("gitaly-2", reachability.Observation{Err: errors.New("refused"), Since: time.Unix(2, 0)})
	// Another disk, agreed on: gitaly-3 is backfilled anew.
	c.Returned("default", "gitaly-3", "new")
	c.Observe("gitaly-3", reachability.Observation{Reachable: true, FilesystemID: "new", Err: errors.New("late")})

	got, err := client(t, c, admin.Access{}).Status(t.Context(), admin.StatusRequest{})
	must(t, err)
	two := time.Unix(2, 0).UTC()
	want := admin.StatusResponse{Schema: 1, Instance: "praefect-1", Leader: "praefect-1", VirtualStorages: []admin.VirtualStorage{{
		Name: "default", Primary: "gitaly-1", Epoch: c.View().VirtualStorage("default").Epoch,
		Storages: []admin.Storage{
			{Name: "gitaly-1", State: state.Serving, Reachable: true, Votes: true},
			{Name: "gitaly-2", State: state.Serving, Error: "refused", Since: &two, Behind: 2},
			{Name: "gitaly-3", State: state.Backfilling, Reachable: true, Slow: true, Error: "late", Behind: 2, Backfilling: &admin.Backfilling{Total: 10, Done: 4}},
		},
	}}}
	want.Health, want.VirtualStorages[0].Health = condition.HealthDegraded, condition.HealthDegraded
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(admin.StatusResponse{}, "Conditions", "Level")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestService_statusOfOneThatCannotBeWritten(t *testing.T) {
	c := admintest.New(t, three...)
	c.Observe("gitaly-1", reachability.Observation{Reachable: true, FilesystemID: "another"})
	c.WrittenOnlyTo("a.git", "gitaly-1")
	got, err := client(t, c, admin.Access{}).Status(t.Context(), admin.StatusRequest{VirtualStorage: "default"})
	must(t, err)
	vs := got.VirtualStorages[0]
	if vs.Storages[0].Reachable || !strings.Contains(vs.Storages[0].Error, "another disk") || vs.Unavailable != 1 {
		t.Errorf("a primary with another disk: got %+v", vs)
	}
	if got.Health != condition.HealthUnavailable {
		t.Errorf("health: got %s", got.Health)
	}
}

// TestService_statusShowsConditions: their worst is the health of the whole, and of the virtual
// storage that they are about.
func TestService_statusShowsConditions(t *testing.T) {
	for _, row := range []struct {
		name       string
		spoil      func(*admintest.Cluster)
		whole, vs  condition.Health
		conditions []condition.Name
	}{
		{"nothing", func(*admintest.Cluster) {}, condition.Healthy, condition.Healthy, nil},
		{"one is behind", func(c *admintest.Cluster) { c.WrittenOnlyTo("a.git", "gitaly-1", "gitaly-2") }, condition.Healthy, condition.Healthy, nil},
		{"a secondary is away", func(c *admintest.Cluster) { c.Lose("gitaly-2") }, condition.HealthDegraded, condition.HealthDegraded, []condition.Name{condition.StorageAway}},
		{"the primary is away", func(c *admintest.Cluster) { c.Lose("gitaly-1") }, condition.HealthUnavailable, condition.HealthUnavailable,
			[]condition.Name{condition.NoPrimary, condition.StorageAway}},
		{"an instance is away", func(c *admintest.Cluster) {
			c.Raft(func(v *admin.RaftView) { v.Instances[2].State = admin.Unreachable })
		}, condition.HealthDegraded, condition.Healthy, []condition.Name{condition.CannotLoseAny, condition.InstanceAway}},
		{"nobody leads", func(c *admintest.Cluster) { c.Raft(func(v *admin.RaftView) { v.Leader = "" }) },
			condition.HealthUnavailable, condition.HealthUnavailable, []condition.Name{condition.NoLeader}},
		{"a notice", func(c *admintest.Cluster) {
			c.Raise(condition.Raised{Name: condition.PrimaryElsewhere, VirtualStorage: "default", Text: "so"})
		},
			condition.Healthy, condition.Healthy, []condition.Name{condition.PrimaryElsewhere}},
	} {
		c := admintest.New(t, three...)
		row.spoil(c)
		got, err := client(t, c, admin.Access{}).Status(t.Context(), admin.StatusRequest{})
		must(t, err)
		var names []condition.Name
		for _, one := range got.Conditions {
			names = append(names, one.Name)
		}
		if got.Health != row.whole || got.VirtualStorages[0].Health != row.vs || !cmp.Equal(names, row.conditions) {
			t.Errorf("%s: got %s, %s, %v", row.name, got.Health, got.VirtualStorages[0].Health, names)
		}
	}
}

// TestService_shareConditions: the leader takes what an instance says of itself, and no operator can
// say it.
func TestService_shareConditions(t *testing.T) {
	c := admintest.New(t, three...)
	c.Lose("gitaly-3")
	said := []condition.Condition{{Name: condition.PostgresAway, Level: condition.Degraded, Instance: "praefect-2", Text: "away"}}
	request := admin.ShareConditionsRequest{Instance: "praefect-2", Conditions: said}
	got, err := client(t, c, admin.Access{Peers: true}).ShareConditions(t.Context(), request)
	if err != nil || len(got) != 2 || got[0].Name != condition.PostgresAway || got[1].Name != condition.StorageAway {
		t.Errorf("got %v, %v", got, err)
	}
	status, err := client(t, c, admin.Access{}).Status(t.Context(), admin.StatusRequest{})
	if err != nil || len(status.Conditions) != 2 {
		t.Errorf("the leader's status: got %v, %v", status.Conditions, err)
	}
	wantKind(t, admin.Denied, errorOf(client(t, c, admin.Access{Token: "secret"}).ShareConditions(t.Context(), request))) // from an operator
}

func TestService_datalossInPages(t *testing.T) {
	c := admintest.New(t, three...)
	for _, path := range []string{"c.git", "a.git", "b.git"} {
		c.WrittenOnlyTo(path, "gitaly-1")
	}
	c.WrittenOnlyTo("whole.git", "gitaly-1", "gitaly-2", "gitaly-3")
	operator := client(t, c, admin.Access{})

	var got []string
	request := admin.DatalossRequest{Limit: 2}
	for {
		page, err := operator.Dataloss(t.Context(), request)
		must(t, err)
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

	c.Observe("gitaly-1", reachability.Observation{})
	page, err := operator.Dataloss(t.Context(), admin.DatalossRequest{VirtualStorage: "default"})
	if err != nil || len(page.Repositories) != 3 || page.Repositories[0].Available {
		t.Errorf("the only storage with the writes is away: got %+v, %v", page, err)
	}
	if _, err := operator.Dataloss(t.Context(), admin.DatalossRequest{VirtualStorage: "no"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown virtual storage: got %v", err)
	}
}

func TestService_queueList(t *testing.T) {
	c := admintest.New(t, three...)
	operator := client(t, c, admin.Access{})
	var jobs []admin.Job
	for id := range int64(admin.MaxPage + 10) {
		jobs = append(jobs, admin.Job{ID: id, VirtualStorage: "default", RelativePath: "a.git", Target: "gitaly-2,gitaly-3", State: "failed", Attempt: 2})
	}
	jobs[8].State = "dead"
	c.SetJobs(jobs, nil)
	got, err := operator.QueueList(t.Context(), admin.QueueListRequest{State: "failed", After: 6, Limit: 5000})
	if err != nil || !got.More || len(got.Jobs) != admin.MaxPage || !cmp.Equal(got.Jobs[:2], []admin.Job{jobs[7], jobs[9]}) {
		t.Errorf("got %+v, %v", got, err)
	}

	c.SetJobs(nil, admintest.ErrQueue)
	_, err = operator.QueueList(t.Context(), admin.QueueListRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("without Postgres: got %v", err)
	}
	if _, err := operator.Status(t.Context(), admin.StatusRequest{}); err != nil {
		t.Errorf("status without Postgres: got %v", err)
	}
	if _, err := operator.QueueList(t.Context(), admin.QueueListRequest{State: "done"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("unknown state: got %v", err)
	}
}

func TestService_refusesWhatItDoesNotUnderstand(t *testing.T) {
	cc := dial(t, admin.New(admintest.New(t, three...).Deps(), admin.Config{}))
	call := func(method string, body []byte) error {
		in := &emptypb.Empty{}
		in.ProtoReflect().SetUnknown(body)
		return cc.Invoke(t.Context(), "/praefect.admin.v1.AdminService/"+method, in, &emptypb.Empty{})
	}
	if err := call("Status", protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a name that is not UTF-8: got %v", err)
	}
	if err := call("Status", []byte{0xff}); status.Code(err) != codes.Internal {
		t.Errorf("no message: got %v", err)
	}
	if err := call("No", nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: got %v", err)
	}
}

// The names that others rely on.
func TestDocuments_haveTheAgreedNames(t *testing.T) {
	for _, row := range []struct {
		document any
		want     string
	}{
		{admin.StatusResponse{Schema: 1, Instance: "p", Level: admin.Level{FeatureLevel: 1, Next: 1}, Health: condition.Healthy, Conditions: []condition.Condition{}, VirtualStorages: []admin.VirtualStorage{{
			Name: "v", Primary: "a", Epoch: 3, Health: condition.Healthy, Storages: []admin.Storage{{Name: "a", State: state.Serving, Reachable: true, Behind: 1}},
		}}}, `{"schema":1,"instance":"p","leader":"","virtual_storages":[{"name":"v","primary":"a","epoch":3,"paused":false,"health":"healthy","conflicts":0,"unavailable_repositories":0,` +
			`"storages":[{"name":"a","state":"serving","reachable":true,"votes":false,"behind":1}]}],"feature_level":1,"next_feature_level":1,"health":"healthy","conditions":[]}`},
		{admin.DatalossResponse{Schema: 1, Repositories: []admin.Repository{{VirtualStorage: "v", RelativePath: "a.git", Behind: []string{"b"}}}},
			`{"schema":1,"repositories":[{"virtual_storage":"v","relative_path":"a.git","available":false,"behind":["b"]}]}`},
		{admin.QueueListResponse{Schema: 1, Jobs: []admin.Job{{ID: 1, VirtualStorage: "v", RelativePath: "a.git", Target: "b", State: "ready", Attempt: 2}}},
			`{"schema":1,"jobs":[{"id":1,"virtual_storage":"v","relative_path":"a.git","target":"b","state":"ready","attempt":2,` +
				`"created":"0001-01-01T00:00:00Z","not_before":"0001-01-01T00:00:00Z"}]}`},
	} {
		text, err := json.Marshal(row.document)
		if err != nil || string(text) != row.want {
			t.Errorf("got  %s (%v)\nwant %s", text, err, row.want)
		}
	}
}
