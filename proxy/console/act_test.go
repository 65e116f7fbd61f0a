package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"praefect/proxy/admin"
)

func TestAct_promotes(t *testing.T) {
	w := begin(t)
	news := w.signedIn(actToken).act(map[string]any{"verb": "promote", "storage": "gitaly-2", "virtual_storage": "default", "why": "new kernel"})
	last := string(news[len(news)-1]["result"])
	if !strings.Contains(last, "gitaly-2 is the primary of default") || !strings.Contains(last, "praefectctl promote gitaly-1 -virtual-storage default") {
		t.Errorf("the result is %s", last)
	}
	if len(news) < 3 {
		t.Errorf("no progress: %v", news)
	}
	asked := w.Switched()
	if by := asked[len(asked)-1].By; !strings.HasPrefix(by, "operator: promote gitaly-2 (alice, console of praefect-1): new kernel") {
		t.Errorf("the history says %q", by)
	}
	if primary, _ := w.View().VirtualStorage("default").Primary(nil); primary.Name != "gitaly-2" {
		t.Errorf("the primary is %s", primary.Name)
	}
}

func TestAct_onlyWhatWasPlanned(t *testing.T) {
	w := begin(t)
	u := w.signedIn(actToken)
	var plan struct {
		RequestID string `json:"request_id"`
		Epoch     uint64
	}
	order := map[string]any{"verb": "promote", "storage": "gitaly-2"}
	u.post("/api/plan", order, &plan)
	u.act(map[string]any{"verb": "promote", "storage": "gitaly-3"}) // somebody else is faster
	order["request_id"], order["epoch"] = plan.RequestID, plan.Epoch
	body := `{"verb":"promote","storage":"gitaly-2","request_id":"` + plan.RequestID + `","epoch":1}`
	_, text, _ := u.ask(http.MethodPost, "/api/act", []byte(body), map[string]string{"Content-Type": "application/json", "X-Praefect-Csrf": u.csrf})
	if !strings.Contains(string(text), `"REFUSED"`) {
		t.Errorf("a plan that has been overtaken: %s", text)
	}
}

func TestAct_twiceIsOnce(t *testing.T) {
	w := begin(t)
	u := w.signedIn(actToken)
	order := map[string]any{"verb": "pause", "virtual_storage": "default", "request_id": "the-same", "for_ms": 60_000}
	for range 3 {
		if code := u.post("/api/act", order, nil); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
	}
	for _, asked := range w.Asked() {
		if asked.RequestID != "the-same" {
			t.Errorf("asked with the id %q", asked.RequestID)
		}
	}
}

func TestAct_givesUpBeforeTheCutOver(t *testing.T) {
	w := begin(t)
	u := w.signedIn(actToken)
	holding := make(chan struct{})
	gaveUp, release := make(chan error, 1), make(chan struct{})
	w.At = func(ctx context.Context, method string, stage admin.Stage) (bool, error) {
		if stage != admin.StagePauseWrites {
			return true, nil
		}
		close(holding)
		select {
		case <-ctx.Done():
			gaveUp <- ctx.Err()
		case <-release:
		}
		return false, admin.Errorf(admin.Canceled, "given up")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/api/act", strings.NewReader(`{"verb":"promote","storage":"gitaly-2","request_id":"1"}`))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Praefect-Csrf", u.csrf)
	response, err := u.http.Do(r)
	must(t, err)
	defer response.Body.Close()
	bound := time.NewTimer(time.Minute)
	defer bound.Stop()
	select {
	case <-holding:
	case <-bound.C:
		t.Fatal("the switchover does not begin")
	}
	cancel() // the page goes away
	select {
	case <-gaveUp:
	case <-bound.C:
		t.Error("the switchover goes on without its page")
		close(release)
	}
	if primary, _ := w.View().VirtualStorage("default").Primary(nil); primary.Name != "gitaly-1" {
		t.Errorf("the primary is %s", primary.Name)
	}
}

