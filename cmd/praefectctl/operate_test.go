package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func TestCanReboot(t *testing.T) {
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
	ask := func(args ...string) outcome {
		return i.ctl(append([]string{"can-i", "reboot"}, args...)...)
	}
	ask("gitaly-2").ends(t, 0, "yes: the machine of storage gitaly-2", "before: praefectctl drain gitaly-2 -virtual-storage default -y")
	ask("praefect-1").ends(t, 0, "raft transfer")
	ask("nothing").fails(t, exitError)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	ask("gitaly-1").ends(t, exitRefused, "no: the machine of storage gitaly-1", "a.git") // the only replica
	ask("-virtual-storage", "default", "gitaly-2").ends(t, 0)
	i.Lose("gitaly-3")
	ask("gitaly-2").ends(t, exitRefused, "fewer than consistency.copies (2)") // a storage is away
	i.ctl("-o", "json", "can-i", "reboot", "gitaly-2").ends(t, exitRefused, `"allowed": false`)
	praefectctl(t, nil, "-endpoints", closedPort(t), "can-i", "reboot", "gitaly-2").fails(t, exitUnavailable)
}

func TestDataloss_diff(t *testing.T) {
	i := newInstance(t)
	i.SetReferences("a.git", "gitaly-1", map[string]string{"refs/heads/main": "8a90", "refs/heads/x": "1"})
	i.SetReferences("a.git", "gitaly-2", map[string]string{"refs/heads/main": "41b0", "refs/heads/x": "1"})
	i.ctl("dataloss", "diff", "a.git", "gitaly-1", "gitaly-2").ends(t, exitDegraded, "refs/heads/main  8a90         41b0", "references that differ: 1;")
	i.SetReferences("a.git", "gitaly-2", map[string]string{"refs/heads/main": "8a90", "refs/heads/x": "1"})
	i.ctl("dataloss", "diff", "a.git", "gitaly-1", "gitaly-2").ends(t, 0) // alike
	i.ctl("dataloss", "diff", "a.git", "gitaly-1").fails(t, exitUsage)
	i.ctl("dataloss").ends(t, 0) // dataloss itself
}

