package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"praefect/test/cluster"
)

// register is a reference that several clients set and read through different
// instances, and its history.
type register struct {
	path string
	ref  string

	mu      sync.Mutex
	history []Operation // guarded by mu
}

// Registers are clients that set and read references, each reference by as many
// clients as there are instances. Make one with StartRegisters; its owner calls Stop.
type Registers struct {
	config    RegistersConfig
	registers []*register
	clients   []Client
	workers   *Workers
	ended     sync.Once
}

// RegistersConfig says where they are and how busy.
type RegistersConfig struct {
	VirtualStorage string
	// Paths are the repositories, with one register each.
	Paths []string
	// Values are commits that every one of the repositories has under some reference.
	Values []string
	// Every is the least time between two operations of a client. Default: 60 ms.
	Every time.Duration
	// Limit bounds one operation. Default: 12 s, longer than writes ever wait.
	Limit time.Duration
}

// Unleased is the trailer that marks an answer that may be old, by an instance
// without a lease.
const Unleased = "praefect-without-lease"

// StartRegisters lets clients work that stay with their instance.
func StartRegisters(ctx context.Context, c *cluster.Cluster, config RegistersConfig) (*Registers, error) {
	if config.Every == 0 {
		config.Every = 60 * time.Millisecond
	}
	if config.Limit == 0 {
		config.Limit = 12 * time.Second
	}
	r := &Registers{config: config, workers: NewWorkers()}
	for _, i := range c.Instances {
		// The cluster's connections are for questions about it: no other use fills these.
		conn, err := cluster.Dial(i.Addr, c.Token)
		if err != nil {
			r.Stop()
			return nil, err
		}
		client := Client{Conn: conn, VirtualStorage: config.VirtualStorage}
		r.clients = append(r.clients, client)
		if err := client.Connected(ctx); err != nil {
			r.Stop()
			return nil, err
		}
	}
	for _, path := range config.Paths {
		at := &register{path: path, ref: "refs/registers/one"}
		r.registers = append(r.registers, at)
		for n := range r.clients {
			number := len(r.registers)*len(r.clients) + n
			r.work(at, n, number)
		}
	}
	return r, nil
}

// Stop lets every client finish its operation, and returns when all have.
func (r *Registers) Stop() {
	r.ended.Do(func() {
		r.workers.Stop()
		for _, client := range r.clients {
			_ = client.Conn.Close() // nothing is under way
		}
	})
}

// Sets is how many sets were acknowledged so far.
func (r *Registers) Sets() int { return r.count(func(o Operation) bool { return o.Set && !o.Unknown }) }

// Reads is how many reads were answered so far, without the reads that may be old.
func (r *Registers) Reads() int { return r.count(func(o Operation) bool { return !o.Set }) }

func (r *Registers) count(fit func(Operation) bool) (n int) {
	for _, at := range r.registers {
		at.mu.Lock()
		for _, o := range at.history {
			if fit(o) {
				n++
			}
		}
		at.mu.Unlock()
	}
	return n
}

// work starts one client of one register. After a failure it only reads until that
// succeeds: a set whose effect is in doubt weakens the history.
func (r *Registers) work(at *register, instance, number int) {
	random, well := rand.New(rand.NewPCG(uint64(number), 0)), false
	r.workers.Start(0, r.config.Every, func(int) {
		if well && random.IntN(2) == 0 {
			well = r.set(at, instance, number, r.config.Values[random.IntN(len(r.config.Values))])
		} else {
			well = r.read(at, instance, number)
		}
	})
}

func (r *Registers) set(at *register, instance, number int, value string) bool {
	// Not ended by Stop: an operation that its client gives up is in doubt.
	ctx, cancel := context.WithTimeout(context.Background(), r.config.Limit)
	defer cancel()
	o := Operation{Set: true, Value: value, Began: time.Now(), client: number}
	o.Unknown = r.clients[instance].Point(ctx, at.path, at.ref, value, "") != nil
	o.Ended = time.Now()
	at.add(o)
	return !o.Unknown
}

// read notes the answer, unless that may be old: the client is told so.
func (r *Registers) read(at *register, instance, number int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), r.config.Limit)
	defer cancel()
	o := Operation{Began: time.Now(), client: number}
	var trailer metadata.MD
	var err error
	o.Value, err = r.clients[instance].Find(ctx, at.path, at.ref, grpc.Trailer(&trailer))
	o.Ended = time.Now()
	if err != nil || len(trailer.Get(Unleased)) > 0 {
		return false
	}
	at.add(o)
	return true
}

func (at *register) add(o Operation) {
	at.mu.Lock()
	defer at.mu.Unlock()
	at.history = append(at.history, o)
}

// String names the register for people.
func (at *register) String() string { return fmt.Sprintf("%s of %q", at.ref, at.path) }