func TestAct_lossWantsTheNameTyped(t *testing.T) {
	w := begin(t)
	w.WrittenOnlyTo("a.git", "gitaly-1")
	u := w.signedIn(actToken)
	order := map[string]any{"verb": "accept-dataloss", "virtual_storage": "default", "relative_path": "a.git", "storage": "gitaly-2", "request_id": "1"}
	for _, typed := range []string{"", "gitaly-1", "GITALY-2"} {
		order["confirm"] = typed
		var f fault
		if code := u.post("/api/act", order, &f); code != http.StatusConflict || f.Kind != "REFUSED" {
			t.Errorf("typed %q: status %d, %+v", typed, code, f)
		}
	}
	w.unchanged()
	news := u.act(map[string]any{"verb": "accept-dataloss", "virtual_storage": "default", "relative_path": "a.git", "storage": "gitaly-2"})
	if result := string(news[len(news)-1]["result"]); !strings.Contains(result, "gitaly-2 has the right replica of a.git") {
		t.Errorf("the result is %s", result)
	}
}

func TestAct_everyVerb(t *testing.T) {
	w := begin(t)
	w.SetVerified("b.git", admin.VerifyResponse{Primary: "gitaly-1", Replicas: []admin.VerifiedReplica{{Storage: "gitaly-1", Result: admin.ReplicaAlike}}})
	u := w.signedIn(actToken)
	for _, order := range []map[string]any{
		{"verb": "drain", "storage": "gitaly-3"}, {"verb": "undrain", "storage": "gitaly-3"},
		{"verb": "pause"}, {"verb": "resume"}, {"verb": "queue-retry"}, {"verb": "queue-drop"}, {"verb": "transfer", "instance": "praefect-2"},
		{"verb": "verify", "virtual_storage": "default", "relative_path": "b.git"}, {"verb": "verify-all"}, {"verb": "reconcile"},
	} {
		news := u.act(order)
		if last := news[len(news)-1]; last["result"] == nil {
			t.Errorf("%v: %s", order["verb"], last["fault"])
		}
	}
}

func TestSearch_pages(t *testing.T) {
	w := begin(t)
	for i := range 250 {
		w.WrittenOnlyTo("group/"+string(rune('a'+i%26))+"/"+strings.Repeat("p", i/26+1)+".git", "gitaly-1")
	}
	u := w.signedIn(readToken)
	w.SetPaths("group/a/p.git", "group/clean.git", "other.git")
	seen, path := map[string]bool{}, "/api/repositories?"
	for range 10 {
		var page struct {
			Repositories []admin.Repository
			After        *struct {
				VirtualStorage string `json:"virtual_storage"`
				RelativePath   string `json:"relative_path"`
			}
		}
		if code := u.get(path, &page); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
		if len(page.Repositories) > 100 {
			t.Errorf("a page of %d", len(page.Repositories))
		}
		for _, r := range page.Repositories {
			seen[r.RelativePath] = true
		}
		if page.After == nil {
			break
		}
		path = "/api/repositories?after_vs=" + page.After.VirtualStorage + "&after_path=" + page.After.RelativePath
	}
	if len(seen) != 250 {
		t.Errorf("found %d of 250", len(seen))
	}
	var some struct{ Repositories []admin.Repository }
	u.get("/api/repositories?text=UP/B/", &some)
	if len(some.Repositories) != 10 {
		t.Errorf("%d repositories match, want 10", len(some.Repositories))
	}
	u.get("/api/repositories?only=all&text=group/", &some)
	if len(some.Repositories) != 2 {
		t.Errorf("the catalogue has %d repositories with the prefix, want 2", len(some.Repositories))
	}
	u.get("/api/repositories?only=conflict", &some)
	if len(some.Repositories) != 0 {
		t.Errorf("%d are in conflict", len(some.Repositories))
	}
}
