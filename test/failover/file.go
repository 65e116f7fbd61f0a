package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// others are the figures that the file has of other modes, and of steps that are
// not run: they stay in it.
func others(s settings) ([]figure, error) {
	text, err := os.ReadFile(s.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the earlier figures: %w", err)
	}
	var all []figure
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read the earlier figures in %s (-o names another file): %w", s.out, err)
	}
	return slices.DeleteFunc(all, func(f figure) bool {
		return f.Mode == s.mode && slices.Contains(names(s.steps), f.Step)
	}), nil
}

// write puts the figures where readers never see half of them.
func write(path string, all []figure) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the figures: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the directory of the figures: %w", err)
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("publish the figures: %w", err)
	}
	return nil
}
