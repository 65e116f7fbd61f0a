package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/adminpb"
	"praefect/proxy/admin/admintest"
)

func asked(id string) admin.Change { return admin.Change{RequestID: id, By: "alice@desk"} }

func ignore(admin.Progress) {}

// change is a call of one of the methods that change something.
type change struct {
	name string
	call func(context.Context, admin.Change) error
}

// errorOf is the error of a call whose answer does not matter.
func errorOf[Response any](_ Response, err error) error { return err }

func wantKind(t *testing.T, want admin.Kind, err error) {
	t.Helper()
	if admin.KindOf(err) != want {
		t.Errorf("got %v, want an error of the kind %s", err, want)
	}
}

// everyChange are calls of all of them, in an order in which all succeed if a
// write of a.git was lost before.
func everyChange(c admin.Control) []change {
	return []change{
		{"AcceptLoss", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.AcceptLoss(ctx, admin.AcceptLossRequest{Change: r, VirtualStorage: "default", RelativePath: "a.git", Storage: "gitaly-1"}))
		}},
		{"Promote", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Promote(ctx, admin.SwitchRequest{Change: r, Storage: "gitaly-2"}, ignore))
		}},
		{"Drain", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Drain(ctx, admin.SwitchRequest{Change: r, Storage: "gitaly-3"}, ignore))
		}},
		{"Undrain", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Undrain(ctx, admin.UndrainRequest{Change: r, Storage: "gitaly-3"}))
		}},
		{"Refill", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Refill(ctx, admin.RefillRequest{Change: r, Storage: "gitaly-3"}))
		}},
		{"Pause", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Pause(ctx, admin.PauseRequest{Change: r}))
		}},
		{"Resume", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Resume(ctx, admin.ResumeRequest{Change: r}))
		}},
		{"RetryJobs", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.RetryJobs(ctx, admin.RetryRequest{Change: r}))
		}},
		{"DropJobs", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.DropJobs(ctx, admin.DropRequest{Change: r, State: "dead"}))
		}},
		{"Reconcile", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.Reconcile(ctx, admin.ReconcileRequest{Change: r}))
		}},
		{"AddInstance", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.AddInstance(ctx, admin.AddRequest{Change: r, Name: "praefect-4", Addr: "h:1"}))
		}},
		{"RemoveInstance", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.RemoveInstance(ctx, admin.RemoveRequest{Change: r, Name: "praefect-3"}))
		}},
		{"RetireInstance", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.RetireInstance(ctx, admin.RetireRequest{Change: r, Name: "praefect-2"}))
		}},
		{"TransferLeadership", func(ctx context.Context, r admin.Change) error {
			return errorOf(c.TransferLeadership(ctx, admin.TransferRequest{Change: r, Name: "praefect-2"}))
		}},
	}
}

func TestService_whoMayChange(t *testing.T) {
	for _, row := range []struct {
		name   string
		access admin.Access
		shown  string
		want   admin.Kind
	}{
		{"no token", admin.Access{}, "", admin.Denied},
		{"a token that is not asked for", admin.Access{}, "secret", admin.Denied},
		{"nothing shown", admin.Access{Token: "secret"}, "", admin.Denied},
		{"another token", admin.Access{Token: "secret"}, "terces", admin.Denied},
		{"the token", admin.Access{Token: "secret"}, "secret", ""},
		{"a peer", admin.Access{Token: "secret", Peers: true}, "", ""},
		{"the secret of the machine", admin.Access{Local: "local"}, "local", ""},
		{"another secret of the machine", admin.Access{Local: "local"}, "secret", admin.Denied},
		{"the secret of the machine where there is a token", admin.Access{Token: "secret", Local: "local"}, "local", admin.Denied},
	} {
		c := admintest.New(t, three...)
		operator := client(t, c, row.access).WithAdminToken(row.shown)
		c.WrittenOnlyTo("a.git", "gitaly-1")
		for _, change := range everyChange(operator) {
			if err := change.call(t.Context(), asked(change.name)); admin.KindOf(err) != row.want || row.want == "" && err != nil {
				t.Errorf("%s: %s: got %v", row.name, change.name, err)
			}
		}
		if len(c.Asked()) > 0 && row.want != "" {
			t.Errorf("%s: got %v", row.name, c.Asked())
		}
		if _, err := operator.Drain(t.Context(), admin.SwitchRequest{Change: asked("plan"), Storage: "gitaly-2", DryRun: true}, ignore); err != nil {
			t.Errorf("%s: a plan: got %v", row.name, err)
		}
		if _, err := operator.RaftStatus(t.Context()); err != nil {
			t.Errorf("%s: a question: got %v", row.name, err)
		}
	}
}