// A file of losses is shown as a plan, asked for once, carried out one by one, and recorded.
func TestAcceptDataloss_file(t *testing.T) {
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
	address := i.serve(t)
	for _, path := range []string{"a.git", "b.git"} {
		i.WrittenOnlyTo(path, "gitaly-1")
	}
	i.Lose("gitaly-1")
	file := writeFile(t, "# after the fire\ndefault a.git gitaly-2\n\ndefault\tb.git\tgitaly-3\ndefault clean.git gitaly-2\n")
	before := i.View().Index
	plan := praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-file", file, "-dry-run")
	if plan.code != 0 || i.View().Index != before || strings.Count(plan.stdout, "ACKNOWLEDGED WRITES ARE LOST") != 2 || !strings.Contains(plan.stdout, "repositories: 3, to be accepted: 2") {
		t.Errorf("got %+v", plan)
	}
	for name, args := range map[string][]string{"a wrong number": {"-confirm", "3"}, "-yes": {"-yes"}, "nothing typed": nil} {
		got := praefectctl(t, nil, append([]string{"-endpoints", address, "accept-dataloss", "-file", file}, args...)...)
		if got.code != exitRefused && got.code != exitUsage || i.View().Index != before {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	got := operator{env: map[string]string{"USER": "alice"}, types: "2\n", asked: true}.run(t, "-endpoints", address, "accept-dataloss", "-file", file, "-why", "disk of gitaly-1 burnt")
	if got.code != 0 || !strings.Contains(got.stdout, "losses accepted: 2; failed: 0; not lost: 1") || len(i.View().Losses) != 2 {
		t.Errorf("got %+v", got)
	}
	if got := praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-file", file, "-confirm", "2"); got.code != 0 && got.code != exitRefused {
		t.Errorf("again: got %+v", got)
	}
	praefectctl(t, nil, "-endpoints", address, "dataloss", "accepted").ends(t, 0, "a.git", "gitaly-1: not known, could not be asked", "alice@desk")
	for name, text := range map[string]string{
		"two words": "default a.git\n", "twice": "default a.git gitaly-2\ndefault a.git gitaly-3\n", "nothing": "# nothing\n",
	} {
		if got := praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-file", writeFile(t, text), "-confirm", "1"); got.code != exitUsage {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	unknown := writeFile(t, "default a.git gitaly-9\nother a.git gitaly-2\n")
	praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-file", unknown, "-confirm", "2").fails(t, exitError, "line 1", "line 2")
	praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-file", file, "-repository", "a.git").fails(t, exitUsage)
	praefectctl(t, nil, "-endpoints", address, "accept-dataloss", "-repository", "a.git").fails(t, exitUsage)
}

// One that fails does not keep the others, and the command fails.
func TestAcceptDataloss_fileGoesOn(t *testing.T) {
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
	i.fails(false, admin.Errorf(admin.Refused, "a write is under way"))
	i.WrittenOnlyTo("a.git", "gitaly-1")
	i.WrittenOnlyTo("b.git", "gitaly-1")
	file := writeFile(t, "default a.git gitaly-2\ndefault b.git gitaly-2\n")
	got := i.ctl("accept-dataloss", "-file", file, "-confirm", "2")
	if got.code != exitRefused || !strings.Contains(got.stdout, "a write is under way") || !strings.Contains(got.stdout, "losses accepted: 1; failed: 1") || len(i.View().Losses) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestRepositoryList(t *testing.T) {
	i := newInstance(t)
	i.SetPaths("a.git", "b.git", "c.git")
	i.WrittenOnlyTo("b.git", "gitaly-1")
	list := func(args ...string) outcome {
		return i.ctl(append([]string{"repository", "list"}, args...)...)
	}
	if got := list(); got.code != 0 || strings.Count(got.stdout, ".git") != 3 || !strings.Contains(got.stdout, "repositories: 3;") {
		t.Errorf("got %+v", got)
	}
	if got := list("-limit", "2"); !strings.Contains(got.stdout, "-after b.git") {
		t.Errorf("got %+v", got)
	}
	if got := list("-after", "b.git"); strings.Contains(got.stdout, "b.git") || !strings.Contains(got.stdout, "c.git") {
		t.Errorf("got %+v", got)
	}
	i.SetJobs(nil, admintest.ErrQueue)
	if got := list("-filter", "behind"); got.code != 0 || !strings.Contains(got.stdout, "b.git") || strings.Contains(got.stdout, "a.git") {
		t.Errorf("without Postgres: got %+v", got)
	}
	list().fails(t, exitUnavailable, "give a filter")
	list("-filter", "odd").fails(t, exitUsage)
}

func TestQueueDrop(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	jobs := []admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git", State: "dead"}, {ID: 2, VirtualStorage: "default", RelativePath: "b.git", State: "failed"}}
	i.SetJobs(jobs, nil)
	praefectctl(t, nil, "-endpoints", address, "queue", "drop", "-dry-run").ends(t, 0, "dead jobs that are dropped: 1", "made again")
	operator{types: "n\n", asked: true}.run(t, "-endpoints", address, "queue", "drop").fails(t, exitRefused)
	praefectctl(t, nil, "-endpoints", address, "queue", "drop", "-why", "moved away").ends(t, 0, "jobs dropped: 1")
	praefectctl(t, nil, "-endpoints", address, "queue", "drop", "-state", "in_progress").fails(t, exitUsage)
	if got := praefectctl(t, nil, "-endpoints", address, "queue", "list"); strings.Contains(got.stdout, "a.git") || !strings.Contains(got.stdout, "b.git") {
		t.Errorf("got %+v", got)
	}
}

// follow is standard output of a command that goes on: it cancels when it has seen a text.
type follow struct {
	text  strings.Builder
	until string
	stop  func()
	seen  func(text string)
}

func (f *follow) Write(p []byte) (int, error) {
	n, err := f.text.Write(p)
	if f.seen != nil {
		f.seen(f.text.String())
	}
	if strings.Contains(f.text.String(), f.until) {
		f.stop()
	}
	return n, err
}

// Changes come as they happen, each once, also from another instance.
func TestEvents_follow(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	paused := false
	out := &follow{until: "pause", stop: stop}
	out.seen = func(text string) {
		if !paused && strings.Contains(text, "gitaly-2") {
			paused = true
			praefectctl(t, nil, "-endpoints", address, "pause", "-why", "a test").ends(t, 0)
		}
	}
	got := operator{ctx: ctx, stdout: out}.run(t, "-endpoints", closedPort(t)+","+address, "events", "-f", "-limit", "3", "-interval", "10ms")
	if got.code != 0 || strings.Count(out.text.String(), "paused") != 1 {
		t.Errorf("got %+v, %s", got, out.text.String())
	}
	once := praefectctl(t, nil, "-endpoints", address, "-o", "json", "events", "-limit", "2")
	lines := strings.Split(strings.TrimSpace(once.stdout), "\n")
	var e admin.Event
	if once.code != 0 || len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &e) != nil || !strings.Contains(e.Change, "pause") {
		t.Errorf("got %+v", once)
	}
}

// A bundle has what a person needs, and no secret, even one that an instance lets slip.
func TestDebugBundle(t *testing.T) {
	i := newInstance(t)
	const secret, adminSecret = "client-secret-1", "admin-secret-2"
	address := i.serveAs(t, "praefect-1", "tcp", "127.0.0.1:0", admin.Access{Token: adminSecret})
	other := i.serveAs(t, "praefect-2", "tcp", "127.0.0.1:0", admin.Access{Token: adminSecret})
	i.Raft(func(v *admin.RaftView) {
		for n := range v.Instances {
			v.Instances[n].ClientAddr = "tcp://" + []string{address, other, closedPort(t)}[n]
		}
	})
	i.SetDebug(map[string]string{"settings.json": "{}", "metrics.txt": "a 1\n", "goroutines.txt": "it slipped: " + secret + " " + adminSecret})
	i.WrittenOnlyTo("a.git", "gitaly-1")
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	args := []string{"-endpoints", address, "-token-file", writeFile(t, secret), "debug", "bundle", "-file", file}
	got := praefectctl(t, nil, append([]string{"-admin-token-file", writeFile(t, adminSecret)}, args...)...)
	if got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	files := unpack(t, file)
	for _, name := range []string{"status.json", "raft.json", "history.json", "dataloss.json", "queue.json", "losses.json",
		"instances/praefect-1/settings.json", "instances/praefect-1/metrics.txt", "instances/praefect-2/goroutines.txt", "errors.txt"} {
		content, found := files[name]
		if !found {
			t.Errorf("%s is missing; there are %d files", name, len(files))
		}
		if strings.Contains(content, secret) || strings.Contains(content, adminSecret) {
			t.Errorf("%s holds a secret", name)
		}
	}
	if !strings.Contains(files["dataloss.json"], "a.git") || !strings.Contains(files["errors.txt"], "refused") {
		t.Errorf("got %s, %s", files["dataloss.json"], files["errors.txt"])
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if got := praefectctl(t, nil, args...); got.code != 0 || strings.Contains(unpack(t, file)["errors.txt"], "admin token") == false {
		t.Errorf("without the admin token: got %+v", got)
	}
	praefectctl(t, nil, "-endpoints", closedPort(t), "debug", "bundle", "-file", file).fails(t, exitUnavailable) // no instance
}

// unpack returns the files of a bundle by their names below its top.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer func() { _ = f.Close() }() // it was only read
	zip, err := gzip.NewReader(f)
	must(t, err)
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		content, err := io.ReadAll(archive)
		must(t, err)
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(content)
	}
}

// Every command whose answer changes by itself takes -watch, and prints whole screens.
func TestWatch_everywhere(t *testing.T) {
	i := newInstance(t)
	i.WrittenOnlyTo("a.git", "gitaly-1")
	address := i.serve(t)
	for _, command := range []string{"status", "raft status", "raft peers", "dataloss", "dataloss accepted", "queue list", "history", "explain a.git", "repository list -filter behind"} {
		t.Run(command, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			out := &follow{until: "\x00", stop: stop}
			screens := 0
			out.seen = func(text string) {
				if screens = strings.Count(text, "\x1b[H\x1b[2J"); screens == 3 {
					stop()
				}
			}
			words := strings.Fields(command)
			got := operator{env: screen, ctx: ctx, stdout: out}.run(t, append([]string{"-endpoints", address}, append(words, "-watch", "-interval", "1ms")...)...)
			if got.code != 0 || screens < 3 {
				t.Errorf("got %+v, %d screens", got, screens)
			}
		})
	}
}

