// Package check owns the checks that tell an operator, or GitLab, whether an instance can do its work: their names, which
// are upstream's, how much each weighs, and how they are run.
//
// It promises that no check outlives its bound by more than its own code does, and that a service
// which this project can do without, such as Postgres, is never a reason to call an instance
// unready.
//
// ReadinessCheck and the command `praefect check` run the same list: they make it of the functions
// below, each of which takes its question as a function, and give it to [Run].
package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Severity is how much a failed check weighs. It prints as upstream's output has it.
type Severity string

// The severities.
const (
	// Warning: something is amiss, and requests are served all the same.
	Warning Severity = "warning"
	// Fatal: requests cannot be served as they should be.
	Fatal Severity = "fatal"
)

// DefaultTimeout bounds a check whose caller named no time.
const DefaultTimeout = 5 * time.Second

// Check is one question, with its name.
type Check struct {
	// Name is upstream's, by which scripts know the check.
	Name string
	// Description is the question in words.
	Description string
	// Severity is the weight of a failure of Run.
	Severity Severity
	// Run returns the fault, or nil, and ends when ctx does.
	Run func(ctx context.Context) error
}

// ErrNotAsked is the error that Run of a Check matches if the question could not be put: the check has neither passed nor found
// anything, and counts as a Warning.
var ErrNotAsked = errors.New("could not be checked")

// Result is the outcome of a check.
type Result struct {
	Check
	// Err is the fault, nil if there is none.
	Err error
}

// Run runs all checks at once, each for at most timeout, DefaultTimeout if that is not positive. The results come in the
// order of the checks.
func Run(ctx context.Context, checks []Check, timeout time.Duration) []Result {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	results := make([]Result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			results[i] = Result{Check: c, Err: c.Run(ctx)}
			if errors.Is(results[i].Err, ErrNotAsked) {
				results[i].Severity = Warning
			}
		})
	}
	wg.Wait()
	return results
}

// Ready reports whether no fatal check failed.
func Ready(results []Result) bool {
	for _, r := range results {
		if r.Err != nil && r.Severity == Fatal {
			return false
		}
	}
	return true
}

// Migrations asks how many migrations of this release the database lacks. The daemon applies them by itself, and only
// repair waits for them.
func Migrations(pending func(ctx context.Context) (int, error)) Check {
	return Check{
		Name:        "praefect migrations",
		Description: "the schema in Postgres is that of this release",
		Severity:    Warning,
		Run: func(ctx context.Context) error {
			n, err := pending(ctx)
			if err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%d migrations have not been run: run `praefect sql-migrate`", n)
			}
			return nil
		},
	}
}

// Storages asks whether every storage is reached, and serves the configured storage from a disk that can be read and written.
func Storages(dial func(ctx context.Context) error) Check {
	return Check{
		Name:        "gitaly node connectivity & disk access",
		Description: "every storage is reached, and serves what is configured from a disk that it can read and write",
		Severity:    Fatal,
		Run:         dial,
	}
}

// Ours asks whether the database is one that this release can begin with: not that of an upstream Praefect that it
// cannot take over from.
func Ours(look func(ctx context.Context) error) Check {
	return Check{
		Name:        "database is not an upstream Praefect's",
		Description: "no upstream Praefect keeps repositories in this database under paths of its own",
		Severity:    Fatal,
		Run:         look,
	}
}

// Database asks whether Postgres can be read and written. Only the queue of repair work is in it.
func Database(probe func(ctx context.Context) error) Check {
	return Check{
		Name:        "database read/write",
		Description: "Postgres answers, and takes a write",
		Severity:    Warning,
		Run:         probe,
	}
}

// Certificates asks whether the certificate that this instance shows to clients and to other instances can be used: it has its key, is
// valid now, and has the names by which it is verified.
func Certificates(judge func(ctx context.Context) error) Check {
	return Check{
		Name:        "certificates",
		Description: "the certificates of this instance have their keys and names, and are valid now",
		Severity:    Fatal,
		Run:         judge,
	}
}

// Expiry asks whether one of them is about to expire.
func Expiry(judge func(ctx context.Context) error) Check {
	return Check{
		Name:        "certificates' expiry",
		Description: "no certificate of this instance expires soon",
		Severity:    Warning,
		Run:         judge,
	}
}

// Unavailable asks how many repositories have no storage that serves and has every acknowledged write.
func Unavailable(count func(ctx context.Context) (int, error)) Check {
	return Check{
		Name:        "unavailable repositories",
		Description: "every repository has a storage that serves all of it",
		Severity:    Warning,
		Run: func(ctx context.Context) error {
			n, err := count(ctx)
			switch {
			case err != nil:
				return err
			case n == 1:
				return errors.New("1 repository is unavailable: `praefect dataloss` names it")
			case n > 1:
				return fmt.Errorf("%d repositories are unavailable: `praefect dataloss` names them", n)
			}
			return nil
		},
	}
}

// Leader asks whether the instances have a leader, without which nothing can be changed and writes stop.
func Leader(problems func(ctx context.Context) ([]string, error)) Check {
	return Check{
		Name: "praefect leader", Description: "the instances have a leader, and belong to one cluster", Severity: Fatal, Run: none(problems),
	}
}

// Quorum asks whether as many instances vote as the settings list, and whether one more may fail.
func Quorum(problems func(ctx context.Context) ([]string, error)) Check {
	return Check{
		Name: "praefect quorum", Description: "every instance of the settings votes, and the cluster can lose one", Severity: Warning, Run: none(problems),
	}
}

// Conditions asks for everything else that is not as it should be anywhere in the cluster.
func Conditions(problems func(ctx context.Context) ([]string, error)) Check {
	return Check{
		Name: "praefect conditions", Description: "nothing else in the cluster is degraded or unavailable", Severity: Warning, Run: none(problems),
	}
}

// none fails with the problems, if there are any.
func none(problems func(ctx context.Context) ([]string, error)) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		list, err := problems(ctx)
		if err == nil && len(list) > 0 {
			err = errors.New(strings.Join(list, "; "))
		}
		return err
	}
}
