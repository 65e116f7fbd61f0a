package proxy

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// traces are what a few reads leave behind: lines in the log, and series of metrics.
type traces struct {
	lines  []map[string]any
	series map[string]float64
}

// TestFrames_leaveTheSameTraces makes the same calls on both ways, and compares the log and the
// metrics.
func TestFrames_leaveTheSameTraces(t *testing.T) {
	forwardsFrames(t, false)
	through := tracesOf(t)
	forwardsFrames(t, true)
	past := tracesOf(t)
	if diff := cmp.Diff(through.lines, past.lines); diff != "" {
		t.Errorf("lines (-through gRPC +as frames):\n%s", diff)
	}
	if diff := cmp.Diff(through.series, past.series); diff != "" {
		t.Errorf("series (-through gRPC +as frames):\n%s", diff)
	}
}

// tracesOf makes calls that end in different ways, and returns what they have left.
func tracesOf(t *testing.T) traces {
	var log lines
	w := newFixtureOf(t, withBlobs(8<<20, nil, nil), false)
	w.server.log = slog.New(slog.NewJSONHandler(&log, nil))
	w.create("a.git")
	conn := w.proved(w.tcp(storage.Credentials(clientToken)))
	ctx := metadata.AppendToOutgoingContext(t.Context(), accessorPolicyHeader, "primary-only",
		correlationHeader, "id-1", "client_name", "gitlab-web", "call_site", "Repository#exists", "deadline_type", "regular",
		"remote_ip", "192.0.2.1", "user_id", "7", "username", "sue")
	refs, blobs := gitalypb.NewRefServiceClient(conn), gitalypb.NewBlobServiceClient(conn)
	repo := &gitalypb.Repository{StorageName: "default", RelativePath: "a.git", GlRepository: "project-1", GlProjectPath: "group/app"}

	_, err := refs.RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repo, Ref: []byte("refs/heads/main")})
	wants(t, err, codes.OK)
	_, err = refs.RefExists(ctx, &gitalypb.RefExistsRequest{Repository: repository("b.git"), Ref: []byte("refs/heads/main")})
	wants(t, err, codes.NotFound)
	_, err = refs.RefExists(ctx, &gitalypb.RefExistsRequest{Ref: []byte("refs/heads/main")})
	wants(t, err, codes.InvalidArgument)
	_, err = gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")})
	wants(t, err, codes.OK)
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	blob, err := blobs.GetBlob(bounded, &gitalypb.GetBlobRequest{Repository: repo, Oid: revision, Limit: -1})
	wants(t, err, codes.OK)
	for err == nil {
		_, err = blob.Recv()
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	w.goesAway(ctx, conn)
	w.goesAwayHalfway(ctx, conn)
	w.losesTheStorageHalfway(ctx, conn)

	const calls = 8 // beside the creation and the health checks
	var found []string
	w.eventually(func() error {
		if found = log.with("gitaly.RefService"); len(found)+len(log.with("GetBlob"))+len(log.with("RepositoryExists")) < calls {
			return fmt.Errorf("lines: %q", found)
		}
		return nil
	})
	if n := w.diverted(refExistsMethod); (n > 0) != framesOn {
		t.Errorf("%d reads were forwarded as frames, setting %t", n, framesOn)
	}
	return traces{linesOf(t, &log), w.seriesOfCalls(calls)}
}

// goesAway has a client give up a read that its storage does not answer.
func (w *fixture) goesAway(ctx context.Context, conn *grpc.ClientConn) {
	w.t.Helper()
	began, end := make(chan struct{}), make(chan struct{})
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		close(began)
		<-ctx.Done()
		close(end)
		return true, nil
	})
	defer w.storages["gitaly-1"].setHook(nil)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	done := make(chan error, 1)
	go func() { done <- exists(ctx, conn, "a.git") }()
	<-began
	cancel()
	wants(w.t, <-done, codes.Canceled)
	<-end
}

// isLate makes a read with a deadline, with a client that leaves the deadline to the instance.
func (w *fixture) isLate() {
	w.t.Helper()
	client := w.attack()
	fields := []hpack.HeaderField{{Name: "grpc-timeout", Value: "100m"}}
	call := func(method string, request proto.Message, more ...hpack.HeaderField) {
		body, err := proto.Marshal(request)
		must.Succeed(w.t, err)
		id, err := client.Open(method, storage.Token(clientToken, time.Now()), more...)
		must.Succeed(w.t, err)
		must.Succeed(w.t, client.Framer.WriteData(id, true, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)))
	}
	ended := func(frames int) {
		w.t.Helper()
		w.eventually(func() error { // with trailers, or with a reset
			client.mu.Lock()
			defer client.mu.Unlock()
			if n := client.seen[http2.FrameHeaders] + client.seen[http2.FrameRSTStream]; n < frames {
				return fmt.Errorf("%d frames", n)
			}
			return nil
		})
	}
	call(exemptMethod, &healthpb.HealthCheckRequest{}) // shows the token
	ended(2)
	call(refExistsMethod, &gitalypb.RefExistsRequest{Repository: repository("a.git"), Ref: []byte("refs/heads/main")}, fields...)
	ended(3)
}

