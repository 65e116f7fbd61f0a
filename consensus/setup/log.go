package setup

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"praefect/consensus/peer"
)

// LibraryLog takes the lines of the Raft library and passes them to Logger.
func (c Config) LibraryLog() io.Writer { return &libraryLog{to: c.Logger} }

// libraryLog passes the lines of the Raft library on, which come one a Write:
//
//	2006-01-02T15:04:05.000Z [INFO]  raft: entering leader state: leader=...
//
// The message ends at the first colon; the facts follow.
// A warning or an error that repeats itself is passed on once a minute.
type libraryLog struct {
	to     *slog.Logger
	seldom peer.Seldom
}

// Write implements io.Writer; it never fails.
func (l *libraryLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelInfo
	if _, rest, found := strings.Cut(text, " ["); found {
		name, rest, _ := strings.Cut(rest, "]")
		level, text = levelOf(name), strings.TrimSpace(rest)
	}
	message, facts := text, ""
	if source, rest, found := strings.Cut(text, ": "); found {
		var what string
		what, facts, _ = strings.Cut(rest, ": ")
		message = source + ": " + what
	}
	var attrs []slog.Attr
	if facts != "" {
		attrs = append(attrs, slog.String("facts", facts))
	}
	if level >= slog.LevelWarn {
		dropped, ok := l.seldom.Admit(message+" "+subject(facts), time.Now())
		if !ok {
			return len(line), nil
		}
		if dropped > 0 {
			attrs = append(attrs, slog.Int("repeated", dropped))
		}
	}
	l.to.LogAttrs(context.Background(), level, message, attrs...)
	return len(line), nil
}

// subject is the part of the facts that says of which peer a line is. The rest differs at each
// repetition: a time, an address of a connection, an error.
func subject(facts string) string {
	for _, key := range []string{"backoff time=", "error=", "time=", "index=", "term="} {
		facts, _, _ = strings.Cut(facts, key)
	}
	return strings.TrimSpace(facts)
}

// levelOf returns our name of the library's level.
func levelOf(name string) slog.Level {
	switch name {
	case "TRACE", "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	}
	return slog.LevelInfo
}
