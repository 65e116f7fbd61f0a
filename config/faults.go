package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Key is the path to the key: names of tables and keys, and positions in
	// arrays, as in virtual_storage, 0, node, 1, address.
	Key []string `json:"key"`
	// Message names the fault and the next step. It never holds a secret.
	Message string `json:"message"`
	// Line and Column tell where in the text the key is, or the table that
	// lacks it; both count from 1 and are 0 where the text has no such place.
	Line, Column int `json:"-"`
}

// String returns the fault as one line for people.
func (f Fault) String() string {
	text := f.Message
	if len(f.Key) > 0 {
		text = strings.Join(f.Key, ".") + ": " + text
	}
	if f.Line > 0 {
		text = fmt.Sprintf("line %d column %d: %s", f.Line, f.Column, text)
	}
	return text
}

// Faults is the error of a configuration that can be read but not used. It
// holds at least one fault and all that could be found, in the order of the
// text; those without a place in it come last.
type Faults []Fault

// Error returns all faults, one a line.
func (f Faults) Error() string {
	if len(f) == 1 {
		return f[0].String()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d faults in the configuration", len(f))
	for _, fault := range f {
		text.WriteString("\n  " + fault.String())
	}
	return text.String()
}

// Report is the JSON of `configuration validate`, in upstream's form.
type Report struct {
	// Errors are the faults.
	Errors []Fault `json:"errors"`
}

// Report returns the faults in the form that upstream's tools expect.
func (f Faults) Report() Report { return Report{Errors: f} }

// SyntaxError is the error of a text that is not TOML. Nothing else can be
// said about such a text, so it comes alone.
type SyntaxError struct {
	// Line and Column count from 1.
	Line, Column int
	// Message is the parser's.
	Message string
}

// Error returns upstream's form of such an error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d column %d: toml: %s", e.Line, e.Column, e.Message)
}

// findings collects faults while a configuration is judged.
type findings struct {
	doc  *document
	list Faults
	seen map[string]bool
}

func newFindings(doc *document) *findings {
	return &findings{doc: doc, seen: map[string]bool{}}
}

// add notes a fault of the key. Only the first fault of a key counts, and none inside a table that
// is itself at fault: a consequence of a mistake is not another one.
func (f *findings) add(key []string, format string, args ...any) {
	for n := range key {
		if f.seen[pathID(key[:n+1])] {
			return
		}
	}
	f.seen[pathID(key)] = true
	at := f.doc.position(key)
	f.list = append(f.list, Fault{
		Key:     slices.Clone(key),
		Message: fmt.Sprintf(format, args...),
		Line:    at.line,
		Column:  at.column,
	})
}

// err returns the faults as an error, or nil when there are none.
func (f *findings) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(boolRank(a.Line == 0), boolRank(b.Line == 0)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	return f.list
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// keyPath joins names and positions to a key path.
func keyPath(parts ...any) []string {
	path := make([]string, 0, len(parts))
	for _, part := range parts {
		path = append(path, fmt.Sprint(part))
	}
	return path
}

// under returns the key path of something inside of another; the other one
// stays as it is.
func under(path []string, parts ...any) []string {
	return slices.Concat(path, keyPath(parts...))
}
