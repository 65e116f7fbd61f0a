package votes

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// lookVariable has this program run in a hook: it names the file with a lookout.
const lookVariable = "VOTES_LOOK"

// lookout is what the program in a hook needs to know.
type lookout struct {
	Token, Path string
	Instances   []string // their addresses
	Seen        string   // the file to write to, a line for each read
}

// look reads what git tells a post-receive hook, and reads each of these references
// through each instance. What differs, and how many reads there were, is written
// down.
func look(file string, input io.Reader) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var l lookout
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	seen, err := os.OpenFile(l.Seen, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close() }() // each line was written at once
	ctx, cancel := context.WithTimeout(context.Background(), operationLimit)
	defer cancel()
	for lines := bufio.NewScanner(input); lines.Scan(); {
		var before, want, ref string
		if _, err := fmt.Sscan(lines.Text(), &before, &want, &ref); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		for _, addr := range l.Instances {
			got, err := l.find(ctx, addr, ref)
			verdict := "fresh"
			if got != want {
				verdict = "stale"
			}
			if _, err := fmt.Fprintf(seen, "%s: %s is %s, and %q through %s: %v\n", verdict, ref, want, got, addr, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l lookout) find(ctx context.Context, addr, ref string) (string, error) {
	conn, err := cluster.Dial(addr, l.Token)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // nothing is under way
	return workload.Client{Conn: conn, VirtualStorage: vs}.Find(ctx, l.Path, ref)
}

// setHooks gives a repository hooks of its own.
func (w *harness) setHooks(ctx context.Context, path string, hooks map[string]string) error {
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	for name, text := range hooks {
		header := &tar.Header{Name: "custom_hooks/" + name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		_, err := out.Write(nil)
		if err = errors.Join(err, out.WriteHeader(header)); err != nil {
			return err
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	client := w.client(w.Instances[0])
	stream, err := gitalypb.NewRepositoryServiceClient(client.Conn).SetCustomHooks(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&gitalypb.SetCustomHooksRequest{Repository: client.Repository(path), Data: archive.Bytes()})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err = stream.CloseAndRecv(); err != nil {
		return fmt.Errorf("set the hooks of %q: %w", path, err)
	}
	return nil
}

// fromAHook: what a post-receive hook reads through any instance is never older than
// what it was called for.
func fromAHook(t *testing.T, w *harness) {
	const path = "group/hooked.git"
	dir := t.TempDir()
	config, seen := filepath.Join(dir, "lookout.json"), filepath.Join(dir, "seen")
	l := lookout{Token: w.Token, Path: path, Seen: seen}
	for _, i := range w.Instances {
		l.Instances = append(l.Instances, i.Addr)
	}
	text, err := json.Marshal(l)
	must.Succeed(t, err)
	must.Succeed(t, os.WriteFile(config, text, 0o600))
	program, err := os.Executable()
	must.Succeed(t, err)
	w.make(t, path)
	must.Succeed(t, w.setHooks(t.Context(), path, map[string]string{
		"post-receive": fmt.Sprintf("#!/bin/sh\nexec env %s=%s %s\n", lookVariable, config, program),
	}))

	checkout := w.clone(t, path)
	const pushes, commits = 3, 9
	rounds := int(workload.FromEnv(t, "SUITE_ROUNDS", 1))
	for n := range rounds * pushes {
		_, err := checkout.Push(t.Context(), w.Instances[n%3].URL(vs, path), "pushed", fmt.Sprintf("push-%d", n))
		must.Succeed(t, err)
	}
	for n := range rounds * commits {
		_, err := w.client(w.Instances[n%3]).Commit(t.Context(), path, "committed", fmt.Sprintf("commit-%d", n))
		must.Succeed(t, err)
	}
	text, err = os.ReadFile(seen)
	must.Succeed(t, err)
	reads := bytes.Count(text, []byte("\n"))
	if want := rounds * (pushes + commits) * len(w.Instances); reads != want {
		t.Errorf("the hook has read %d times, want %d", reads, want)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "fresh") {
			t.Error(line)
		}
	}
	w.equalNow(t, path)
	w.lap(t, "%d reads from a hook", reads)
}

// refused: the client sees what a pre-receive hook says, and nothing has changed
// anywhere.
func refused(t *testing.T, w *harness) {
	const path, complaint = "group/refusing.git", "not with me, says the hook"
	w.make(t, path)
	must.Succeed(t, w.setHooks(t.Context(), path, map[string]string{"pre-receive": "#!/bin/sh\necho '" + complaint + "' >&2\nexit 1\n"}))
	w.settled(t)
	before := w.refs(t, path)
	checkout := w.clone(t, path)
	for _, i := range w.Instances {
		_, err := checkout.Push(t.Context(), i.URL(vs, path), "main", "refused")
		if err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("a push that the hook refuses ends with %v, want its words", err)
		}
		if _, err := w.client(i).Commit(t.Context(), path, "main", "refused"); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("a commit that the hook refuses ends with %v, want its words", err)
		}
	}
	w.unchanged(t, path, before)
	w.equalNow(t, path)
	if dirty := w.sum(t, "praefect_in_doubt_repositories"); dirty > 0 {
		t.Errorf("%v repositories are in doubt", dirty)
	}
	w.lap(t, "refused by a hook")
}
