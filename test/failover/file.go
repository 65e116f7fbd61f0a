package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
