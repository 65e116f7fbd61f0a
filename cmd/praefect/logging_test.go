package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"praefect/config"
)

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, config.Logging{Format: "json", Level: "info"}, (config.Logging{Format: "json", Level: "info"}).SlogLevel(), "praefect-1")
	log.Debug("not shown")
	log.Warn("a line", "err", errors.New("broken"), "took", 1500*time.Millisecond)
	var line map[string]any
	must(t, json.Unmarshal(out.Bytes(), &line))
	for key, want := range map[string]any{"level": "warning", "msg": "a line", "instance": "praefect-1", "err": "broken", "took": "1.5s"} {
		if line[key] != want {
			t.Errorf("%s: got %v, want %v", key, line[key], want)
		}
	}
	if stamp, _ := line["time"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(stamp) {
		t.Errorf("time: got %v", line["time"])
	}

	out.Reset()
	newLogger(&out, config.Logging{Format: "text", Level: "info"}, (config.Logging{Format: "text", Level: "info"}).SlogLevel(), "praefect-1").Info("a line")
	if got := out.String(); !strings.Contains(got, "level=info") || !strings.Contains(got, `msg="a line"`) {
		t.Errorf("text: got %s", got)
	}
}

// TestNewLogger_escapes: neither form of the log lets control characters through, wherever in
// a line they are.
func TestNewLogger_escapes(t *testing.T) {
	const evil = "\x1b[2J\r\u009b31m\u202e\nlevel=info"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		cfg := config.Logging{Format: format, Level: "info"}
		newLogger(&out, cfg, cfg.SlogLevel(), "praefect-1").Warn("repair of "+evil, "repository", evil, "err", errors.New(evil))
		line, rest, _ := strings.Cut(out.String(), "\n")
		if rest != "" || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: got %q", format, out.String())
		}
	}
}