// The proof that is shown cannot be used as the client token, nor for long.
func TestService_refusesOtherProofs(t *testing.T) {
	operator := client(t, admintest.New(t, three...), admin.Access{Token: "secret"})
	for _, proof := range [][]string{{""}, {"Bearer secret"}, {"Bearer v2.00.1"}, {"v1.00"}, {"v1.00.now"}, {"v1.zz.1"}, {"v1.00.1"}, {"Basic x"}, {"a", "b"}} {
		ctx := t.Context()
		for _, p := range proof {
			ctx = metadata.AppendToOutgoingContext(ctx, "praefect-admin-authorization", p)
		}
		if _, err := operator.Pause(ctx, admin.PauseRequest{Change: asked("1")}); admin.KindOf(err) != admin.Denied {
			t.Errorf("%q: got %v", proof, err)
		}
	}
}

// A proof that was read on its way is worth nothing for another request, and nothing
// later.
func TestService_proofIsOfOneRequest(t *testing.T) {
	c := admintest.New(t, three...)
	var shown string
	var sent *adminpb.PauseRequest
	cc := dial(t, admin.New(c.Deps(), admin.Config{Access: admin.Access{Token: "secret"}}),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if request, ok := in.(*adminpb.PauseRequest); ok && sent == nil {
				shown, sent = metadata.ValueFromIncomingContext(ctx, "praefect-admin-authorization")[0], proto.CloneOf(request)
			}
			return handle(ctx, in)
		}))
	if _, err := admin.NewClient(cc).WithAdminToken("secret").Pause(t.Context(), admin.PauseRequest{Change: asked("1"), VirtualStorage: "default"}); err != nil {
		t.Fatal(err)
	}
	proof, other, unknown := shown, proto.CloneOf(sent), proto.CloneOf(sent)
	other.VirtualStorage = ""
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	pieces := strings.Split(proof, ".")
	made, err := strconv.ParseInt(pieces[2], 10, 64)
	must(t, err)
	for _, row := range []struct {
		name, method string
		body         proto.Message
		proof        string
		want         admin.Kind
	}{
		{"another method", "Resume", sent, proof, admin.Denied},
		{"another request", "Pause", other, proof, admin.Denied},
		{"a field more", "Pause", unknown, proof, admin.Denied},
		{"a later time", "Pause", sent, fmt.Sprintf("%s.%s.%d", pieces[0], pieces[1], made+1), admin.Denied},
		{"a stream", "Drain", &adminpb.SwitchCall{Message: &adminpb.SwitchCall_Request{Request: &adminpb.SwitchRequest{Change: sent.Change, Storage: "gitaly-2"}}}, proof, admin.Denied},
		{"the same", "Pause", sent, proof, ""},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "praefect-admin-authorization", row.proof)
		err := cc.Invoke(ctx, "/praefect.admin.v1.AdminService/"+row.method, row.body, &adminpb.Done{})
		if admin.KindOf(err) != row.want || row.want == "" && err != nil {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
}

