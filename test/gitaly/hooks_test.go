package gitaly_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/gitalytest"
)

// hooked is a repository on two storages with the same hooks, and what counts
// their votes.
type hooked struct {
	*fixture
	*gitalytest.Coordinator
	voting  *fixture // over a connection with a backchannel
	objects gitalytest.Objects
	log     string // where the hooks write
}

// newHooked makes repositories whose hooks note that they ran, and what they
// know, and then do what is given.
func newHooked(t *testing.T, then map[string]string) *hooked {
	t.Helper()
	h := &hooked{fixture: start(t), Coordinator: &gitalytest.Coordinator{}, log: filepath.Join(t.TempDir(), "log")}
	conn := gitalytest.DialVoting(t, h.address, token, h.Coordinator)
	h.voting = &fixture{clients: newClients(conn), dir: h.dir, address: h.address}
	hooks := make(map[string]string)
	for _, name := range []string{"pre-receive", "update", "post-receive"} {
		hooks["custom_hooks/"+name] = fmt.Sprintf("#!/bin/sh\necho \"%s $GL_ID $* $(cat)\" >>%s\n%s\n", name, h.log, then[name])
	}
	for _, storage := range []string{"one", "two"} {
		repo := h.repository(storage)
		if _, err := h.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo}); err != nil {
			t.Fatal(err)
		}
		h.objects = h.seed(t, repo)
		gitalytest.Subject{Conn: h.conn}.SetHooks(t, repo, hooks)
	}
	return h
}

func (h *hooked) repository(storage string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: storage, RelativePath: "a.git"}
}

// ran returns what the hooks wrote.
func (h *hooked) ran(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(h.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(raw)
}

const pushID = 77

// pushed pushes the first commit to both storages, the primary first: a
// secondary waits for the primary in no way that this coordinator minds.
func (h *hooked) pushed(t *testing.T) (answers [2]string) {
	t.Helper()
	for i, storage := range []string{"one", "two"} {
		repo := h.repository(storage)
		data := pushOf(t, h.path(repo), "refs/heads/main", zero, h.objects.Commits[0])
		answer, err := h.voting.push(gitalytest.InTransaction(t, t.Context(), pushID, storage, storage == "one"), repo, data)
		if err != nil {
			t.Errorf("push to %q: %v", storage, err)
		}
		answers[i] = answer
	}
	return answers
}

func (h *hooked) main(t *testing.T, storage string) string {
	t.Helper()
	return git(t, h.path(h.repository(storage)), nil, "for-each-ref", "--format=%(objectname)", "refs/heads/main")
}

func TestServer_customHooks(t *testing.T) {
	// The hook sees what the push brought, as those who read it do.
	h := newHooked(t, map[string]string{"post-receive": `git rev-parse --verify refs/heads/main && echo committed`})
	answers := h.pushed(t)
	if !strings.Contains(answers[0], "ok refs/heads/main") || !strings.Contains(answers[1], "ok refs/heads/main") {
		t.Errorf("got answers %q", answers)
	}
	line := fmt.Sprintf("%s %s refs/heads/main", zero, h.objects.Commits[0])
	want := fmt.Sprintf("pre-receive key-1  %s\nupdate key-1 refs/heads/main %s %s \npost-receive key-1  %s\n", line, zero, h.objects.Commits[0], line)
	if got := h.ran(t); got != want {
		t.Errorf("got hooks\n%s\nwant those of one storage:\n%s", got, want)
	}
	var phases []string
	for _, v := range h.Votes(pushID, "one") {
		phases = append(phases, strings.TrimSuffix(v.Phase.String(), "_PHASE"))
	}
	if got, want := strings.Join(phases, " "), "SYNCHRONIZED SYNCHRONIZED PREPARED COMMITTED SYNCHRONIZED COMMITTED"; got != want {
		t.Errorf("got votes %s, want %s", got, want)
	}
}

func TestServer_customHooksWithoutTransaction(t *testing.T) {
	h := newHooked(t, map[string]string{"update": "exit 1"})
	repo := h.repository("one")
	answer, err := h.push(t.Context(), repo, pushOf(t, h.path(repo), "refs/heads/main", zero, h.objects.Commits[0]))
	if err != nil || !strings.Contains(answer, "ng refs/heads/main hook declined") {
		t.Errorf("got %q, %v", answer, err)
	}
	if got := h.ran(t); !strings.Contains(got, "pre-receive") || !strings.Contains(got, "update") || strings.Contains(got, "post-receive") {
		t.Errorf("got hooks %q", got)
	}
}

// A push that a hook of the primary refuses is called off everywhere.
func TestServer_customHookRefuses(t *testing.T) {
	for _, hook := range []string{"pre-receive", "update"} {
		h := newHooked(t, map[string]string{hook: "echo not today >&2; exit 3"})
		answers := h.pushed(t)
		for i, storage := range []string{"one", "two"} {
			if !strings.Contains(answers[i], "ng refs/heads/main") {
				t.Errorf("%s: %s: got answer %q", hook, storage, answers[i])
			}
			if got := h.main(t, storage); got != "" {
				t.Errorf("%s: %s: main is at %q", hook, storage, got)
			}
		}
		if !h.Stopped(pushID) {
			t.Errorf("%s: the transaction was not stopped", hook)
		}
	}
}

// Changes by users run the same hooks, and say what they said.
func TestServer_customHookRefusesUsers(t *testing.T) {
	h := newHooked(t, map[string]string{"pre-receive": "echo not today >&2; exit 3"})
	committed := func(storage string, primary bool) error {
		_, err := h.voting.commit(t, gitalytest.InTransaction(t, t.Context(), pushID, storage, primary), edit(h.repository(storage)), create("a", "one"))
		return err
	}
	err := committed("one", true)
	var said *gitalypb.CustomHookError
	for _, detail := range status.Convert(err).Details() {
		if d, ok := detail.(*gitalypb.UserCommitFilesError); ok {
			said = d.GetCustomHook()
		}
	}
	if status.Code(err) != codes.PermissionDenied || string(said.GetStderr()) != "not today\n" {
		t.Errorf("primary: got %v with %v", err, said)
	}
	if err := committed("two", false); status.Code(err) != codes.Aborted {
		t.Errorf("secondary: got %v, want Aborted", err)
	}
	for _, storage := range []string{"one", "two"} {
		if got := h.main(t, storage); got != "" {
			t.Errorf("%s: main is at %q", storage, got)
		}
	}
	if got := strings.Count(h.ran(t), "pre-receive user-1"); got != 1 {
		t.Errorf("the hook ran %d times, want once", got)
	}
}
