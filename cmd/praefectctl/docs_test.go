package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

// pages are the pages whose samples show what the commands print.
const pages = "../../docs/operations/*.md"

// hooked is a replica that a hook on the primary made different.
var hooked = state.Change{RelativePath: "@hashed/ab/cd.git", Storage: "gitaly-2", Why: "its references differ"}

// scenes are the clusters that the samples in the pages are taken from, by the
// word after "console".
var scenes = map[string]func(*instance){
	"": func(*instance) {},
	"mixed": func(i *instance) {
		for name, version := range map[string]string{"gitaly-1": "16.7.2", "gitaly-2": "16.7.2", "gitaly-3": "18.9.0"} {
			reach := i.Observation("default", name)
			reach.ServerVersion, reach.GitVersion = version, map[string]string{"16.7.2": "2.42.0", "18.9.0": "2.53.0"}[version]
			i.Observe(name, reach)
		}
	},
	"degraded": func(i *instance) { i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1", "gitaly-2"); i.Lose("gitaly-3") },
	"leaderless": func(i *instance) {
		i.Raft(func(v *admin.RaftView) { v.Leader = "" })
	},
	"peer-away": func(i *instance) {
		i.Raft(func(v *admin.RaftView) {
			away := &v.Instances[2] // all else the instance itself tells
			*away = admin.Instance{Name: away.Name, ID: away.ID, Addr: away.Addr, ClientAddr: away.ClientAddr, Voter: away.Voter}
			away.State, away.Error = admin.Unreachable, "dial tcp 10.0.0.3:2307: connect: connection refused"
		})
	},
	"behind": func(i *instance) { i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1", "gitaly-3") },
	"conflict": func(i *instance) {
		i.Conflict("@hashed/ab/cd.git", "gitaly-1", state.Conflict{
			Storage: "gitaly-3", Primary: "gitaly-1", Time: time.Date(2026, 11, 23, 9, 14, 0, 0, time.UTC).UnixMilli(), Differing: 12,
			Sample: []state.DifferingReference{
				{Name: "refs/heads/main", Here: "8a90f1dd3bc2", There: "41b06cc01e9f"}, {Name: "refs/heads/wip", There: "c3d7220a9945"},
			},
			Here:  state.ConflictSide{Commit: "8a90f1dd3bc2", Time: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC).Unix()},
			There: state.ConflictSide{Commit: "c3d7220a9945", Time: time.Date(2026, 11, 21, 17, 30, 0, 0, time.UTC).Unix()},
		})
	},
	"instance lost": func(i *instance) {
		i.Apply(state.Command{Register: &state.Register{ID: "id-2", Name: "praefect-2"}})
	},
	"in doubt": func(i *instance) {
		i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1", "gitaly-2")
		dead := i.Died("@hashed/ab/cd.git", "gitaly-1")
		i.SetWaiting("@hashed/ab/cd.git", &admin.Waiting{Reason: "in-doubt-intent", Incarnation: dead, Storages: []string{"gitaly-1"}, LeftMillis: 6000})
		i.SetJobs([]admin.Job{{
			ID: 91, VirtualStorage: "default", RelativePath: "@hashed/ab/cd.git", Target: "gitaly-3", State: "ready", Attempt: 1,
			NotBefore: time.Date(2026, 11, 23, 9, 14, 3, 0, time.UTC),
			WaitsFor:  &admin.Waiting{Reason: "in-doubt-intent", Incarnation: dead, Storages: []string{"gitaly-1"}, LeftMillis: 6000},
		}}, nil)
	},
	"absent": func(i *instance) { i.Absent("@hashed/no/ne.git"); i.SetJobs(nil, admintest.ErrQueue) },
	"switched": func(i *instance) {
		for _, r := range []admin.SwitchRequest{
			{Change: admin.Change{RequestID: "1", By: "operator: promote gitaly-2 (alice@desk): kernel of gitaly-1"}, Storage: "gitaly-2"},
		} {
			r.VirtualStorage = admintest.VirtualStorage
			if _, err := i.Promote(i.t.Context(), r, func(admin.Progress) {}); err != nil {
				i.t.Fatal(err)
			}
		}
	},
	"lost": func(i *instance) {
		i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1")
		i.WrittenOnlyTo("@hashed/ef/01.git", "gitaly-1", "gitaly-2")
		i.Lose("gitaly-1")
	},
	"contexts": func(*instance) {},
	"three":    func(*instance) {},
	"only-here": func(i *instance) {
		i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1")
	},
	"burnt": func(i *instance) {
		i.WrittenOnlyTo("@hashed/ab/cd.git", "gitaly-1")
		i.WrittenOnlyTo("@hashed/ef/01.git", "gitaly-1")
		i.SetReferences("@hashed/ab/cd.git", "gitaly-2", map[string]string{"refs/heads/main": "8a90f1dd3bc2", "refs/heads/fix": "c3d7220a9945"})
		i.SetReferences("@hashed/ab/cd.git", "gitaly-3", map[string]string{"refs/heads/main": "41b06cc01e9f"})
		i.Lose("gitaly-1")
		losses := "default @hashed/ab/cd.git gitaly-2\ndefault @hashed/ef/01.git gitaly-3\n"
		must(i.t, os.WriteFile("losses.txt", []byte(losses), 0o600))
	},
	"verified": func(i *instance) {
		i.SetVerified("@hashed/ab/cd.git", admin.VerifyResponse{Primary: "gitaly-1", Replicas: []admin.VerifiedReplica{
			{Storage: "gitaly-1", Result: admin.ReplicaAlike, Checked: true},
			{Storage: "gitaly-2", Result: admin.ReplicaDiffers, Checked: true, What: "its references differ"},
			{Storage: "gitaly-3", Result: admin.ReplicaSkipped, What: "it does not serve, or is behind"},
		}})
	},
	"verifying": func(i *instance) { i.SetRepositories(8214, nil, hooked) },
	"verifying-history": func(i *instance) {
		i.SetRepositories(8214, nil, hooked)
		if _, err := i.Deps().Verification.Requested(i.t.Context(), admintest.VirtualStorage); err != nil {
			i.t.Fatal(err)
		}
	},
	"jobs": func(i *instance) {
		due := time.Date(2026, 11, 23, 9, 14, 3, 0, time.UTC)
		i.SetJobs([]admin.Job{
			{ID: 87, VirtualStorage: "default", RelativePath: "@hashed/ab/cd.git", Target: "gitaly-2", State: "failed", Attempt: 2, Error: "copy: deadline exceeded", NotBefore: due,
				WaitsFor: &admin.Waiting{Reason: "live-intent", Instance: "praefect-2", Incarnation: 4}},
			{ID: 88, VirtualStorage: "default", RelativePath: "@hashed/ef/01.git", Target: "gitaly-2", State: "dead", Attempt: 10, Error: "copy: no space left on device", NotBefore: due,
				WaitsFor: &admin.Waiting{Reason: "failed"}},
		}, nil)
	},
}

// TestManual_samples runs every command that a page of the manual shows, and compares. To
// write the samples again: UPDATE_MANUAL=1 go test ./cmd/praefectctl -run TestManual
func TestManual_samples(t *testing.T) {
	paths, err := filepath.Glob(pages)
	must(t, err)
	samples := 0
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { samples += checkPage(t, path) })
	}
	if samples < 10 {
		t.Errorf("only %d samples in %d pages: are they found?", samples, len(paths))
	}
}