func TestService_refusesWhatIsNotWellFormed(t *testing.T) {
	c := admintest.New(t, three...)
	c.Define("other", "gitaly-1")
	operator := client(t, c, admin.Access{Peers: true})
	before := c.View()
	pause := func(r admin.PauseRequest) error { return errorOf(operator.Pause(t.Context(), r)) }
	promote := func(r admin.SwitchRequest) error { return errorOf(operator.Promote(t.Context(), r, ignore)) }
	for _, row := range []struct {
		name string
		err  error
		want admin.Kind
	}{
		{"no id", pause(admin.PauseRequest{}), admin.Invalid},
		{"a long id", pause(admin.PauseRequest{Change: asked(strings.Repeat("x", 65))}), admin.Invalid},
		{"a long reason", pause(admin.PauseRequest{Change: admin.Change{RequestID: "1", Why: strings.Repeat("x", 201)}}), admin.Invalid},
		{"a reason that rings", pause(admin.PauseRequest{Change: admin.Change{RequestID: "1", Why: "\a"}}), admin.Invalid},
		{"somebody in red", pause(admin.PauseRequest{Change: admin.Change{RequestID: "1", By: "\x1b[31m"}}), admin.Invalid},
		{"a negative time", pause(admin.PauseRequest{Change: asked("1"), ForMillis: -1}), admin.Invalid},
		{"for ages", pause(admin.PauseRequest{Change: asked("1"), ForMillis: 1 << 62}), admin.Invalid},
		{"an unknown virtual storage", pause(admin.PauseRequest{Change: asked("1"), VirtualStorage: "no"}), admin.NotFound},
		{"no storage", promote(admin.SwitchRequest{Change: asked("1")}), admin.Invalid},
		{"an unknown storage", promote(admin.SwitchRequest{Change: asked("1"), Storage: "no"}), admin.NotFound},
		{"an unknown storage of one", promote(admin.SwitchRequest{Change: asked("1"), VirtualStorage: "other", Storage: "gitaly-2"}), admin.NotFound},
		{"a storage of two", promote(admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-1"}), admin.Invalid},
		{"a negative timeout", promote(admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-2", TimeoutMillis: -1}), admin.Invalid},
	} {
		if admin.KindOf(row.err) != row.want {
			t.Errorf("%s: got %v", row.name, row.err)
		}
	}
	if c.View() != before || len(c.Asked()) != 0 {
		t.Errorf("got as far as the control: %v", c.Asked())
	}
}

func TestService_saysWhoAsks(t *testing.T) {
	c := admintest.New(t, three...)
	operator := client(t, c, admin.Access{Token: "secret"}).WithAdminToken("secret")
	for _, r := range []admin.Change{{RequestID: "1"}, {RequestID: "2", By: "alice@desk"}, {RequestID: "3", By: "alice@desk", Why: "kernel"}} {
		if _, err := operator.Drain(t.Context(), admin.SwitchRequest{Change: r, Storage: "gitaly-2"}, ignore); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range c.Asked() {
		got = append(got, r.By)
	}
	want := []string{"operator: drain gitaly-2", "operator: drain gitaly-2 (alice@desk)", "operator: drain gitaly-2 (alice@desk): kernel"}
	if !cmp.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// forwarding is a service whose Control is a client of another one, as that of
// an instance which does not lead.
func forwarding(t *testing.T, c *admintest.Cluster) *admin.Client {
	t.Helper()
	leader := admin.NewClient(dial(t, admin.New(c.Deps(), admin.Config{Instance: "praefect-1", Access: admin.Access{Peers: true}})))
	deps := c.Deps()
	deps.Control = leader
	return admin.NewClient(dial(t, admin.New(deps, admin.Config{Instance: "praefect-2", Access: admin.Access{Token: "secret"}}))).WithAdminToken("secret")
}

func TestClient_forwardsAsAControl(t *testing.T) {
	c := admintest.New(t, three...)
	operator := forwarding(t, c)
	var stages []admin.Stage
	got, err := operator.Promote(t.Context(), admin.SwitchRequest{Change: asked("the one"), Storage: "gitaly-2"}, func(p admin.Progress) {
		if p.Stage == admin.StagePlan && (p.Plan == nil || p.Plan.Successor != "gitaly-2") {
			t.Errorf("the plan: got %+v", p)
		}
		stages = append(stages, p.Stage)
	})
	if err != nil || got.Primary != "gitaly-2" || got.Instance != "praefect-2" || got.RequestID != "the one" {
		t.Errorf("got %+v, %v", got, err)
	}
	want := []admin.Stage{admin.StagePlan, admin.StageCatchUp, admin.StagePauseWrites, admin.StageFence, admin.StageAdmit, admin.StageResumeWrites}
	if !cmp.Equal(stages, want) {
		t.Errorf("stages: got %v", stages)
	}
	if r := c.Asked(); len(r) != 1 || r[0] != (admin.Change{RequestID: "the one", By: "operator: promote gitaly-2 (alice@desk)"}) {
		t.Errorf("what arrived: got %+v", r)
	}
	c.WrittenOnlyTo("a.git", "gitaly-2")
	for _, change := range everyChange(operator) {
		if err := change.call(t.Context(), asked(change.name)); err != nil {
			t.Errorf("%s: got %v", change.name, err)
		}
	}
	view, err := operator.Instances(t.Context())
	if err != nil || len(view.Instances) != 3 || view.Leader != "praefect-2" {
		t.Errorf("instances: got %+v, %v", view, err)
	}
}

// Whatever kind of error a Control returns arrives as that, over a hop too.
func TestClient_errorsKeepTheirKind(t *testing.T) {
	var returned error
	c := admintest.New(t, three...)
	c.At = func(context.Context, string, admin.Stage) (bool, error) { return false, returned }
	operator := forwarding(t, c)
	for n, row := range []struct {
		err  error
		want admin.Error
		code codes.Code
	}{
		{admin.Errorf(admin.Invalid, "a"), admin.Error{Kind: admin.Invalid, Message: "a"}, codes.InvalidArgument},
		{admin.Errorf(admin.NotFound, "a"), admin.Error{Kind: admin.NotFound, Message: "a"}, codes.NotFound},
		{admin.Errorf(admin.Denied, "a"), admin.Error{Kind: admin.Denied, Message: "a"}, codes.PermissionDenied},
		{admin.Errorf(admin.Refused, "a"), admin.Error{Kind: admin.Refused, Message: "a"}, codes.FailedPrecondition},
		{admin.Errorf(admin.NoLeader, "a"), admin.Error{Kind: admin.NoLeader, Message: "a"}, codes.Unavailable},
		{admin.Errorf(admin.NotAvailable, "a"), admin.Error{Kind: admin.NotAvailable, Message: "a"}, codes.Unavailable},
		{admin.Errorf(admin.TimedOut, "a"), admin.Error{Kind: admin.TimedOut, Message: "a"}, codes.DeadlineExceeded},
		{admin.Errorf(admin.Canceled, "a"), admin.Error{Kind: admin.Canceled, Message: "a"}, codes.Canceled},
		{admin.Errorf(admin.OutcomeUnknown, "a"), admin.Error{Kind: admin.OutcomeUnknown, Message: "a"}, codes.Aborted},
		{fmt.Errorf("propose: %w", admin.Errorf(admin.NoLeader, "a")), admin.Error{Kind: admin.NoLeader, Message: "a"}, codes.Unavailable},
		{&state.Refusal{Reason: state.RefusedLast, Detail: "b"}, admin.Error{Kind: admin.Refused, Message: "refused (last): b"}, codes.FailedPrecondition},
		{errors.New("what is that?"), admin.Error{Kind: admin.OutcomeUnknown, Message: "what is that?"}, codes.Aborted},
	} {
		returned = row.err
		_, err := operator.Pause(t.Context(), admin.PauseRequest{Change: asked(fmt.Sprint(n))})
		got, ok := errors.AsType[*admin.Error](err)
		if !ok || *got != row.want || status.Code(err) != row.code {
			t.Errorf("%v: got %#v", row.err, err)
		}
		_, err = operator.Promote(t.Context(), admin.SwitchRequest{Change: asked(fmt.Sprint(n)), Storage: "gitaly-2"}, ignore)
		if got, ok := errors.AsType[*admin.Error](err); !ok || *got != row.want {
			t.Errorf("promote: %v: got %#v", row.err, err)
		}
	}
}

// blocking makes a cluster wait in a stage for the end of the request.
func blocking(c *admintest.Cluster, at admin.Stage) (there chan struct{}) {
	there = make(chan struct{})
	c.At = func(ctx context.Context, _ string, stage admin.Stage) (bool, error) {
		if stage == at {
			close(there)
			<-ctx.Done()
		}
		return true, nil
	}
	return there
}

func TestClient_givesUpOverAHop(t *testing.T) {
	for _, row := range []struct {
		at   admin.Stage
		want admin.Kind
	}{{admin.StagePauseWrites, admin.Canceled}, {admin.StageFence, ""}} {
		c := admintest.New(t, three...)
		there := blocking(c, row.at)
		operator := forwarding(t, c)
		ctx, giveUp := context.WithCancel(t.Context())
		go func() {
			<-there
			giveUp()
		}()
		_, err := operator.Promote(ctx, admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-2"}, ignore)
		primary, _ := c.View().VirtualStorage("default").Primary(nil)
		if admin.KindOf(err) != row.want || (err == nil) != (primary.Name == "gitaly-2") {
			t.Errorf("at %s: got %v, primary %s", row.at, err, primary.Name)
		}
	}
}

func TestClient_deadlineIsATimeout(t *testing.T) {
	c := admintest.New(t, three...)
	blocking(c, admin.StageCatchUp)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := client(t, c, admin.Access{Peers: true}).Promote(ctx, admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-2"}, ignore)
	if admin.KindOf(err) != admin.TimedOut || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// hanging is a Control that never plans to an end.
type hanging struct{ admin.Control }

func (hanging) Promote(ctx context.Context, _ admin.SwitchRequest, _ func(admin.Progress)) (admin.SwitchResponse, error) {
	<-ctx.Done()
	return admin.SwitchResponse{}, ctx.Err()
}

// A plan that does not come is no unknown outcome.
func TestClient_planDoesNotCome(t *testing.T) {
	deps := admintest.New(t, three...).Deps()
	deps.Control = hanging{deps.Control}
	cc := dial(t, admin.New(deps, admin.Config{}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := admin.NewClient(cc).Promote(ctx, admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-2", DryRun: true}, ignore)
	if admin.KindOf(err) != admin.TimedOut {
		t.Errorf("got %v", err)
	}
}

// The front of an instance may refuse what its service never sees.
func TestClient_frontRefuses(t *testing.T) {
	for _, row := range []struct {
		code         codes.Code
		change, plan admin.Kind
	}{
		{codes.Unauthenticated, admin.Denied, admin.Denied},
		{codes.PermissionDenied, admin.Denied, admin.Denied},
		{codes.Unimplemented, admin.NotReached, admin.NotReached},
		{codes.Unavailable, admin.OutcomeUnknown, admin.NotReached},
		{codes.Internal, admin.OutcomeUnknown, admin.NotReached},
	} {
		refusal := status.Error(row.code, "no")
		operator := admin.NewClient(dial(t, admin.New(admintest.New(t, three...).Deps(), admin.Config{}),
			grpc.UnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) { return nil, refusal }),
			grpc.StreamInterceptor(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error { return refusal })))
		_, err := operator.Pause(t.Context(), admin.PauseRequest{Change: asked("1")})
		if admin.KindOf(err) != row.change {
			t.Errorf("%s: a change: got %v", row.code, err)
		}
		request := admin.SwitchRequest{Change: asked("2"), Storage: "gitaly-2"}
		if _, err = operator.Promote(t.Context(), request, ignore); admin.KindOf(err) != row.change {
			t.Errorf("%s: a switchover: got %v", row.code, err)
		}
		request.DryRun = true
		if _, err = operator.Promote(t.Context(), request, ignore); admin.KindOf(err) != row.plan {
			t.Errorf("%s: a plan: got %v", row.code, err)
		}
	}
}

// An instance that does not reach the leader says that nobody leads, not that
// it was not reached itself.
func TestClient_leaderIsNotReached(t *testing.T) {
	c := admintest.New(t, three...)
	gone := dial(t, admin.New(c.Deps(), admin.Config{}))
	must(t, gone.Close())
	deps := c.Deps()
	deps.Control = admin.NewClient(gone)
	follower := admin.NewClient(dial(t, admin.New(deps, admin.Config{Access: admin.Access{Peers: true}})))
	wantKind(t, admin.NoLeader, errorOf(follower.Pause(t.Context(), admin.PauseRequest{Change: asked("1")})))
}

// A client that is gone has given up, and one whose connection breaks does not
// know how it ended.
func TestService_clientIsGone(t *testing.T) {
	c := admintest.New(t, three...)
	there := blocking(c, admin.StagePauseWrites)
	cc := dial(t, admin.New(c.Deps(), admin.Config{Access: admin.Access{Peers: true}}))
	go func() {
		<-there
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err := admin.NewClient(cc).Promote(t.Context(), admin.SwitchRequest{Change: asked("1"), Storage: "gitaly-2"}, ignore)
	if admin.KindOf(err) != admin.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
	wantKind(t, admin.NotReached, errorOf(admin.NewClient(cc).Pause(t.Context(), admin.PauseRequest{Change: asked("2")}))) // over no connection
	if primary, _ := c.View().VirtualStorage("default").Primary(nil); primary.Name != "gitaly-1" {
		t.Errorf("the primary is %s", primary.Name)
	}
}

func TestService_withoutAControl(t *testing.T) {
	c := admintest.New(t, three...)
	deps := c.Deps()
	deps.Control = nil
	operator := admin.NewClient(dial(t, admin.New(deps, admin.Config{Access: admin.Access{Peers: true}})))
	for _, change := range everyChange(operator) {
		if err := change.call(t.Context(), asked(change.name)); admin.KindOf(err) != admin.NotAvailable {
			t.Errorf("%s: got %v", change.name, err)
		}
	}
	wantKind(t, admin.NotAvailable, errorOf(operator.RaftStatus(t.Context()))) // raft status
}
