package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"

	"praefect/cmd/praefect/socket"
	"praefect/config"
	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/session"
	peersettings "praefect/consensus/settings"
	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/proxy"
	"praefect/proxy/admin"
	"praefect/proxy/channel"
	"praefect/proxy/ledger"
	"praefect/proxy/measure"
	"praefect/proxy/method"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/throttle"
	"praefect/proxy/transaction"
	"praefect/replicator"
	"praefect/replicator/postgres"
)

// daemon is one instance.
type daemon struct {
	cfg     *config.Config
	log     *slog.Logger
	version string
	// methods are the methods that the proxy knows.
	methods *method.Table
	// failpoint is called at each failpoint of a write; nil but in builds for crash tests.
	failpoint func(name string)

	// live are the settings in force; at first cfg. reload reads them again, at
	// each of hangups.
	live    atomic.Pointer[config.Config]
	reload  func(context.Context) (*config.Config, error)
	hangups <-chan os.Signal
	level   *slog.LevelVar
	// registry gets the metrics of this instance.
	registry *prometheus.Registry
	// processors are few while all is calm.
	processors *processors
	// tell tells the service manager.
	tell func(state string)
}

// run opens the parts of the machine that the instance needs, and runs it. The replicated
// state comes last: it is touched only by a process that can serve.
func (d *daemon) run(ctx context.Context) (err error) {
	d.live.Store(d.cfg)
	registry := d.registry
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), d.buildInfo(), d.unknownKeys())

	db, err := postgres.Open(d.cfg.Database.DSN(), d.log, postgres.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Register(registry); err != nil {
		return fmt.Errorf("register the metrics of postgres: %w", err)
	}
	if err := consensus.ExportRaftMetrics(registry); err != nil {
		return err
	}

	clients, err := listenForClients(ctx, d.cfg)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range clients {
			l.close(d.log)
		}
	}()
	pages, err := listenForConsole(ctx, d.cfg)
	if err != nil {
		return err
	}
	if pages != nil {
		defer pages.close(d.log)
	}
	owned, err := newClaims(d.cfg, db, d.log)
	if err != nil {
		return err
	}
	node, err := d.openNode(ctx, registry, owned)
	if err != nil {
		return err
	}
	parts, err := d.assemble(ctx, registry, db, node, clients, pages, owned)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	d.tell(notifyStarting)
	defer context.AfterFunc(ctx, func() { d.tell(notifyStopping) })()
	return runAll(ctx, d.log, parts)
}

func (d *daemon) openNode(ctx context.Context, registry prometheus.Registerer, owned *claims) (*consensus.Node, error) {
	c := nodeConfig(d.cfg, d.log)
	c.Version, c.MayBegin, c.Registerer = d.version, owned.mayBegin, registry
	return consensus.Open(ctx, c)
}

// nodeConfig describes this instance and its peers, as the settings do.
func nodeConfig(cfg *config.Config, log *slog.Logger) setup.Config {
	raft := cfg.Raft
	var peers []member.Peer
	for _, p := range raft.Others() {
		peers = append(peers, member.Peer{Name: p.Name, Addr: p.Addr})
	}
	return setup.Config{
		DataDir: raft.DataDir, Profile: member.Profile(raft.Profile), StoreTimeout: time.Duration(raft.DiskTimeout),
		Name: raft.Name, Named: raft.Named, Address: clientAddress(cfg),
		ListenAddr: raft.ListenAddr, AdvertiseAddr: raft.AdvertisedAddr(), Peers: peers,
		Credentials: peer.Credentials{
			CertificatePath: raft.CertificatePath, KeyPath: raft.KeyPath, CAPath: raft.CAPath, Secret: raft.Secret.Reveal(), FormerSecret: raft.FormerSecret.Reveal(),
		},
		Wrap: socket.New, Logger: log,
	}
}

