// Command mutants shows that the simulation would notice: each patch beside it
// takes one rule out of the shipped code, and is applied to a copy of the tree,
// where the simulation must then break a promise with the seed that the patch
// names. It exits with 1 if a mutant survives, or a patch no longer applies.
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

// try returns what the simulation said of one mutant.
func try(ctx context.Context, tree, patch string, search int) (string, error) {
	text, err := os.ReadFile(patch)
	if err != nil {
		return "", err
	}
	seed, n, err := named(text)
	if err != nil {
		return "", err
	}
	if search > 0 {
		seed, n = 1, search
	}
	if err := copyTree(".", tree); err != nil {
		return "", fmt.Errorf("copy the tree: %w", err)
	}
	apply := exec.CommandContext(ctx, "patch", "-p1", "--fuzz=2", "--no-backup-if-mismatch", "-s")
	apply.Dir, apply.Stdin = tree, bytes.NewReader(text)
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the patch does not apply: %s", strings.TrimSpace(string(out)))
	}
	binary := filepath.Join(tree, "simulate")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./test/sim/simulate")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the mutant does not build: %s", strings.TrimSpace(string(out)))
	}
	simulate := exec.CommandContext(ctx, binary, "-seed", strconv.FormatUint(seed, 10), "-n", strconv.Itoa(n))
	var said bytes.Buffer
	simulate.Stderr = &said
	err = simulate.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", errors.New("it survives")
	case errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 2 && strings.HasPrefix(first, "panic: ")):
		return first, nil
	}
	return "", fmt.Errorf("simulate: %w: %s", err, first)
}

// named reads from the head of a patch the seed that notices, and how many
// seeds from there on may be needed.
func named(patch []byte) (seed uint64, n int, err error) {
	n = 1
	for line := range strings.Lines(string(patch)) {
		if strings.HasPrefix(line, "--- ") {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Seed":
			seed, err = strconv.ParseUint(value, 10, 64)
		case "Seeds":
			n, err = strconv.Atoi(value)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read %q: %w", line, err)
		}
	}
	if seed == 0 {
		return 0, 0, errors.New("it names no seed")
	}
	return seed, n, nil
}

// copyTree makes to a copy of the sources in from.
func copyTree(from, to string) error {
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
		if !strings.HasSuffix(path, ".go") && d.Name() != "go.mod" && d.Name() != "go.sum" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
}
