package workload

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
)

// Config sets the clients, and their load. Zero values are defaults.
type Config struct {
	// Writers and Readers are how many clients of each kind there are. Default: 16
	// and 4.
	Writers, Readers int
	// WriteEvery and ReadEvery are the least times between the begins of two
	// operations of one client. Default: 100 ms and 50 ms.
	WriteEvery, ReadEvery time.Duration
	// Limit bounds one operation. Default: 15 s, longer than writes ever wait.
	Limit time.Duration
	// Homes are the instances that the balancer has put the clients to, in turn.
	// Empty: the balancer puts them where it will, which no client knows.
	Homes []*cluster.Instance
	// Reserve is how many repositories are kept clean until Rush. Default: half.
	Reserve int
	// Own has every writer keep to a repository of its own, where each write makes a
	// reference to one of these commits, in turn; readers read the same repositories,
	// listed in the ledger or not: where writes are voted on, all stay available.
	// Empty: writers go round, and commit.
	Own []string
}

func (c *Config) applyDefaults(repositories int) {
	set := func(value *time.Duration, fallback time.Duration) {
		if *value == 0 {
			*value = fallback
		}
	}
	set(&c.WriteEvery, 100*time.Millisecond)
	set(&c.ReadEvery, 50*time.Millisecond)
	set(&c.Limit, 15*time.Second)
	if c.Writers == 0 {
		c.Writers = 16
	}
	if c.Readers == 0 {
		c.Readers = 4
	}
	if c.Reserve == 0 {
		c.Reserve = repositories / 2
	}
}

// Traffic is clients at work on the seeded repositories of a cluster. Make one with
// Start; its owner calls Stop.
type Traffic struct {
	c              *cluster.Cluster
	virtualStorage string
	config         Config
	name           string   // no other traffic writes files of that name
	own            []string // the repositories of the writers; nil without Config.Own
	pool           *Pool
	clients        []Client
	homes          []string // of the clients; empty without one

	workers *Workers
	ended   sync.Once

	mu      sync.Mutex
	stopped time.Time // when Stop was called; guarded by mu
	events  []Event   // guarded by mu
	made    []Made    // guarded by mu
}

// Start connects the clients and lets them begin.
func Start(ctx context.Context, c *cluster.Cluster, virtualStorage string, paths []string, config Config) (*Traffic, error) {
	config.applyDefaults(len(paths))
	t := &Traffic{c: c, virtualStorage: virtualStorage, config: config, pool: NewPool(paths, config.Reserve), name: strings.ToLower(cryptorand.Text()), workers: NewWorkers()}
	if len(config.Own) > 0 {
		if config.Writers > len(paths) {
			return nil, fmt.Errorf("start clients: %d writers want a repository each, and there are %d", config.Writers, len(paths))
		}
		t.own = paths[:config.Writers]
	}
	for n := range config.Writers + config.Readers {
		home, label := c.ClientAddr(), ""
		if len(config.Homes) > 0 {
			instance := config.Homes[n%len(config.Homes)]
			home, label = instance.Addr, instance.Label()
		}
		conn, err := Connect(home, c.ClientAddr(), c.Token)
		if err != nil {
			t.Stop()
			return nil, err
		}
		client := Client{Conn: conn, VirtualStorage: virtualStorage}
		t.clients, t.homes = append(t.clients, client), append(t.homes, label)
		if err := client.Connected(ctx); err != nil {
			t.Stop()
			return nil, err
		}
	}
	for n := range t.clients {
		if reader := n - config.Writers; reader < 0 {
			t.workers.Start(spread(config.WriteEvery, n, config.Writers), config.WriteEvery, func(turn int) { t.write(n, turn) })
		} else {
			t.workers.Start(spread(config.ReadEvery, reader, config.Readers), config.ReadEvery, func(int) { t.read(n) })
		}
	}
	if t.own == nil {
		t.workers.Start(0, 50*time.Millisecond, t.ask)
	}
	return t, nil
}

// Rush is for the moment before something happens; see Pool.Rush.
func (t *Traffic) Rush() { t.pool.Rush() }

