package monitor

import (
	"context"
	"log/slog"
	"time"

	"praefect/fsm/condition"
)

// alarms remembers which conditions were logged.
type alarms struct {
	since map[condition.ID]alarm
}

type alarm struct {
	at time.Time
	condition.Condition
}

// log writes one line for each condition that has begun or ended since the last call.
func (a *alarms) log(ctx context.Context, log *slog.Logger, list []condition.Condition, now time.Time) {
	next := make(map[condition.ID]alarm, len(list))
	for _, c := range list {
		if before, known := a.since[c.ID()]; known {
			next[c.ID()] = before
			continue
		}
		next[c.ID()] = alarm{now, c}
		log.LogAttrs(ctx, levelOf(c.Level), "condition begins", append(attrs(c), slog.String("text", c.Text))...)
	}
	for id, before := range a.since {
		if _, still := next[id]; !still {
			log.LogAttrs(ctx, slog.LevelInfo, "condition ends", append(attrs(before.Condition), slog.Duration("lasted", now.Sub(before.at)))...)
		}
	}
	a.since = next
}

func levelOf(l condition.Level) slog.Level {
	switch l {
	case condition.Notice:
		return slog.LevelInfo
	case condition.Degraded:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func attrs(c condition.Condition) []slog.Attr {
	list := []slog.Attr{slog.String("condition", string(c.Name)), slog.String("level_of_condition", string(c.Level))}
	for _, about := range []struct{ key, value string }{
		{"virtual_storage", c.VirtualStorage}, {"storage", c.Storage}, {"about_instance", c.Instance},
	} {
		if about.value != "" {
			list = append(list, slog.String(about.key, about.value))
		}
	}
	return list
}
