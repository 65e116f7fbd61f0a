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

// TestProse_commentsNameTheSubject holds all comments of each package to the limit, tests left
// out.
func TestProse_commentsNameTheSubject(t *testing.T) {
	comments := make(map[string]string)
	for _, f := range files(t) {
		pkg := strings.TrimPrefix(f.pkg, "praefect/")
		if f.isTest {
			continue
		}
		for _, group := range f.syntax.Comments {
			comments[pkg] += group.Text() + "\n"
		}
	}
	for pkg, text := range comments {
		checkProse(t, "the comments of "+pkg, text)
	}
}