// checkPage compares the samples of one page, and returns how many it has.
func checkPage(t *testing.T, path string) (samples int) {
	text, err := os.ReadFile(path)
	must(t, err)
	var out strings.Builder
	for rest := string(text); ; {
		before, after, found := strings.Cut(rest, "```console")
		out.WriteString(before)
		if !found {
			break
		}
		scene, after, _ := strings.Cut(after, "\n")
		sample, after, closed := strings.Cut(after, "```\n")
		set := scenes[strings.TrimSpace(scene)]
		if !closed || set == nil {
			t.Fatalf("a sample of %q that has no end or no scene", scene)
		}
		now := replay(t, set, sample)
		if now != sample {
			t.Errorf("the page shows\n%swhat is printed is\n%s", sample, now)
		}
		out.WriteString("```console" + scene + "\n" + now + "```\n")
		rest = after
		samples++
	}
	if os.Getenv("UPDATE_MANUAL") != "" && out.String() != string(text) {
		must(t, os.WriteFile(path, []byte(out.String()), 0o644))
	}
	return samples
}

// replay runs the commands of a sample in a cluster of their own and returns
// the sample as it is now.
func replay(t *testing.T, set func(*instance), sample string) string {
	back, err := os.Getwd()
	must(t, err)
	home := t.TempDir() // the samples write files
	must(t, os.Chdir(home))
	defer func() {
		must(t, os.Chdir(back))
	}()
	i := &instance{t: t, Cluster: admintest.NewAt(t, time.Date(2026, 11, 23, 9, 14, 3, 0, time.UTC), "gitaly-1", "gitaly-2", "gitaly-3")}
	set(i)
	env := map[string]string{"PRAEFECT_ENDPOINTS": i.socket(t), "USER": "alice", "LANG": "C.UTF-8", "HOME": home}
	var out bytes.Buffer
	code := "0"
	for line := range strings.Lines(sample) {
		command, shown := strings.CutPrefix(line, "$ ")
		if !shown {
			continue
		}
		out.WriteString(line)
		if strings.HasPrefix(command, "echo $?") {
			out.WriteString(code + "\n")
			continue
		}
		words := shellWords(strings.TrimSpace(command))
		got := operator{env: env, both: &out}.run(t, append([]string{"-no-color"}, words[1:]...)...)
		code = string(rune('0' + got.code))
	}
	return out.String()
}

// shellWords splits a command at spaces that do not stand in double quotes.
func shellWords(command string) (words []string) {
	for n, part := range strings.Split(command, `"`) {
		if n%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