// Every changing verb has a plan that changes nothing, asks at a terminal, and notes the reason.
func TestChanges_planQuestionReason(t *testing.T) {
	for _, command := range []string{
		"promote gitaly-2", "drain gitaly-2", "undrain gitaly-2", "pause -for 1h", "resume", "queue retry", "queue drop", "reconcile",
		"raft add praefect-9 h:1", "raft remove praefect-3", "raft retire praefect-2", "raft transfer praefect-2",
	} {
		t.Run(command, func(t *testing.T) {
			i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2", "gitaly-3")}
			i.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git", State: "dead"}}, nil)
			address := i.serve(t)
			words := append([]string{"-endpoints", address}, strings.Fields(command)...)
			if strings.HasPrefix(command, "undrain") {
				if got := praefectctl(t, nil, "-endpoints", address, "drain", "gitaly-2", "-yes"); got.code != 0 {
					t.Fatalf("got %+v", got)
				}
			}
			before, asked := i.View().Index, len(i.Asked())
			if got := praefectctl(t, nil, append(words, "-dry-run")...); got.code != 0 || got.stdout == "" || i.View().Index != before {
				t.Errorf("the plan: got %+v", got)
			}
			if got := (operator{types: "n\n", asked: true}).run(t, words...); got.code != exitRefused || !strings.Contains(got.stderr, "Proceed?") || i.View().Index != before {
				t.Errorf("the question: got %+v", got)
			}
			(operator{asked: true}).run(t, append(words, "-yes", "-why", "because of a test")...).ends(t, 0) // -yes
			changes := i.Asked()[asked:]
			if len(changes) == 0 || changes[len(changes)-1].Why != "because of a test" {
				t.Errorf("the reason: got %+v", changes)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	i := newInstance(t)
	i.SetPaths("@hashed/a.git", "@hashed/b.git", "other.git")
	address := i.serve(t)
	for _, row := range []struct {
		name  string
		words []string
		want  string
	}{
		{"commands", []string{"sta"}, "status"},
		{"sub-commands", []string{"raft", "re"}, "remove retire"},
		{"flags", []string{"drain", "-fo"}, "-force"},
		{"flags with two dashes", []string{"status", "--wat"}, "--watch"},
		{"storages", []string{"-endpoints", address, "promote", ""}, "gitaly-1 gitaly-2"},
		{"storages, after a flag with a value", []string{"-endpoints", address, "promote", "-virtual-storage", "default", "gitaly-2"}, "gitaly-2"},
		{"virtual storages", []string{"-endpoints", address, "status", "-virtual-storage", "d"}, "default"},
		{"instances", []string{"-endpoints", address, "raft", "retire", "praefect-"}, "praefect-1 praefect-2 praefect-3"},
		{"machines", []string{"-endpoints", address, "can-i", "reboot", ""}, "praefect-1 praefect-2 praefect-3 gitaly-1 gitaly-2"},
		{"repositories", []string{"-endpoints", address, "explain", "@hashed/"}, "@hashed/a.git @hashed/b.git"},
		{"the second argument", []string{"-endpoints", address, "dataloss", "diff", "@hashed/a.git", ""}, "gitaly-1 gitaly-2"},
		{"values of a flag", []string{"-o", "y"}, "yaml"},
		{"no more arguments", []string{"-endpoints", address, "promote", "gitaly-1", ""}, ""},
		{"a cluster that is away", []string{"-endpoints", closedPort(t), "promote", ""}, ""},
		{"shells", []string{"completion", ""}, "bash zsh fish"},
	} {
		began := time.Now()
		got := praefectctl(t, nil, append([]string{"__complete", "--"}, row.words...)...)
		var words []string
		for line := range strings.Lines(got.stdout) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, word)
		}
		if strings.Join(words, " ") != row.want || got.code != 0 || got.stderr != "" {
			t.Errorf("%s: got %q, %+v, want %q", row.name, words, got, row.want)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", row.name, took)
		}
	}
	i.SetJobs(nil, admintest.ErrQueue)
	i.WrittenOnlyTo("@hashed/b.git", "gitaly-1")
	if got := praefectctl(t, nil, "__complete", "--", "-endpoints", address, "explain", "@h"); got.stdout != "@hashed/b.git\tbehind\n" {
		t.Errorf("without Postgres: got %+v", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := praefectctl(t, nil, "completion", shell); got.code != 0 || !strings.Contains(got.stdout, "__complete") {
			t.Errorf("%s: got %+v", shell, got)
		}
	}
	praefectctl(t, nil, "completion", "csh").fails(t, exitUsage)
}

// The script works in bash itself: the words go to the program, and what it answers becomes the candidates.
func TestCompletion_inBash(t *testing.T) {
	script := writeFile(t, bashCompletion)
	out, err := exec.Command("bash", "-c", `set -eu
source "$1"
praefectctl() { printf '%s|' "$@" >&2; printf 'gitaly-1\tstorage: serving\ngitaly-2\tstorage: out\n'; }
complete -p praefectctl
COMP_WORDS=(praefectctl -o json promote git); COMP_CWORD=4
_praefectctl 2>/dev/null
printf '<%s>\n' "${COMPREPLY[@]}"
`, "bash", script).CombinedOutput()
	if want := "complete -o default -F _praefectctl praefectctl\n<gitaly-1>\n<gitaly-2>\n"; err != nil || string(out) != want {
		t.Errorf("got %s, %v, want %s", out, err, want)
	}
}
