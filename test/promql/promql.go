// Package promql reads from a PromQL expression which metrics it uses, and which of their labels. It
// promises that no metric and no label of an expression is missed: anything that it cannot place
// is an error. Tests of rules and dashboards use it; Prometheus itself judges the rest of the
// grammar.
package promql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Use is all that one expression uses.
type Use struct {
	// Metrics are the names, each with the labels that its matchers name.
	Metrics map[string][]string
	// Groups are the labels of by, without, on and the like.
	Groups []string
}

var (
	token    = regexp.MustCompile(`^(?:\s+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9]+(?:\.[0-9]+)?(?:[a-z]+)?|=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},])`)
	name     = regexp.MustCompile(`^[a-zA-Z_:]`)
	grouping = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	keywords = []string{"and", "or", "unless", "bool", "offset"}
)

// Parse reads an expression.
func Parse(expression string) (Use, error) {
	use := Use{Metrics: make(map[string][]string)}
	tokens, err := split(expression)
	if err != nil {
		return use, err
	}
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		word := tokens[i]
		switch {
		case slices.Contains(grouping, word):
			if at(i+1) != "(" {
				return use, fmt.Errorf("no list after %q in %q", word, expression)
			}
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					use.Groups = append(use.Groups, tokens[i])
				}
			}
		case !name.MatchString(word) || slices.Contains(keywords, word):
			if word == "{" {
				return use, fmt.Errorf("a selector without a name in %q", expression)
			}
		case at(i+1) == "(" || slices.Contains(grouping, at(i+1)): // a function or an aggregation
		default:
			labels := use.Metrics[word]
			if at(i+1) == "{" {
				for i += 2; i < len(tokens) && tokens[i] != "}"; i++ {
					if name.MatchString(tokens[i]) {
						labels = append(labels, tokens[i])
					}
				}
			}
			use.Metrics[word] = labels
		}
	}
	if len(use.Metrics) == 0 {
		return use, fmt.Errorf("no metric in %q", expression)
	}
	return use, nil
}

// split cuts an expression into its words; spaces and ranges go.
func split(expression string) (tokens []string, err error) {
	for rest := expression; rest != ""; {
		word := token.FindString(rest)
		if word == "" {
			return nil, fmt.Errorf("unknown text in %q: %q", expression, rest)
		}
		rest = rest[len(word):]
		if strings.TrimSpace(word) != "" && word[0] != '[' {
			tokens = append(tokens, word)
		}
	}
	return tokens, nil
}

// Base is the metric that a series belongs to: the series of a histogram have the name of their family.
func Base(series string, known func(name string) bool) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(series, suffix); ok && !known(series) && known(base) {
			return base
		}
	}
	return series
}
