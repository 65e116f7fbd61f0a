package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"time"
)

// ErrNoSettings is wrapped by the error of Load for a file without any setting, such as the one that
// a package installs: no restart mends that, an operator must write the settings first.
var ErrNoSettings = errors.New("the file has no settings; `praefect configuration init` writes those of a new cluster")

// Load reads and judges the file at path with all that it refers to: the
// config command is run and the files of secrets are read. getenv gives
// environment variables, as os.Getenv does.
//
// The error is, or wraps, a *SyntaxError when the text is not TOML, Faults when
// it is not a valid configuration, and another error when the file could not be
// read or ctx ended.
func Load(ctx context.Context, path string, getenv func(string) string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := loader{getenv: getenv}.load(ctx, text)
	if err != nil {
		if doc, fault := readDocument(text); fault == nil && len(doc.root) == 0 {
			err = fmt.Errorf("%w: %w", ErrNoSettings, err)
		}
		return nil, fmt.Errorf("configuration %q: %w", path, err)
	}
	return c, nil
}

// Read is Load for a text that comes from somewhere else, such as standard
// input. Its errors carry no path.
func Read(ctx context.Context, text io.Reader, getenv func(string) string) (*Config, error) {
	content, err := io.ReadAll(text)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return loader{getenv: getenv}.load(ctx, content)
}

// Parse judges the text alone: no command is run and no file is looked at, so the settings of the
// command are missing and a secret given as a file stays empty. Its error is a *SyntaxError or
// Faults.
func Parse(text []byte, getenv func(string) string) (*Config, error) {
	return loader{getenv: getenv, textOnly: true}.load(context.Background(), text)
}

// loader makes a Config of a text.
type loader struct {
	getenv   func(string) string
	textOnly bool
}

func (l loader) load(ctx context.Context, text []byte) (*Config, error) {
	doc, err := readDocument(text)
	if err != nil {
		return nil, err
	}
	if !l.textOnly {
		if err := overlay(ctx, doc); err != nil {
			return nil, err
		}
	}
	found := newFindings(doc)
	legacy{doc, found}.rewrite()
	c := bind(found)
	c.notePlaces(found.doc)
	c.fillIn(l.getenv, found)
	c.checkSecretSources(found)
	if !l.textOnly {
		c.readSecretFiles(found)
		c.checkFiles(found)
	}
	c.validate(found)
	c.warn(found)
	if err := found.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// bind returns the defaults with the values of the document over them.
func bind(found *findings) Config {
	c := defaults()
	b := binder{found: found, unused: unusedKeys(), idle: idleKeys()}
	b.table(nil, "", found.doc.root, reflect.ValueOf(&c).Elem())
	slices.SortStableFunc(b.ignored, func(x, y Ignored) int { return cmp.Compare(x.Line, y.Line) })
	c.Ignored = b.ignored
	slices.SortStableFunc(b.warnings, func(x, y Warning) int { return cmp.Compare(x.Line, y.Line) })
	c.Warnings = b.warnings
	return c
}

// overlay runs the document's config command, if it has one, and lays its output over the document.
func overlay(ctx context.Context, doc *document) error {
	// Only two settings are wanted here; faults of the others are found once the document is
	// complete.
	c := bind(newFindings(doc))
	if c.ConfigCommand == "" {
		return nil
	}
	limit := c.ConfigCommandTimeout
	if limit <= 0 {
		limit = defaults().ConfigCommandTimeout
	}
	over, err := runCommand(ctx, c.ConfigCommand, time.Duration(limit))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("config command %q: %w", c.ConfigCommand, ctx.Err())
	case err != nil:
		found := newFindings(doc)
		found.add(keyPath("config_command"), "%v", err)
		return found.err()
	}
	doc.merge(over)
	return nil
}
