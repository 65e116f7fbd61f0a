package proxy

import (
	"context"
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/storage"
	"praefect/test/gitaly/memory"
)

// traces are what a few reads leave behind: lines in the log, and series of metrics.
type traces struct {
	lines  []map[string]any
	series map[string]float64
}

// TestFrames_leaveTheSameTraces makes the same calls on both ways, and compares the log and the
// metrics.
func TestFrames_leaveTheSameTraces(t *testing.T) {
	through := tracesOf(t)
	asFrames(t)
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
	w := newFixture(t)
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

	const calls = 6 // beside the creation and the health check
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
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- exists(ctx, conn, "a.git") }()
	<-began
	cancel()
	wants(w.t, <-done, codes.Canceled)
	<-end
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