// Calm is for when that is over; see Pool.Calm.
func (t *Traffic) Calm() { t.pool.Calm() }

// Clean is how many repositories writers could go to now; see Pool.
func (t *Traffic) Clean() int { return t.pool.Clean() }

// Stop lets every client finish its operation, and returns when all have.
func (t *Traffic) Stop() {
	t.ended.Do(func() {
		t.mu.Lock()
		t.stopped = time.Now()
		t.mu.Unlock()
		t.workers.Stop()
		for _, client := range t.clients {
			_ = client.Conn.Close() // nothing is under way
		}
	})
}

// spread is when the nth of some clients begins, so that not all begin at once.
func spread(every time.Duration, n, clients int) time.Duration {
	return every * time.Duration(n) / time.Duration(clients)
}

// write commits to the branch of a writer in some repository.
func (t *Traffic) write(n, turn int) {
	path, done, found := t.toWrite(n)
	if !found {
		return // the next tick tries again
	}
	// Not ended by Stop: an operation that its client gives up is in doubt.
	ctx, cancel := context.WithTimeout(context.Background(), t.config.Limit)
	defer cancel()
	a := Made{Path: path, Branch: fmt.Sprintf("writer-%d", n)}
	write := t.clients[n].Commit
	if t.own != nil {
		a.Branch, write = fmt.Sprintf("%s-%d-%d", t.name, n, turn), t.clients[n].branch(t.config.Own[turn%len(t.config.Own)])
	}
	e := Event{Kind: Write, Client: n, Home: t.homes[n], Path: path, Began: time.Now()}
	a.ID, e.Err = write(ctx, path, a.Branch, fmt.Sprintf("%s-%d-%d", t.name, n, turn))
	e.Ended = time.Now()
	done(e.Err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
	if e.Err == nil {
		t.made = append(t.made, a)
	}
}

func (t *Traffic) read(n int) {
	path, found := t.toRead()
	if !found {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.config.Limit)
	defer cancel()
	e := Event{Kind: Read, Client: n, Home: t.homes[n], Path: path, Began: time.Now()}
	id, err := t.clients[n].Find(ctx, path, Branch)
	if err == nil && id == "" {
		err = fmt.Errorf("%q has no branch %s", path, Branch)
	}
	e.Err, e.Ended = err, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// ask asks which repositories are not clean.
func (t *Traffic) ask(int) {
	asked := time.Now()
	if behind, err := Behind(context.Background(), t.c, t.virtualStorage); err == nil {
		t.pool.Listed(asked, behind) // otherwise the next time tells
	}
}

// Behind are the repositories of which a storage is behind, and whether each is
// available, as an instance says that is ready: another one's view may be old.
func Behind(ctx context.Context, c *cluster.Cluster, virtualStorage string) (map[string]bool, error) {
	const askTimeout = time.Second
	var faults []error
	for _, i := range c.Instances {
		limited, cancel := context.WithTimeout(ctx, askTimeout)
		err := i.Ready(limited)
		var behind map[string]bool
		if err == nil {
			behind, err = behindAt(limited, i.Admin(), virtualStorage)
		}
		cancel()
		if err == nil {
			return behind, nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("ask which repositories are behind: %w", errors.Join(faults...))
}

// Unavailable are the repositories that cannot be served before a storage is back.
func Unavailable(ctx context.Context, c *cluster.Cluster, virtualStorage string) (map[string]bool, error) {
	behind, err := Behind(ctx, c, virtualStorage)
	for path, available := range behind {
		if available {
			delete(behind, path)
		} else {
			behind[path] = true
		}
	}
	return behind, err
}

func behindAt(ctx context.Context, client *admin.Client, virtualStorage string) (map[string]bool, error) {
	behind := make(map[string]bool)
	request := admin.DatalossRequest{VirtualStorage: virtualStorage}
	for {
		page, err := client.Dataloss(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Repositories {
			behind[r.RelativePath] = r.Available
			request.After = &state.Key{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath}
		}
		if !page.More {
			return behind, nil
		}
	}
}
