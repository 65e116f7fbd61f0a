package main

import (
	"io"
	"strings"
	"testing"
)

func TestCreation_isWhatGitReads(t *testing.T) {
	c := commit{strings.Repeat("a", 40), []byte("PACK…")}
	const want = "0071" + "0000000000000000000000000000000000000000 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa refs/heads/a\x00report-status\n" + "0000PACK…"
	if got := string(creation("refs/heads/a", c)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAccepted_namesWhatWasRefused(t *testing.T) {
	const ref = "refs/heads/a"
	if err := accepted("000eunpack ok\n0014ok refs/heads/a\n0000", ref); err != nil {
		t.Error(err)
	}
	for _, report := range []string{"", "000eunpack ok\n", "000eunpack ok\n0020ng refs/heads/a hook declined\n0000"} {
		if err := accepted(report, ref); err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%q: got %v", report, err)
		}
	}
}

func TestJudge_holdsFiguresAgainstAims(t *testing.T) {
	var out strings.Builder
	judge(&out, figures{
		of("up_git", direct, 1, "MB/s", []float64{100}), of("up_git", proxied, 1, "MB/s", []float64{80}),
		of("write_ref_votes_per_call", strong, 1, "votes", []float64{6, 6, 5}),
		of("push_one_repository_failed", proxied, pushers, "pushes", []float64{0, 1, 0}),
	})
	for _, want := range []string{"up_git proxied of direct", "80.000", "MISSES THE AIM", "votes per voted write", "as aimed", "DEFECT"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	judge(io.Discard, nil) // with nothing to judge it says nothing
}

func TestTable_showsAimsBesideWhatWasMeasured(t *testing.T) {
	var out strings.Builder
	table(&out, figures{
		of("read_of_direct", proxied, 1, "of direct", []float64{0.4, 0.5, 0.6}), of("read_of_direct", bare, 1, "of direct", []float64{0.7}),
		of("read_of_direct", streamed, 1, "of direct", []float64{0.8}), of("read_of_direct", proxied, 16, "of direct", []float64{0.3}),
		of("cpu_per_gb", proxied, 1, "s", []float64{0.6}), of("cpu_per_gb_"+copying, proxied, 1, "s", []float64{0.5}),
	})
	for _, want := range []string{
		"of direct | 1 |  | 0.7 (0.7–0.7) | 0.5 (0.4–0.6) | 0.8 (0.8–0.8) | ≥ 0.45 | reached |", "| 16 |  |  | 0.3 (0.3–0.3) |  | ≥ 0.5 | **missed** |",
		"| 1 | 0.5 (0.5–0.5) |  | 0.6 (0.6–0.6) |  | ≤ 0.7 | reached |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "idle") {
		t.Error("it has a row that was not measured")
	}
	table(io.Discard, nil) // with nothing to show it shows nothing
}

func TestOfDirect_comparesWithinARound(t *testing.T) {
	got := ofDirect("clone", proxied, 1, map[string][]float64{direct: {100, 50, 200}, proxied: {50, 40, 60}})
	if got.Name != "clone_of_direct" || got.Min != 0.3 || got.Median != 0.5 || got.Max != 0.8 {
		t.Errorf("got %+v", got)
	}
}
