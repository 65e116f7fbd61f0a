package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"praefect/config"
	"praefect/consensus"
	"praefect/proxy"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// reloadTimeout bounds one reload: a config command and new addresses may take
// their time.
const reloadTimeout = time.Minute

// reloader replaces, while the daemon runs, the settings that config.WithLive names. A file that
// cannot be used is refused as a whole. Only its part uses it.
type reloader struct {
	load func(context.Context) (*config.Config, error)
	// live are the settings in force.
	live *atomic.Pointer[config.Config]
	log  *slog.Logger

	level       *slog.LevelVar
	certificate *certificate // nil if there is no listener with TLS
	console     *certificate // that of the console, nil if it has none
	peers       *x509.Certificate
	storages    mover
	setAuth     func(proxy.Auth)
	setAccess   func(admin.Access)
	setSecrets  func(present, former string) // between instances

	outcomes   *prometheus.CounterVec
	successful prometheus.Gauge
}

// mover is the set of connections to storages, as far as a reload needs it.
type mover interface {
	CheckMove(context.Context, []storage.Target) error
	Move([]storage.Target) error
}

// register makes the metrics.
func (r *reloader) register(registerer prometheus.Registerer) error {
	r.outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "praefect_config_reloads_total", Help: "Reloads of the settings (SIGHUP), by outcome: applied or refused.",
	}, []string{"outcome"})
	r.successful = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "praefect_config_last_reload_successful", Help: "Whether the last reload of the settings was applied: 1, or 0 if it was refused.",
	})
	r.successful.Set(1)
	for _, outcome := range []string{"applied", "refused"} {
		r.outcomes.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{r.outcomes, r.successful} {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("register the metrics of reloads: %w", err)
		}
	}
	return nil
}

// part reloads the settings at each signal.
func (r *reloader) part(hangups <-chan os.Signal, tell func(state string)) part {
	return part{name: "settings", run: func(ctx context.Context) error {
		tell(notifyUp) // all that comes before this part is ready
		for {
			select {
			case <-hangups:
				tell(reloading())
				r.reload(ctx)
				tell(notifyReady)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
}

// prepared is everything that a reload has read and checked.
type prepared struct {
	next        *config.Config
	live        *config.Config
	certificate *tls.Config
	console     *tls.Config
	peers       *x509.Certificate
	access      admin.Access
}

func (r *reloader) reload(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	p, err := r.prepare(ctx)
	if err == nil {
		err = r.storages.Move(targets(p.live))
	}
	if err != nil {
		r.outcomes.WithLabelValues("refused").Inc()
		r.successful.Set(0)
		r.log.Error("the settings are refused as a whole: those before stay in force; mend the file and send SIGHUP again", "err", err)
		return
	}
	r.apply(p)
	r.outcomes.WithLabelValues("applied").Inc()
	r.successful.Set(1)
}

// prepare reads and checks everything, and changes nothing.
func (r *reloader) prepare(ctx context.Context) (p prepared, err error) {
	if p.next, err = r.load(ctx); err != nil {
		return p, err
	}
	running := r.live.Load()
	p.live = running.WithLive(p.next)
	if r.certificate != nil {
		if p.certificate, err = readCertificate(p.live.TLS); err != nil {
			return p, err
		}
	}
	if r.console != nil {
		if p.console, err = readCertificate(running.Console.TLS()); err != nil {
			return p, err
		}
	}
	if p.peers, err = readPeerCertificates(running.Raft); err != nil {
		return p, err
	}
	if p.access, err = access(p.live); err != nil {
		return p, err
	}
	return p, r.storages.CheckMove(ctx, targets(p.live))
}

// apply puts the settings into force that prepare has found good; storages were moved already.
func (r *reloader) apply(p prepared) {
	running := r.live.Load()
	r.setAuth(clientAuth(p.live))
	r.setAccess(p.access)
	r.setSecrets(p.live.Raft.Secret.Reveal(), p.live.Raft.FormerSecret.Reveal())
	r.replace(r.certificate, p.certificate, "the certificate for clients is replaced")
	r.replace(r.console, p.console, "the certificate of the console is replaced")
	if p.peers != nil && !p.peers.Equal(r.peers) {
		r.log.Info("the certificate for other instances is replaced", "subject", p.peers.Subject.String(), "not_after", p.peers.NotAfter.UTC())
	}
	r.peers = p.peers
	changes, pending := config.Changes(running, p.live), config.Changes(p.live, p.next)
	r.live.Store(p.live)
	// In the more talkative of the two levels: the change of the level is told too.
	level := p.live.Logging.SlogLevel()
	r.level.Set(min(level, r.level.Level()))
	for _, c := range changes {
		r.log.Info("a setting changed", "key", c.Key, "before", c.Before, "after", c.After)
	}
	for _, c := range pending {
		r.log.Warn("a changed setting takes effect at the next start only", "key", c.Key, "before", c.Before, "after", c.After)
	}
	for _, w := range p.next.Warnings {
		r.log.Warn("a setting is doubtful", "key", w.Key, "line", w.Line, "why", w.Text)
	}
	r.log.Info("the settings are reloaded", "changed", len(changes), "at_next_start", len(pending))
	r.level.Set(level)
}

// replace puts a certificate into force; there is none without such a listener.
func (r *reloader) replace(shown *certificate, next *tls.Config, text string) {
	if shown == nil {
		return
	}
	if now := leaf(next); !now.Equal(leaf(shown.settings.Load())) {
		r.log.Info(text, "subject", now.Subject.String(), "not_after", now.NotAfter.UTC())
	}
	shown.settings.Store(next)
}

// clientAuth is the proof that clients must give.
func clientAuth(cfg *config.Config) proxy.Auth {
	return proxy.Auth{Token: cfg.Auth.Token.Reveal(), Previous: cfg.Auth.PreviousToken.Reveal(), Transitioning: cfg.Auth.Transitioning}
}

// reloader joins the parts that a reload changes.
func (d *daemon) reloader(registerer prometheus.Registerer, storages mover, server *proxy.Server, operators *admin.Service, node *consensus.Node, clients []clientListener, pages *consoleListener) (*reloader, error) {
	r := &reloader{
		load: d.reload, live: &d.live, log: d.log, level: d.level, storages: storages, setAuth: server.SetAuth, setAccess: operators.SetAccess,
		setSecrets: node.SetSecrets,
	}
	for _, l := range clients {
		if l.certificate != nil {
			r.certificate = l.certificate
		}
	}
	if pages != nil {
		r.console = pages.certificate
	}
	var err error
	if r.peers, err = readPeerCertificates(d.cfg.Raft); err != nil {
		return nil, err
	}
	return r, r.register(registerer)
}
