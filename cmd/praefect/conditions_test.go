package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
	"praefect/replicator"
	"praefect/replicator/queue"
)

// onlyConditions tells whether an answer has no conditions but these, the first one among them.
func onlyConditions(answer admin.StatusResponse, first condition.Name, others ...condition.Name) bool {
	found := false
	for _, c := range answer.Conditions {
		found = found || c.Name == first
		if c.Name != first && !slices.Contains(others, c.Name) {
			return false
		}
	}
	return found
}

// certificateFileOf writes a certificate that expires at a time.
func certificateFileOf(t *testing.T, path string, ends time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.Add(-365 * 24 * time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

func TestCertificates_areReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.crt")
	c := &certificates{files: []certificateFile{{"tls.certificate_path", path}}}
	now := time.Now().Truncate(time.Second)
	if got := c.left(now); len(got) != 1 || got[0].Problem == "" {
		t.Errorf("without a file: got %+v", got)
	}
	certificateFileOf(t, path, now.Add(24*time.Hour))
	if got := c.left(now.Add(time.Second)); got[0].Problem == "" {
		t.Errorf("a moment later: got %+v, want what was read before", got)
	}
	later := now.Add(certificateAge)
	if got := c.left(later); got[0].Problem != "" || got[0].Left != 24*time.Hour-certificateAge || got[0].Key != "tls.certificate_path" {
		t.Errorf("read again: got %+v", got)
	}
	must(t, os.WriteFile(path, []byte("no certificate"), 0o600))
	if got := c.left(later.Add(certificateAge)); got[0].Problem != errNoCertificate.Error() {
		t.Errorf("of another file: got %+v", got)
	}
}

func TestStuckRepairs(t *testing.T) {
	cluster := admintest.New(t, "gitaly-1", "gitaly-2")
	cluster.WrittenOnlyTo("a.git", "gitaly-1")
	cluster.WrittenOnlyTo("b.git", "gitaly-1")
	job := func(path string, attempt, failures int, s queue.State) queue.Job {
		return queue.Job{Key: state.Key{VirtualStorage: "default", RelativePath: path}, Attempt: attempt, Failures: failures, State: s}
	}
	for _, tc := range []struct {
		name  string
		jobs  []queue.Job
		looks int
		want  string
	}{
		{"few attempts", []queue.Job{job("a.git", 5, 5, queue.Failed)}, 5, ""},
		{"many failures", []queue.Job{job("a.git", 6, 6, queue.Failed)}, 1, "more than 5 attempts: 1, such as a.git after 6 attempts"},
		{"dead", []queue.Job{job("a.git", 10, 2, queue.Dead)}, 1, "such as a.git after 10 attempts"},
		{"it waits", []queue.Job{job("a.git", 583, 0, queue.Ready)}, stuckLooks, "after 583 attempts: it waits for a write of praefect-2"},
		{"it waits for a moment", []queue.Job{job("a.git", 7, 0, queue.Ready)}, stuckLooks - 1, ""},
		{"the worst of two", []queue.Job{job("a.git", 7, 7, queue.Failed), job("b.git", 9, 9, queue.Failed)}, 1, "more than 5 attempts: 2, such as b.git"},
		{"of a repository that is clean again", []queue.Job{job("c.git", 9, 9, queue.Failed)}, 1, ""},
	} {
		s := &stuckRepairs{view: func() *state.State { return cluster.View() }, waits: func(j queue.Job) *admin.Waiting {
			if j.State != queue.Ready {
				return nil
			}
			return &admin.Waiting{Reason: "live-intent", Instance: "praefect-2"}
		}}
		var got []condition.Raised
		for range tc.looks {
			got = s.judge(tc.jobs)
		}
		switch {
		case tc.want == "" && len(got) > 0:
			t.Errorf("%s: got %+v", tc.name, got)
		case tc.want != "" && (len(got) != 1 || got[0].Name != condition.RepairWaits || !strings.Contains(got[0].Text, tc.want)):
			t.Errorf("%s: got %+v, want %q", tc.name, got, tc.want)
		}
	}
}

// TestStuckRepairs_onlyTheLeaderLooks: the others show what it has found.
func TestStuckRepairs_onlyTheLeaderLooks(t *testing.T) {
	leads := false
	jobs := queue.NewMemory(nil)
	s := &stuckRepairs{queue: jobs, view: func() *state.State { return &state.State{} }, leads: func() bool { return leads }, log: slog.New(slog.DiscardHandler)}
	s.raised = []condition.Raised{{Name: condition.RepairWaits}}
	s.look(t.Context())
	if got := s.list(); len(got) > 0 {
		t.Errorf("one that does not lead any more shows %+v", got)
	}
}

// TestServe_tellsItsConditions: /readyz and the log say the same as status.
func TestServe_tellsItsConditions(t *testing.T) {
	config := settings{nodes: []string{"tcp://127.0.0.1:1"}}.write(t)
	i := serve(t, config)
	i.awaitReady()
	eventually(t, func() error {
		code, body := get(i.t, i.http+"/readyz")
		if code != 200 || !strings.HasPrefix(body, "ok\n") || !strings.Contains(body, "unavailable: no-primary: ") || !strings.Contains(body, "degraded: storage-away: ") {
			return fmt.Errorf("got %d %q", code, body)
		}
		_, metrics := get(i.t, i.http+"/metrics")
		if !strings.Contains(metrics, `praefect_condition{condition="no-primary",level="unavailable"} 1`) || !strings.Contains(metrics, `praefect_condition{condition="no-leader",level="unavailable"} 0`) {
			return errors.New("the metrics do not say so")
		}
		return nil
	})
}

func TestNotCompared_saysWhatIsLeft(t *testing.T) {
	n := replicator.NotCompared{VirtualStorage: "default", Storages: []string{"gitaly-3"}, Recovered: time.Unix(0, 0), Left: 7}
	for left, want := range map[int]string{7: "7 repositories", -1: "because Postgres is away"} {
		n.Left = left
		text := notCompared(n)
		contains(t, text, want, "1970-01-01T00:00:00Z", `["gitaly-3"] of default`)
	}
}
