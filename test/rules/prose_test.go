package rules

import (
	"regexp"
	"strings"
	"testing"
)

// maxHeadless is how many words in 1,000 may be pronouns that stand for a machine, a person or a
// thing without a name. The pages of seven well-written projects have 0 to 3.4.
const maxHeadless = 4.0

var (
	headless  = regexp.MustCompile(`^(whoever|whatever|whichever|who|whom|what|those|nobody|everybody|somebody|anybody)$`)
	proseWord = regexp.MustCompile(`[A-Za-z']+`)
	shortCode = regexp.MustCompile("`[^`]*`")
)

// headlessIn counts the words of a text, and its pronouns without a noun. Code is left out.
func headlessIn(text string) (words int, found []string) {
	text = shortCode.ReplaceAllString(fencedBlock.ReplaceAllString(text, ""), "")
	for _, word := range proseWord.FindAllString(strings.ToLower(text), -1) {
		words++
		if headless.MatchString(word) {
			found = append(found, word)
		}
	}
	return words, found
}

// checkProse fails if a text has too many pronouns without a noun.
func checkProse(t *testing.T, where, text string) {
	t.Helper()
	words, found := headlessIn(text)
	if rate := 1000 * float64(len(found)) / float64(max(words, 1)); rate > maxHeadless {
		t.Errorf("%s has %.1f pronouns without a noun in 1,000 words, the limit is %.0f: name the subject in place of %q",
			where, rate, maxHeadless, found)
	}
}

func TestProse_countsPronounsOutsideCode(t *testing.T) {
	words, found := headlessIn("Whoever reads `who` knows.\n```\nnobody\n```\nThose are five.")
	if words != 6 || len(found) != 2 {
		t.Errorf("counted %d words and %q, want 6, and whoever and those", words, found)
	}
}

// TestProse_pagesNameTheSubject holds every page to the limit.
func TestProse_pagesNameTheSubject(t *testing.T) {
	for path, text := range pages(t) {
		checkProse(t, path, text)
	}
}

// TestProse_packagesNameTheSubject holds the comment of every package to the limit.
func TestProse_packagesNameTheSubject(t *testing.T) {
	for _, f := range files(t) {
		if f.syntax.Doc != nil && !f.isTest {
			checkProse(t, f.path, f.syntax.Doc.Text())
		}
	}
}

// proseComplete are the packages in which every comment holds the limit, tests left out. A
// package joins when its comments are rewritten, and does not leave.
var proseComplete = []string{
	"cmd/git-remote-gitaly", "cmd/praefect", "cmd/praefectctl", "cmd/terminal", "config", "consensus",
	"consensus/chronicle", "consensus/elector", "consensus/health",
	"consensus/session", "consensus/settings", "deploy", "deploy/packages/manual", "fsm", "fsm/condition", "proxy",
	"proxy/admin", "proxy/admin/admintest",
	"proxy/admin/reboot", "proxy/channel", "proxy/check", "proxy/clientconn", "proxy/console", "proxy/info",
	"proxy/ledger", "proxy/ledger/ledgertest", "proxy/ledger/machine",
	"proxy/measure", "proxy/monitor", "proxy/router", "proxy/secure",
	"proxy/skew", "proxy/storage", "proxy/stream", "proxy/throttle", "proxy/tracing", "proxy/transaction",
	"proxy/transaction/quorum",
	"replicator/cataloguetest", "replicator/plan", "replicator/postgres", "replicator/queue", "replicator/queue/queuetest",
	"test/alerts", "test/attack", "test/bench", "test/browser", "test/busy", "test/cast", "test/cluster", "test/console",
	"test/demo", "test/e2e", "test/failover", "test/gitaly", "test/gitaly/gitalytest", "test/gitaly/internal/vote",
	"test/gitaly/internal/wire", "test/gitaly/memory", "test/gitaly/test-gitaly", "test/install",
	"test/membership", "test/mutants", "test/netns", "test/partition", "test/place", "test/postgres",
	"test/promql", "test/realgitaly", "test/realgitaly/seen", "test/report", "test/rules", "test/runbook", "test/sim",
	"test/sim/simulate", "test/strong", "test/upgrade", "test/workload",
}

// TestProse_commentsNameTheSubject holds all comments of the packages above to the limit.
func TestProse_commentsNameTheSubject(t *testing.T) {
	comments := make(map[string]string)
	for _, f := range files(t) {
		pkg := strings.TrimPrefix(f.pkg, "praefect/")
		if f.isTest {
			continue
		}
		comments[pkg] += "" // a package may have none
		for _, group := range f.syntax.Comments {
			comments[pkg] += group.Text() + "\n"
		}
	}
	for _, pkg := range proseComplete {
		text, ok := comments[pkg]
		if !ok {
			t.Errorf("the package %s does not exist", pkg)
		}
		checkProse(t, "the comments of "+pkg, text)
	}
}
