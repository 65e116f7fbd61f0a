package main

import (
	"bytes"
	"strings"
	"testing"

	"praefect/test/must"
)

func TestReport_verdicts(t *testing.T) {
	const (
		pass  = `{"Action":"pass","Package":"p","Test":"TestA"}`
		skip  = `{"Action":"skip","Package":"p","Test":"TestB"}`
		real  = `{"Action":"skip","Package":"p","Test":"TestRealGitaly"}`
		roll  = `{"Action":"skip","Package":"p","Test":"TestCluster_rollsForthAndBack"}`
		fail  = `{"Action":"output","Package":"p","Test":"TestC","Output":"wrong\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}`
		said  = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:7: wrong\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}`
		build = `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}`
	)
	for _, tc := range []struct {
		name  string
		lines []string
		ci    bool
		want  bool
		shows string
	}{
		{"passed", []string{pass}, true, true, "1 passed, 0 failed, 0 skipped\n"},
		{"nothing ran", nil, false, false, "no test ran"},
		{"failed", []string{pass, fail}, false, false, "wrong\n"},
		{"failed, in short", []string{pass, said}, false, false, "failed tests:\n  p TestC\n    c_test.go:7: wrong\n"},
		{"skipped at home", []string{pass, skip}, false, true, "1 passed, 0 failed, 1 skipped\n"},
		{"skipped in CI", []string{pass, skip}, true, false, "p TestB"},
		{"permitted skip in CI", []string{pass, real}, true, true, "1 skipped"},
		{"permitted skip in a shallow clone", []string{pass, roll}, true, true, "1 skipped"},
		{"does not build", []string{pass, build}, false, false, "x.go:1: broken"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			r := &report{out: &out, output: make(map[string][]string)}
			must.Succeed(t, r.read(strings.NewReader(strings.Join(tc.lines, "\n"))))
			if got := r.close(tc.ci); got != tc.want {
				t.Errorf("got %v, want %v; output:\n%s", got, tc.want, out.String())
			}
			if !strings.Contains(out.String(), tc.shows) {
				t.Errorf("output lacks %q:\n%s", tc.shows, out.String())
			}
		})
	}
}
