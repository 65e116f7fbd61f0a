// Command mutants shows that the simulation would notice: each patch beside it
// takes one rule out of the shipped code, and is applied to a copy of the tree,
// where the simulation must then break a promise with the seed that the patch
// names, or the test that it names fail. It exits with 1 if a mutant survives, or a patch no longer applies.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	search := flag.Int("search", 0, "in place of the seed named, try so many and print the first that notices")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *search, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run tries the patches named, or all.
func run(ctx context.Context, search int, patches []string) error {
	if len(patches) == 0 {
		var err error
		if patches, err = filepath.Glob("test/mutants/*.patch"); err != nil {
			return fmt.Errorf("list patches: %w", err)
		}
	}
	if len(patches) == 0 {
		return errors.New("no patch: run this from the root of the tree")
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return fmt.Errorf("make a directory for copies: %w", err)
	}
	defer os.RemoveAll(dir)
	var faults []error
	for _, patch := range patches {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		began := time.Now()
		said, err := try(ctx, filepath.Join(dir, "tree"), patch, search)
		if err != nil {
			said = "FAILED: " + err.Error()
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(patch), err))
		}
		fmt.Printf("%-48s %5.1f s  %s\n", filepath.Base(patch), time.Since(began).Seconds(), said)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d of %d mutants were not found", len(faults), len(patches))
	}
	return nil
}

// try returns the first line that the simulation printed about one mutant.
func try(ctx context.Context, tree, patch string, search int) (string, error) {
	text, err := os.ReadFile(patch)
	if err != nil {
		return "", err
	}
	finder, err := named(text)
	if err != nil {
		return "", err
	}
	if search > 0 {
		finder.seed, finder.seeds = 1, search
	}
	if err := copyTree(".", tree, finder.test != ""); err != nil {
		return "", fmt.Errorf("copy the tree: %w", err)
	}
	apply := exec.CommandContext(ctx, "patch", "-p1", "--fuzz=2", "--no-backup-if-mismatch", "-s")
	apply.Dir, apply.Stdin = tree, bytes.NewReader(text)
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the patch does not apply: %s", strings.TrimSpace(string(out)))
	}
	if finder.test != "" {
		return fail(ctx, tree, finder)
	}
	return simulate(ctx, tree, finder)
}

// fail returns the failure of the test that notices a mutant.
func fail(ctx context.Context, tree string, f finder) (string, error) {
	build := exec.CommandContext(ctx, "go", "vet", f.pkg)
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the mutant does not build: %s", strings.TrimSpace(string(out)))
	}
	test := exec.CommandContext(ctx, "go", "test", "-trimpath", "-count=1", "-run", "^"+strings.ReplaceAll(f.test, "/", "$/^")+"$", f.pkg)
	test.Dir = tree
	out, err := test.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", fmt.Errorf("it survives: %s passes without the rule", f.test)
	case !errors.As(err, &exit):
		return "", fmt.Errorf("test: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.Contains(line, "_test.go:") {
			return line, nil
		}
	}
	return "", fmt.Errorf("test: %w: %s", err, strings.TrimSpace(string(out)))
}

// simulate returns the first line that the simulation printed about a mutant.
func simulate(ctx context.Context, tree string, f finder) (string, error) {
	binary := filepath.Join(tree, "simulate")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./test/sim/simulate")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the mutant does not build: %s", strings.TrimSpace(string(out)))
	}
	run := exec.CommandContext(ctx, binary, "-seed", strconv.FormatUint(f.seed, 10), "-n", strconv.Itoa(f.seeds))
	var said bytes.Buffer
	run.Stderr = &said
	err := run.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", fmt.Errorf("it survives the seeds %d to %d: -search N tries N seeds from 1 on; "+
			"if thousands do not notice, name a test in the head: \"Test: ./package TestName\"", f.seed, f.seed+uint64(f.seeds)-1)
	case errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 2 && strings.HasPrefix(first, "panic: ")):
		return first, nil
	}
	return "", fmt.Errorf("simulate: %w: %s", err, first)
}

// finder is the seed or the test that notices a mutant.
type finder struct {
	// seed is that of the simulation, and seeds how many from there on may be needed.
	seed  uint64
	seeds int
	// test is the name of a test, of the package pkg, where the simulation does not
	// use the code that the patch changes.
	pkg, test string
}

// named reads the finder from the head of a patch.
func named(patch []byte) (finder, error) {
	f := finder{seeds: 1}
	for line := range strings.Lines(string(patch)) {
		if strings.HasPrefix(line, "--- ") {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		var err error
		switch key {
		case "Seed":
			f.seed, err = strconv.ParseUint(value, 10, 64)
		case "Seeds":
			f.seeds, err = strconv.Atoi(value)
		case "Test":
			f.pkg, f.test, _ = strings.Cut(value, " ")
		}
		if err != nil {
			return finder{}, fmt.Errorf("read %q: %w", line, err)
		}
	}
	if (f.seed == 0) == (f.test == "") {
		return finder{}, errors.New("it names neither a seed nor a test, or both")
	}
	return f, nil
}

// copyTree makes to a copy of the sources in from, with all that tests need or
// without.
func copyTree(from, to string, tests bool) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == ".git" || base == "build" || base == "docs" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if !tests && !strings.HasSuffix(path, ".go") && d.Name() != "go.mod" && d.Name() != "go.sum" || !tests && strings.HasSuffix(path, "_test.go") || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o755)
	})
}
