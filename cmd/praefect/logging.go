package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"praefect/cmd/terminal"
	"praefect/config"
)

// newLogger makes the daemon's logger. Names and forms of time, level, msg and
// pid are upstream's, because log pipelines parse them.
func newLogger(w io.Writer, cfg config.Logging, level slog.Leveler, instance string) *slog.Logger {
	options := &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.TimeKey:
				a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
			case slog.LevelKey:
				level := strings.ToLower(a.Value.String())
				if level == "warn" {
					level = "warning"
				}
				a.Value = slog.StringValue(level)
			default:
				if d, ok := a.Value.Any().(time.Duration); ok {
					a.Value = slog.StringValue(d.String()) // JSON would count nanoseconds
				}
			}
			return a
		},
	}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if cfg.Format == "json" {
		handler = slog.NewJSONHandler(jsonLines{w}, options)
	}
	return slog.New(handler).With("pid", os.Getpid(), "instance", instance)
}

// jsonLines writes lines of JSON without the control characters that encoding/json keeps.
// The text form quotes them by itself.
type jsonLines struct{ w io.Writer }

// Write implements io.Writer.
func (l jsonLines) Write(line []byte) (int, error) {
	if _, err := l.w.Write(terminal.JSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
