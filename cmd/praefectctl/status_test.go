package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"praefect/proxy/admin"
)

func TestStatus_table(t *testing.T) {
	filling := newInstance(t)
	filling.Returned("default", "gitaly-2", "another disk")
	healthy := newInstance(t)
	degraded := newInstance(t)
	degraded.Lose("gitaly-2")
	degraded.Wrote("a.git", "gitaly-1")
	unavailable := newInstance(t)
	unavailable.Wrote("a.git", "gitaly-1")
	unavailable.Lose("gitaly-1")
	for _, row := range []struct {
		name     string
		instance *instance
		code     int
		want     string
	}{
		{"healthy", healthy, 0, `
* default: healthy, primary gitaly-1, epoch 2
   STORAGE   ROLE       STANDING  REACHABLE  BEHIND
*  gitaly-1  primary    serving   yes        0
*  gitaly-2  secondary  serving   yes        0

healthy; leader praefect-1; answered by praefect-1
`},
		{"filling", filling, 3, `
! default: degraded, primary gitaly-1, epoch 3
   STORAGE   ROLE       STANDING      REACHABLE  BEHIND
*  gitaly-1  primary    serving       yes        0
~  gitaly-2  secondary  filling 4/10  yes        0

degraded; leader praefect-1; answered by praefect-1
`},
		{"degraded", degraded, 3, `
! default: degraded, primary gitaly-1, epoch 2
   STORAGE   ROLE       STANDING  REACHABLE  BEHIND  PROBLEM
*  gitaly-1  primary    serving   yes        0
x  gitaly-2  secondary  serving   no         1       connection refused

degraded; leader praefect-1; answered by praefect-1
`},
		{"unavailable", unavailable, 4, `
x default: unavailable, primary gitaly-1, epoch 2
   STORAGE   ROLE       STANDING  REACHABLE  BEHIND  PROBLEM
x  gitaly-1  primary    serving   no         0       connection refused
*  gitaly-2  secondary  serving   yes        1
x unavailable repositories: 1; list: praefectctl dataloss -virtual-storage default

unavailable; leader praefect-1; answered by praefect-1
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := praefectctl(t, nil, "-endpoints", row.instance.serve(t), "status")
			if got.code != row.code || "\n"+got.stdout != row.want || got.stderr != "" {
				t.Errorf("got %d, %s\n%swant\n%s", got.code, got.stderr, got.stdout, row.want)
			}
		})
	}
}

func TestStatus_onATerminal(t *testing.T) {
	address := newInstance(t).serve(t)
	for _, row := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{terminal, nil, "\x1b[32m●\x1b[0m default: healthy"},
		{terminal, []string{"-no-color"}, "● default: healthy"},
		{map[string]string{"LANG": "en_US.UTF-8", "NO_COLOR": "1"}, nil, "● default: healthy"},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, nil, "\x1b[32m*\x1b[0m default: healthy"},
	} {
		got := praefectctl(t, row.env, append(row.args, "-endpoints", address, "status")...)
		if got.code != 0 || !strings.HasPrefix(got.stdout, row.want) {
			t.Errorf("%v %v: got %d\n%q", row.env, row.args, got.code, got.stdout)
		}
	}
}

func TestStatus_json(t *testing.T) {
	i := newInstance(t)
	i.Lose("gitaly-2")
	got := praefectctl(t, nil, "status", "-endpoints", i.serve(t), "-virtual-storage", "default", "-o", "json")
	var answer admin.StatusResponse
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if got.code != exitDegraded || answer.Schema != 1 || answer.VirtualStorages[0].Storages[1].Error != "connection refused" {
		t.Errorf("got %d, %+v", got.code, answer)
	}
	if got := praefectctl(t, nil, "status", "-endpoints", i.serve(t), "-virtual-storage", "no"); got.code != exitError || !strings.Contains(got.stderr, `no virtual storage "no"`) {
		t.Errorf("an unknown virtual storage: got %+v", got)
	}
}

func TestDataloss(t *testing.T) {
	i := newInstance(t)
	address := i.serve(t)
	got := praefectctl(t, nil, "-endpoints", address, "dataloss")
	if want := (outcome{0, "* every repository is on every storage that serves\n", ""}); got != want {
		t.Errorf("nothing: got %+v", got)
	}

	i.Wrote("a.git", "gitaly-1")
	got = praefectctl(t, nil, "-endpoints", address, "dataloss")
	if want := `   VIRTUAL STORAGE  REPOSITORY  AVAILABLE  BEHIND
~  default          a.git       yes        gitaly-2

repositories: 1 behind on a storage, 0 of them unavailable
`; got != (outcome{0, want, ""}) {
		t.Errorf("behind: got %d\n%s", got.code, got.stdout)
	}

	i.Lose("gitaly-1")
	got = praefectctl(t, nil, "-endpoints", address, "-o", "json", "dataloss")
	if want := `{
  "schema": 1,
  "repositories": [
    {
      "virtual_storage": "default",
      "relative_path": "a.git",
      "available": false,
      "behind": [
        "gitaly-2"
      ]
    }
  ]
}
`; got != (outcome{4, want, ""}) {
		t.Errorf("unavailable: got %d\n%s", got.code, got.stdout)
	}
}

func TestDataloss_ofMoreThanOnePage(t *testing.T) {
	i := newInstance(t)
	const count = admin.MaxPage + 1
	for n := range count {
		i.Wrote(fmt.Sprintf("%d.git", n), "gitaly-1")
	}
	got := praefectctl(t, nil, "-endpoints", i.serve(t), "-o", "json", "dataloss")
	var answer admin.DatalossResponse
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || len(answer.Repositories) != count {
		t.Errorf("got %d repositories, %v", len(answer.Repositories), err)
	}
}
