package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

// topChanges is how many of the last changes a screen has.
const topChanges = 5

func (p *program) top() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "show requests, latencies, storages, queue and elections as they are now, until Ctrl-C",
		Description: "Rates are taken between two looks, and latencies are upper bounds by the buckets of the\n" +
			"metrics. Every instance is asked, also one that no endpoint names. On a terminal the screen is\n" +
			"redrawn; elsewhere one screen follows the other. -count ends it by itself.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "the `TIME` between two looks"},
			&cli.IntFlag{Name: "count", Usage: "end after this `NUMBER` of screens; default: Ctrl-C does"},
		},
		Action: p.action(nil, func(ctx context.Context, r *run) error { return r.top(ctx) }),
	}
}

// The escape sequences that a screen is drawn with: the other screen of the terminal, a hidden
// cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeScreen  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

func (r *run) top(ctx context.Context) error {
	interval, left := r.cmd.Duration("interval"), r.cmd.Int("count")
	switch {
	case interval <= 0:
		return usage("-interval is %v: want more than 0", interval)
	case left < 0:
		return usage("-count is %d: want 0 or more", left)
	}
	redraw := r.out.terminal && !r.out.documents()
	if redraw {
		r.out.print(enterScreen)
		defer r.out.print(leaveScreen)
	}
	var former *sample
	term := uint64(0)
	for {
		now, err := r.sample(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && former == nil:
			return err
		case err != nil: // the last screen stays, and says since when
			r.drawLost(redraw, former.at, err)
		default:
			if term == 0 {
				term = now.raft.Term
			}
			screen := compare(former, now, term)
			if err := r.draw(redraw, screen); err != nil {
				return err
			}
			former = &now
		}
		if left--; left == 0 || r.out.err != nil || !sleep(ctx, interval) {
			return r.out.err
		}
	}
}

// sample asks the cluster, and each instance for its figures.
func (r *run) sample(ctx context.Context) (sample, error) {
	status, err := r.statusNow(ctx, "")
	if err != nil {
		return sample{}, err
	}
	raft, err := r.raftNow(ctx)
	if err != nil {
		return sample{}, err
	}
	asking, cancel := r.bounded(ctx)
	defer cancel()
	history, err := ask(asking, r.to, call((*admin.Client).History, admin.HistoryRequest{Limit: topChanges}))
	if err != nil {
		return sample{}, err
	}
	s := sample{at: time.Now().UTC(), status: status, raft: raft, changes: history.Changes, problems: []string{}}
	for _, t := range everywhere(asking, r.to, func(f admin.FiguresResponse) string { return f.Instance }, func(ctx context.Context, _ string, c *admin.Client) (admin.FiguresResponse, error) {
		return c.Figures(ctx, topFigures...)
	}) {
		if t.err != nil {
			s.problems = append(s.problems, (&askError{t.address, t.err}).Error())
			continue
		}
		s.instances = append(s.instances, t.answer)
	}
	return s, nil
}

// draw prints one screen. Each line is cleared behind its text, so that nothing flickers.
func (r *run) draw(redraw bool, d topDocument) error {
	if r.out.documents() {
		return r.out.document(d)
	}
	var text bytes.Buffer
	out := *r.out
	out.w = &text
	showTop(&out, d)
	if !redraw {
		r.out.print(text.String() + "\n")
		return nil
	}
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if width, height := r.size(); width > 0 {
		lines = fit(lines, width, height)
	}
	r.out.print(homeScreen + strings.Join(lines, clearLine+"\r\n") + clearLine + clearBelow)
	return nil
}

func (r *run) drawLost(redraw bool, since time.Time, err error) {
	text := fmt.Sprintf("no instance answers; the screen is of %s", since.Format(time.RFC3339))
	if redraw {
		r.out.print(homeScreen)
		r.out.printf("%s %s", r.out.mark(bad), text)
		r.out.print(clearLine)
		return
	}
	r.aside().printf("praefectctl: %s: %s\n", text, err.Error())
}

// fit cuts lines to a screen. Colours take no room, and are ended where a line is cut.
func fit(lines []string, width, height int) []string {
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	for i, line := range lines {
		if text.StringWidthWithoutEscSequences(line) > width {
			lines[i] = text.Trim(line, width) + "\x1b[0m"
		}
	}
	return lines
}

func showTop(out *output, d topDocument) {
	elections := ""
	if d.Elections > 0 {
		elections = fmt.Sprintf(" (elections since the start: %d)", d.Elections)
	}
	out.printf("%s %s %s  leader %s  term %d%s  can lose %d\n\n", out.mark(healthSign(d.Health)), d.Time.Format(time.RFC3339), d.Health,
		cmp.Or(d.Leader, "-"), d.Term, elections, d.CanLose)
	header := []string{"", "INSTANCE", "STATE", "LEASE", "REQUESTS/S", "FAILED/S", "RUNNING", "P50 ≤", "P99 ≤", "VOTED/S", "WRITES WAITING"}
	out.table(header, each(d.Instances, func(i topInstance) []string {
		rate := func(v float64, digits int) string {
			if !i.Asked || d.Seconds == 0 {
				return "?"
			}
			return fmt.Sprintf("%.*f", digits, v)
		}
		now, waiting := "?", "?"
		if i.Asked {
			now, waiting = fmt.Sprintf("%.0f", i.Running), fmt.Sprintf("%.0f", i.Waiting)
		}
		s := instanceSign(admin.Instance{State: i.State, LeaseMillis: i.LeaseMS})
		return []string{
			out.mark(s), i.Name, string(i.State), lease(admin.Instance{LeaseMillis: i.LeaseMS}), rate(i.Requests, 1), rate(i.Failed, 1), now, seconds(i.P50), seconds(i.P99),
			rate(i.Votes, 1), waiting,
		}
	}))
	out.printf("\n")
	out.table([]string{"", "VIRTUAL STORAGE", "STORAGE", "ROLE", "STATE", "REACHABLE", "READS/S", "BEHIND", "REPAIRS"}, each(d.Storages, func(st topStorage) []string {
		reads := "?"
		if d.Seconds > 0 {
			reads = fmt.Sprintf("%.1f", st.Reads)
		}
		return []string{
			out.mark(storageSign(st.Storage)), st.VirtualStorage, st.Name, role(st.Primary), storageState(st.Storage), yesNo(st.Reachable), reads, fmt.Sprint(st.Behind), fmt.Sprintf("%.0f", st.Repairs),
		}
	}))
	q := d.Queue
	out.printf("\nqueue: ready %.0f, in progress %.0f, failed %.0f, dead %.0f\n", q["ready"], q["in_progress"], q["failed"], q["dead"])
	if len(d.Methods) > 0 {
		parts := each(d.Methods, func(m topMethod) string { return fmt.Sprintf("%s %.1f/s", m.Name, m.Requests) })
		out.printf("methods: %s\n", strings.Join(parts, ", "))
	}
	for _, c := range d.Conditions {
		out.printf("%s %s: %s\n", out.mark(levelSign(c.Level)), string(c.Name), c.Text)
	}
	for _, p := range d.Problems {
		out.printf("%s %s\n", out.mark(warning), p)
	}
	if len(d.Changes) > 0 {
		out.printf("\nlast changes:\n")
		look := &run{out: out}
		for _, e := range d.Changes {
			look.eventLine(e)
		}
	}
}

// seconds is a latency for a table.
func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
}
