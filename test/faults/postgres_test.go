package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/postgres"
	"praefect/test/workload"
)

// outage is a way in which Postgres cannot be used.
type outage struct {
	name   string
	lasts  time.Duration
	begin  func(ctx context.Context, p *postgres.Server) error
	finish func(ctx context.Context, p *postgres.Server) error
}

var outages = []outage{
	{
		name: "stopped", lasts: 10 * time.Second,
		begin:  func(_ context.Context, p *postgres.Server) error { return p.Stop(postgres.Immediate) },
		finish: func(ctx context.Context, p *postgres.Server) error { return p.Start(ctx) },
	},
	{
		name: "hung", lasts: 10 * time.Second,
		begin:  func(_ context.Context, p *postgres.Server) error { return p.Pause() },
		finish: func(_ context.Context, p *postgres.Server) error { return p.Resume() },
	},
	{
		name: "read-only", lasts: 5 * time.Second,
		begin:  func(ctx context.Context, p *postgres.Server) error { return readOnly(ctx, p, "on") },
		finish: func(ctx context.Context, p *postgres.Server) error { return readOnly(ctx, p, "off") },
	},
}

// readOnly sets default_transaction_read_only for all sessions, old ones too.
func readOnly(ctx context.Context, p *postgres.Server, value string) error {
	_, err := p.SQL(ctx, "postgres", "alter system set default_transaction_read_only = "+value)
	_, reloaded := p.SQL(ctx, "postgres", "select pg_reload_conf()")
	return errors.Join(err, reloaded)
}

// TestPostgres_isNotInTheWay takes Postgres away in every way while clients read
// and write (P6): no request fails, what was not repaired is made up for, and
// the log says once what happened.
func TestPostgres_isNotInTheWay(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: patient, WithoutPostgres: true})
	i, h := c.Instances[0], workload.NewHistory()
	pid := i.PID()

	t.Run("absent at start", func(t *testing.T) {
		// Storages are backfilled without a queue, so that all of them serve.
		eventually(t, time.Minute, func(ctx context.Context) error { return allServe(ctx, c) })
		made(t, clientOf(c, vs), h, "quiet.git", "busy.git", "other.git")
		suffer(t, c, h, outage{
			name: "absent", lasts: 5 * time.Second,
			begin:  func(context.Context, *postgres.Server) error { return nil },
			finish: func(ctx context.Context, p *postgres.Server) error { return p.Start(ctx) },
		}, 0)
	})
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) { suffer(t, c, h, o, logEnd(t, i.Process)) })
	}
	if i.PID() != pid || !i.Running() {
		t.Error("the instance did not live through it all")
	}
}

// suffer has clients work before, during and after an outage. from is where the
// log of the instance begins to speak of it.
func suffer(t *testing.T, c *cluster.Cluster, h *workload.History, o outage, from int64) {
	l := startLoad(t, c, h, operationLimit)
	to := clientOf(c, vs)
	l.committer(to, "busy.git", o.name+"-busy")
	l.committer(to, "other.git", o.name+"-other")
	l.pusher(clone(t, c, vs, "other.git"), vs, "other.git", o.name+"-git")
	l.mayfly(to, "mayfly-"+o.name)
	l.reader(to, "quiet.git")
	eventually(t, time.Minute, func(context.Context) error {
		if l.counts("commit") == 0 || l.counts("push") == 0 || l.counts("read") == 0 {
			return errors.New("the clients have not begun")
		}
		return nil
	})

	must.Succeed(t, o.begin(t.Context(), c.Postgres))
	kinds := []string{"commit", "push", "read", "create", "remove"}
	before := make(map[string]int)
	for _, kind := range kinds {
		before[kind] = l.counts(kind)
	}
	workload.Wait(t.Context(), o.lasts)
	for _, kind := range kinds {
		if n := l.counts(kind) - before[kind]; n < 2 {
			t.Errorf("during the outage clients got through with %d of %q only", n, kind)
		}
	}
	must.Succeed(t, o.finish(t.Context(), c.Postgres))
	l.end()
	settled(t, c, h)
	l.fine(t)
	for text, want := range map[string]int{"postgres is unavailable": 1, "postgres is available again": 1} {
		if got := logged(t, c.Instances[0].Process, from, text); got != want {
			t.Errorf("the log has %d lines with %q, want %d", got, text, want)
		}
	}
}

// TestPostgres_withTLSAndClientCertificates has a Postgres that refuses anything
// else.
func TestPostgres_withTLSAndClientCertificates(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Options{Settings: impatient, PostgresTLS: true, VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(vs, 2)}})
	h := workload.NewHistory()
	made(t, clientOf(c, vs), h, "tls.git")
	settled(t, c, h)
	secret, err := c.Postgres.SQL(t.Context(), "praefect",
		"select count(*) > 0 and bool_and(s.ssl and s.client_dn is not null) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.usename = 'praefect'")
	must.Succeed(t, err)
	if secret != "t" {
		t.Errorf("all connections of praefect have TLS and a client certificate: %q", secret)
	}
	for command, want := range map[string]string{"sql-ping": "praefect sql-ping: OK\n", "sql-migrate": ""} {
		out, err := praefect(t, c, c.Instances[0], command)
		if err != nil {
			t.Error(err)
		}
		if want != "" && out != want {
			t.Errorf("%s says %q, want %q", command, out, want)
		}
	}
}