// assemble makes the parts of the instance and puts them in the order in which
// they start. Each uses only parts that stand before it.
func (d *daemon) assemble(ctx context.Context, registry *prometheus.Registry, db *postgres.DB, node *consensus.Node, clients []clientListener, pages *consoleListener, owned *claims) ([]part, error) {
	cfg, log := d.cfg, d.log
	tracer, err := d.tracer(ctx)
	if err != nil {
		return nil, err
	}
	frames := cfg.Forwarding.Frames && tracer == nil // no span is made of a call that gRPC does not see
	votes := transaction.NewManager(node.Incarnation, log, registry)
	calls := measure.NewClient(registry, cfg.Prometheus.GRPCLatencyBuckets)
	storages, err := storage.New(targets(cfg), log, storage.NewMetrics(registry), storage.Config{
		ProbeInterval: time.Duration(cfg.Detection.ProbeInterval),
		ProbeTimeout:  time.Duration(cfg.Detection.ProbeTimeout),
		Silence:       time.Duration(cfg.Detection.Silence),
		Stall:         time.Duration(max(cfg.Detection.Stall, cfg.Detection.Silence)),
		DialOptions: slices.Concat(calls.DialOptions(), tracer.DialOptions(),
			[]grpc.DialOption{grpc.WithStatsHandler(stream.StatsHandler{})}),
		Backchannel: proxy.VoteServer(votes, cfg.Forwarding.Frames),
		Channels:    d.channels(),
		Used:        d.processors.used,
		Wrap:        socket.New,
		Frames:      frames,
	})
	if err != nil {
		return nil, err
	}
	barred := func() string { return cmp.Or(node.Barred(), owned.barred()) }
	reports := newReporter(d.live.Load)
	heartbeat := session.New(node, storages, d.session(barred, reports.report, owned.unclaimed))
	owned.view, owned.leads = node.View, heartbeat.Leads
	if err := registry.Register(heartbeat.Collector()); err != nil {
		return nil, fmt.Errorf("register the metrics of the session: %w", err)
	}
	var repair *replicator.Replicator // made below; nothing runs before
	intents := ledger.New(node, heartbeat, proxy.Connections(storages), ledger.Config{
		Linger:          time.Duration(cfg.Consistency.IntentLinger),
		QueueTimeout:    time.Duration(cfg.Consistency.QueueTimeout),
		QueueLimit:      cfg.Consistency.QueueLimit,
		LeaseWait:       time.Duration(cfg.Consistency.LeaseWait),
		RefuseConflicts: cfg.Consistency.Conflicts == "refuse",
		Behind: func(keys ...state.Key) {
			for _, key := range keys {
				repair.Enqueue(key)
			}
		},
		Metrics:   ledger.NewMetrics(registry),
		Failpoint: d.failpoint,
	})
	jobs, catalogue, agreedOn := postgres.NewQueue(db), postgres.NewCatalogue(db), repairStorages{storages, node.View}
	repair = replicator.New(replicator.Deps{
		Ledger: node, RepairLocks: repairLocks{intents}, Storages: agreedOn, Queue: jobs, Catalogue: catalogue, Verifications: catalogue, Leads: heartbeat.Leads,
		Watch: stream.Watch, Stamp: storage.WithTokenTime, Log: log, Metrics: replicator.NewMetrics(registry, node),
	}, d.replication())

	working := adminRepair{repair, jobs, node.View}
	stuck := &stuckRepairs{queue: jobs, view: node.View, leads: heartbeat.Leads, log: log, waits: working.ofJob}
	explain := &explaining{storages: agreedOn, view: node.View}
	watch := conditions{
		cfg: cfg, node: node, session: heartbeat, intents: intents, storages: storages, db: db, repair: repair, stuck: stuck, certificates: newCertificates(cfg),
		otherCluster: node.Barred, claimed: owned.barred, failing: explain.failing,
	}.monitor(log)
	if err := registry.Register(watch.Collector()); err != nil {
		return nil, fmt.Errorf("register the metrics of conditions: %w", err)
	}
	deps := admin.Deps{
		Routes: explain.routes, Exists: explain.exists, Verification: adminVerify{repair, catalogue},
		Node: node, Storages: storages, Repair: working, Local: adminLocal(node), Conditions: watch,
		Replicas: adminReplicas{repair}, Catalogue: catalogue, Copies: cfg.Consistency.Copies,
		Metrics: registry.Gather, Debug: debugFiles(d.live.Load, d.version, registry),
		Control: newControl(way{node: node}, heartbeat, jobs, repair, cfg.Consistency.Copies),
	}
	allowed, err := access(cfg)
	if err != nil {
		return nil, err
	}
	operators := admin.New(deps, admin.Config{Instance: cfg.Raft.Name, Access: allowed, Log: log})
	deps.Control = newControl(way{node: node, last: true}, heartbeat, jobs, repair, cfg.Consistency.Copies)
	peers := admin.New(deps, admin.Config{Instance: cfg.Raft.Name, Access: admin.Access{Peers: true}, Log: log})
	node.Provide(consensus.Services{
		Lease:     heartbeat.Serve,
		LeaseLeft: func() time.Duration { return heartbeat.Lease().Left(heartbeat.Now()) },
		Problem:   barred,
		Register:  peers.Register,
	})
	server, err := proxy.New(proxy.Deps{
		Node: node, Storages: storages, Ledger: intents, Transactions: votes, Peers: otherInstances(node), Logger: log,
		Register: answering{operators, aboutRepositories(node, agreedOn, catalogue, operators, log)}.register, Touched: repair.Touch, Fails: repair.StepDown,
		Checks: checks(d.live.Load, db, node.View), Methods: d.methods,
	}, registry, proxy.Config{
		Auth:            clientAuth(cfg),
		WriteTimeout:    time.Duration(cfg.Consistency.WriteTimeout),
		Eventual:        cfg.Consistency.Mode == "eventual",
		Copies:          cfg.Consistency.Copies,
		Block:           cfg.Consistency.WhenShort == "block",
		RefuseReads:     cfg.Consistency.ReadsWithoutLease == "refuse",
		RefuseConflicts: cfg.Consistency.Conflicts == "refuse",
		Streams:         cfg.Limits.MaxConcurrentStreams,
		Connections:     cfg.Limits.MaxConnections,
		Writes:          throttle.Config{Most: cfg.Limits.MaxConcurrentWrites, Waiting: cfg.Limits.MaxWaitingWrites},
		SendStall:       time.Duration(cfg.Limits.SendStallTimeout),
		LatencyBuckets:  cfg.Prometheus.GRPCLatencyBuckets,
		Channels:        d.channels(),
		Failpoint:       d.failpoint,
		Tracer:          tracer,
		Frames:          frames,
		Calls:           calls,
	})
	if err != nil {
		return nil, err
	}
	explain.server.Store(server)

	settings, err := d.reloader(registry, storages, server, operators, node, clients, pages)
	if err != nil {
		return nil, err
	}
	start := &starting{node: node.Waiting}
	ready := newReadiness(start.why, func() error { return leased(intents, barred) }, watch.Last)
	var parts, consoles []part
	if pages != nil {
		served, err := d.consolePart(pages, operators)
		if err != nil {
			return nil, err
		}
		consoles = append(consoles, served)
	}
	if cfg.PrometheusListenAddr != "" {
		listener, err := listen(ctx, "tcp", cfg.PrometheusListenAddr)
		if err != nil {
			return nil, err
		}
		parts = append(parts, httpPart(listener, registry, ready, cfg.Prometheus.PProf, log))
	}
	if tracer != nil {
		parts = append(parts, part{name: "traces", run: tracer.Run})
	}
	parts = append(parts,
		part{name: "consensus", run: func(ctx context.Context) error {
			defer peers.Wait()
			return node.Run(ctx)
		}, ready: func(ctx context.Context) error {
			// Without a quorum, too, questions and reads are answered.
			select {
			case <-node.Readable():
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
		owned.part(),
		reports.part(),
		part{name: "connections to storages", run: storages.Run, ready: func(ctx context.Context) error {
			return triedStorages(ctx, storages)
		}},
		part{name: "session", run: heartbeat.Run, ready: func(ctx context.Context) error {
			return start.agreed(ctx, node, cfg, storages.Observations, log)
		}},
		part{name: "ledger", run: intents.Run},
		part{name: "migrations", run: func(ctx context.Context) error { return migrate(ctx, db, log) }},
		part{name: "replicator", run: func(ctx context.Context) error {
			select {
			case <-node.Ready(): // it writes
				return repair.Run(ctx)
			case <-ctx.Done():
				return nil
			}
		}},
		part{name: "search for stuck repairs", run: stuck.run},
		part{name: "conditions", run: watch.Run},
		part{name: "memory", run: func(ctx context.Context) error { return collectGarbage(ctx, collectEvery) }},
		part{name: "operators", run: func(ctx context.Context) error {
			<-ctx.Done() // the server has stopped: it stops before the parts that it uses
			operators.Wait()
			return nil
		}},
	)
	return append(append(parts, consoles...),
		serverPart(server, clients, time.Duration(cfg.GracefulStopTimeout), log),
		settings.part(d.hangups, d.tell),
		ready.part(time.Duration(cfg.DrainWait)),
	), nil
}

// channels are the sizes of the channels that share a connection with its calls.
func (d *daemon) channels() channel.Config {
	y := d.cfg.Yamux
	return channel.Config{Window: y.MaximumStreamWindowSizeBytes, Backlog: int(y.AcceptBacklog), Logger: d.log}
}

func (d *daemon) session(barred func() string, reports func() peersettings.Report, unclaimed func(string) string) session.Config {
	f := d.cfg.Failover
	return session.Config{
		Now: lease.Now,
		Failover: elector.Settings{
			Failover: f.Enabled, WarmUp: max(1, time.Duration(f.WarmUp)), MassWindow: max(1, time.Duration(f.MassFailureWindow)),
			ReturnAfter: time.Duration(f.ReturnAfter), ReturnAfterMax: time.Duration(f.ReturnAfterMax), RetireAfter: time.Duration(f.RetireAfter),
		},
		Configured: configured(d.cfg), Settings: reports, Unclaimed: unclaimed,
		Barred:    barred,
		Calm:      d.processors.calm,
		ReportAge: time.Duration(d.cfg.Detection.ReportAge), WritePause: time.Duration(f.PauseDeadline), Logger: d.log,
	}
}

func (d *daemon) replication() replicator.Config {
	r := d.cfg.Replication
	return replicator.Config{
		Name:                 d.cfg.Raft.Name,
		Workers:              r.ParallelStorageProcessingWorkers,
		VerificationInterval: time.Duration(d.cfg.BackgroundVerification.VerificationInterval),
		FsckSample:           d.cfg.BackgroundVerification.FsckSample,
		ReconcileInterval:    time.Duration(d.cfg.Reconciliation.SchedulingInterval),
		CopyTimeout:          time.Duration(r.CopyTimeout),
		PauseBudget:          time.Duration(r.PauseBudget),
		RetryMin:             time.Duration(r.RetryMin),
		RetryMax:             time.Duration(r.RetryMax),
		Attempts:             r.Attempts,
	}
}

// migrate brings the schema in Postgres up to date as soon as Postgres is there,
// and then rests. Nothing waits for it: until then the queue is unavailable.
func migrate(ctx context.Context, db *postgres.DB, log *slog.Logger) error {
	if err := db.AwaitSchema(ctx); err != nil {
		return err
	}
	log.Info("the schema in postgres is up to date")
	<-ctx.Done()
	return nil
}

// unknownKeys is a metric that tells of settings which this version does not
// know: misspelt ones, or settings of a newer release.
func (d *daemon) unknownKeys() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "praefect_config_unknown_keys", Help: "Keys of the settings that this version does not know, and ignores.",
	}, func() float64 { return float64(d.live.Load().UnknownKeys()) })
}

// buildInfo is a metric that tells the version.
func (d *daemon) buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gitlab_build_info", Help: "Always 1; the label tells the version of the program.",
		ConstLabels: prometheus.Labels{"version": d.version},
	}, func() float64 { return 1 })
}
