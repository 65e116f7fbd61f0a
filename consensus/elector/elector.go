package elector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"praefect/fsm/state"
)

// Node is what the elector needs of the consensus node.
type Node interface {
	View() *state.State
	Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error)
}

// Config sets the elector's times.
type Config struct {
	// Interval is how often it looks (100 ms if zero); a look costs a
	// comparison in memory.
	Interval time.Duration
	// ProposeTimeout bounds one proposal (5 s if zero).
	ProposeTimeout time.Duration
	// RepeatRefused is the pause before a refused proposal is made again (30 s
	// if zero).
	RepeatRefused time.Duration
}

// Elector proposes changes of standing. Run owns its only goroutine.
type Elector struct {
	node       Node
	seen       func() []Seen
	log        *slog.Logger
	cfg        Config
	configured []Configured
	// only Run:
	told    map[string]bool      // what was logged and still holds
	refused map[string]time.Time // proposals that were refused, and when
}

// New makes an elector for the configured virtual storages. seen lists the
// storages that are reached at the moment.
func New(node Node, seen func() []Seen, log *slog.Logger, configured []Configured, cfg Config) *Elector {
	if cfg.Interval == 0 {
		cfg.Interval = 100 * time.Millisecond
	}
	if cfg.ProposeTimeout == 0 {
		cfg.ProposeTimeout = 5 * time.Second
	}
	if cfg.RepeatRefused == 0 {
		cfg.RepeatRefused = 30 * time.Second
	}
	return &Elector{node: node, seen: seen, log: log, cfg: cfg, configured: configured, told: make(map[string]bool), refused: make(map[string]time.Time)}
}

// Run decides and proposes until ctx ends. The node must be ready.
func (e *Elector) Run(ctx context.Context) error {
	ticker := time.NewTicker(e.cfg.Interval)
	defer ticker.Stop()
	for {
		e.runOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// runOnce makes one decision and carries it out. What was refused is logged
// once for as long as it holds, and proposed again after Config.RepeatRefused:
// every proposal is an entry of the log.
func (e *Elector) runOnce(ctx context.Context) {
	d := decide(e.node.View(), e.configured, e.seen())
	now := make(map[string]bool)
	for _, alarm := range d.alarms {
		e.tell(now, alarm)
	}
	for _, cmd := range d.commands {
		e.propose(ctx, cmd, now)
	}
	e.told = now
}

func (e *Elector) propose(ctx context.Context, cmd state.Command, now map[string]bool) {
	name := describe(cmd)
	if at, ok := e.refused[name]; ok && time.Since(at) < e.cfg.RepeatRefused {
		for told := range e.told {
			now[told] = true
		}
		return
	}
	delete(e.refused, name)
	proposal, cancel := context.WithTimeout(ctx, e.cfg.ProposeTimeout)
	defer cancel()
	results, err := e.node.Propose(proposal, cmd)
	switch {
	case err != nil && ctx.Err() == nil:
		e.tell(now, name+": "+err.Error())
	case err == nil && results[0].Refusal != nil:
		e.refused[name] = time.Now()
		e.tell(now, name+": "+results[0].Refusal.Error())
	}
}

// describe names a proposal for people, and for telling two apart.
func describe(cmd state.Command) string {
	if d := cmd.Define; d != nil {
		return fmt.Sprintf("define %q as %q", d.VirtualStorage, d.Storages)
	}
	r := cmd.Return
	return fmt.Sprintf("return %q of %q with disk %q", r.Storage, r.VirtualStorage, r.FilesystemID)
}

func (e *Elector) tell(now map[string]bool, what string) {
	if !e.told[what] && !now[what] {
		e.log.Warn("storages differ from the agreed state", "err", what)
	}
	now[what] = true
}