// beginsBlob begins a download, and takes the first message.
func (w *fixture) beginsBlob(ctx context.Context, conn *grpc.ClientConn) gitalypb.BlobService_GetBlobClient {
	w.t.Helper()
	blob, err := gitalypb.NewBlobServiceClient(conn).GetBlob(ctx, &gitalypb.GetBlobRequest{Repository: repository("a.git"), Oid: revision, Limit: -1})
	must.Succeed(w.t, err)
	_, err = blob.Recv()
	must.Succeed(w.t, err)
	return blob
}

// rest is how a download ends.
func rest(blob gitalypb.BlobService_GetBlobClient) (err error) {
	for err == nil {
		_, err = blob.Recv()
	}
	return err
}

// goesAwayHalfway has a client give up a download.
func (w *fixture) goesAwayHalfway(ctx context.Context, conn *grpc.ClientConn) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	blob := w.beginsBlob(ctx, conn)
	cancel()
	wants(w.t, rest(blob), codes.Canceled)
}

// losesTheStorageHalfway has a storage die during a download. gRPC's clients have a status of their own for an answer that ends within a
// message, as it may where frames are forwarded.
func (w *fixture) losesTheStorageHalfway(ctx context.Context, conn *grpc.ClientConn) {
	w.t.Helper()
	blob := w.beginsBlob(ctx, conn)
	w.storages["gitaly-1"].Kill()
	err := rest(blob)
	if !framesOn || status.Convert(err).Message() != io.ErrUnexpectedEOF.Error() {
		wants(w.t, err, codes.Unavailable)
	}
}

// TestFrames_deadline: a call ends at its deadline on both ways, whether the client ends it or leaves that to the instance, and its line
// says that it was late or was given up, whichever the instance learned first.
func TestFrames_deadline(t *testing.T) {
	ends := map[string]func(*fixture){
		"client": func(w *fixture) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			wants(t, exists(ctx, w.proved(w.tcp(storage.Credentials(clientToken))), "a.git"), codes.DeadlineExceeded)
		},
		"instance": func(w *fixture) { w.isLate() },
	}
	for _, frames := range []bool{false, true} {
		forwardsFrames(t, frames)
		for name, end := range ends {
			var log lines
			w := newFixture(t)
			w.server.log = slog.New(slog.NewJSONHandler(&log, nil))
			for _, b := range w.storages {
				b.setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
					<-ctx.Done()
					return false, status.FromContextError(ctx.Err()).Err()
				})
			}
			end(w)
			w.eventually(func() error {
				found := log.with("RefExists")
				if len(found) == 1 && (strings.Contains(found[0], `"Canceled"`) || strings.Contains(found[0], `"DeadlineExceeded"`)) {
					return nil
				}
				return fmt.Errorf("frames %t, the %s ends the call: lines %q", frames, name, found)
			})
		}
	}
}

func wants(t *testing.T, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("got %v, want %v", err, code)
	}
}

// linesOf are the lines about reads, without the facts that differ from run to run.
func linesOf(t *testing.T, log *lines) (all []map[string]any) {
	t.Helper()
	for _, text := range log.with("finished call") {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["grpc.meta.method_operation"] != "accessor" {
			continue
		}
		for _, key := range []string{"time", "grpc.start_time", "grpc.time_ms", "peer.address", "grpc.request.deadline"} {
			if line[key] == nil && key != "grpc.request.deadline" {
				t.Errorf("no %s in %s", key, text)
			}
			if line[key] != nil {
				line[key] = "some"
			}
		}
		if line["grpc.code"] != "OK" && line["grpc.method"] == "GetBlob" { // how far it came
			line["err"], line["grpc.response.payload_bytes"] = "some", "some"
		}
		all = append(all, line)
	}
	slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

// seriesOfCalls are the counters of calls, and the counts of their histograms, once so many reads are
// counted.
func (w *fixture) seriesOfCalls(calls float64) map[string]float64 {
	w.t.Helper()
	var series map[string]float64
	w.eventually(func() error {
		series = make(map[string]float64)
		families, err := w.registry.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			name := family.GetName()
			if !slices.ContainsFunc([]string{"grpc_", "gitaly_"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				continue
			}
			for _, one := range family.GetMetric() {
				labels := make(map[string]string)
				for _, label := range one.GetLabel() {
					labels[label.GetName()] = label.GetValue()
				}
				if service := labels["grpc_service"]; strings.HasPrefix(service, "grpc.health") || service == "gitaly.ServerService" {
					continue // the instance asks these when it likes
				}
				if labels["grpc_method"] == "GetBlob" && strings.Contains(name, "_msg_") {
					continue // some downloads end halfway
				}
				value := one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount())
				series[name+" "+fmt.Sprint(slices.Sorted(maps.Keys(labels)), labels)] = value
			}
		}
		handled := w.sample("gitaly_praefect_method_types")
		if handled < calls || w.sample("grpc_server_started_total") != w.sample("grpc_server_handled_total") || w.sample("grpc_client_started_total") != w.sample("grpc_client_handled_total") {
			return fmt.Errorf("%v calls are counted", handled)
		}
		return nil
	})
	return series
}
