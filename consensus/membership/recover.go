package membership

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm/state"
)

// Offline is the data directory of an instance whose process does not run. OpenOffline
// makes one; Close it.
type Offline struct {
	config setup.Config
	disk   *store.Disk
	found  *store.OnDisk
	// transport has the port for peers, so that no process starts on it meanwhile; nil alone.
	transport *peer.Transport
	clients   *peer.Clients
}

// Survey collects the facts before a recovery.
type Survey struct {
	// ID, Name and ClusterID belong to the instance; ClusterID is empty if its directory
	// holds no state.
	ID, Name, ClusterID string
	// State is the state in the directory.
	State *state.State
	// Last is the last entry of the log, LastTerm its term. Committed is the last one that the
	// instance knew to be committed, and CommittedAt when; 0 if it is not known.
	Last, LastTerm, Committed uint64
	CommittedAt               time.Time
	// Members are the members of the cluster, this one included, by name.
	Members []SurveyedMember
}

// SurveyedMember is a member of the cluster, and how it answered.
type SurveyedMember struct {
	member.Member
	// Self is this instance.
	Self bool
	// Last and LastTerm are the end of its log, if it answered.
	Last, LastTerm uint64
	// Err is why it did not.
	Err string
}

// Ahead names the members whose log is longer than this instance's: a recovery there loses
// less.
func (s Survey) Ahead() []string {
	var names []string
	for _, m := range s.Members {
		if !m.Self && m.Err == "" && (m.LastTerm > s.LastTerm || m.LastTerm == s.LastTerm && m.Last > s.Last) {
			names = append(names, cmp.Or(m.Name, m.ID))
		}
	}
	return names
}

// Quorum tells whether a majority of the voters is there, this instance among them: then
// nothing is lost.
func (s Survey) Quorum() bool {
	voters, there := 0, 0
	for _, m := range s.Members {
		if !m.Voter {
			continue
		}
		voters++
		if m.Err == "" {
			there++
		}
	}
	return voters > 1 && there > voters/2
}

// OpenOffline opens the data directory of an instance that does not run, which it keeps from
// starting until Close. A recovery that died is finished first. It changes nothing
// else.
func OpenOffline(ctx context.Context, c setup.Config) (_ *Offline, err error) {
	if c, err = c.WithDefaults(); err != nil {
		return nil, err
	}
	if err := store.FinishRecovery(ctx, c); err != nil {
		return nil, fmt.Errorf("raft.data_dir %q: %w", c.DataDir, err)
	}
	o := &Offline{config: c}
	if o.disk, err = store.Open(ctx, c); err != nil {
		return nil, fmt.Errorf("%w; stop praefect first", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if o.found, err = o.disk.Read(func(store.Committed) uint64 { return store.Everything }); err != nil {
		return nil, fmt.Errorf("raft.data_dir %q: %w", c.DataDir, err)
	}
	if c.ListenAddr == "" {
		return o, nil
	}
	known := o.disk.Known()
	o.transport, err = peer.Listen(ctx, peer.Config{
		Name: c.Name, ID: known.ID, ListenAddr: c.ListenAddr, AdvertiseAddr: c.AdvertiseAddr, Credentials: c.Credentials,
		Cluster: func() string { return known.ClusterID },
		// No connection is admitted: the transport does not run.
		Admit: func(string, string) bool { return true }, Logger: c.Logger, Dial: c.Fakes.Dial, Listen: c.Fakes.Listen,
	})
	if err != nil {
		return nil, fmt.Errorf("raft.listen_addr %q: %w; stop praefect first", c.ListenAddr, err)
	}
	o.clients = peer.NewClients(o.transport)
	return o, nil
}

// Close gives the data directory free.
func (o *Offline) Close() error {
	var err error
	if o.clients != nil {
		err = o.clients.Close()
	}
	if o.transport != nil {
		err = errors.Join(err, o.transport.Close())
	}
	if o.disk != nil {
		err = errors.Join(err, o.disk.Close())
	}
	return err
}

// Survey describes the content of the directory, and asks all members about theirs.
func (o *Offline) Survey(ctx context.Context) Survey {
	known := o.disk.Known()
	s := Survey{
		ID: known.ID, Name: o.config.Name, ClusterID: cmp.Or(o.found.State.ClusterID, known.ClusterID), State: o.found.State,
		Last: o.found.End, LastTerm: o.found.EndTerm, Committed: o.found.Committed.Index, CommittedAt: o.found.Committed.Time,
	}
	for _, server := range o.found.Servers {
		m := SurveyedMember{
			Member: member.Member{ID: string(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter},
			Self:   string(server.ID) == known.ID,
		}
		for _, in := range slices.Backward(s.State.Instances) {
			if in.ID == m.ID {
				m.Name = in.Name
				break
			}
		}
		o.ask(ctx, &m)
		s.Members = append(s.Members, m)
	}
	if len(s.Members) == 0 {
		s.Members = o.listed(ctx)
	}
	slices.SortFunc(s.Members, func(a, b SurveyedMember) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return s
}

// listed are this instance, which has no state, and its peers as the settings list them: a
// directory without state knows no members, and must not be recovered beside a cluster that is
// well. One alone has no peer to ask.
func (o *Offline) listed(ctx context.Context) []SurveyedMember {
	if o.clients == nil || len(o.config.Peers) == 0 {
		return nil
	}
	all := []SurveyedMember{{
		Member: member.Member{ID: o.disk.Known().ID, Name: o.config.Name, Address: o.transport.AdvertiseAddr(), Voter: true}, Self: true, Err: "it holds no state",
	}}
	for _, p := range o.config.Peers {
		m := SurveyedMember{Member: member.Member{Name: p.Name, Address: p.Addr, Voter: true}}
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := callIntroduce.CallTo(asking, o.clients, p.Addr, nothing{})
		cancel()
		switch m.ID = answer.ID; {
		case err != nil:
			m.Err = err.Error()
		case !answer.Begun:
			m.Err = "it holds no state"
		default:
			o.ask(ctx, &m)
		}
		all = append(all, m)
	}
	return all
}

// ask asks a member for the end of its log.
func (o *Offline) ask(ctx context.Context, m *SurveyedMember) {
	switch {
	case m.Self:
		m.Last, m.LastTerm = o.found.End, o.found.EndTerm
		return
	case o.clients == nil:
		m.Err = "this instance has no way to others: raft.listen_addr is missing"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := callStatus.CallTo(ctx, o.clients, m.Address, nothing{})
	switch {
	case err != nil:
		m.Err = err.Error()
	case answer.ID != m.ID:
		m.Err = "another instance answers at its address: " + answer.ID
	default:
		m.Last, m.LastTerm = answer.LastIndex, answer.LastTerm
	}
}

// Recovered is the result of a recovery.
type Recovered struct {
	// ClusterID is the new cluster's, Former the one that it replaces.
	ClusterID, Former string
	// Aside is where the former content of the data directory is kept.
	Aside string
	State *state.State
}

// Recover makes a cluster of one out of the state in the directory, or of from, the state of a
// snapshot, if it is not nil. by names the operator, and bound says how long an effect may still
// come of a write that a lost instance had under way. The former content of the directory is set
// aside within it. If we die at any point, either nothing was changed, or the next OpenOffline
// finishes it, and the instance does not start before.
func (o *Offline) Recover(from *state.State, by string, bound time.Duration) (Recovered, error) {
	known := o.disk.Known()
	source := cmp.Or(from, o.found.State)
	if source.ClusterID == "" {
		return Recovered{}, errors.New("there is no state to go on from: name a snapshot")
	}
	index := max(o.found.End, uint64(source.Index)) + 1
	term, err := o.disk.Term()
	if err != nil {
		return Recovered{}, err
	}
	term = max(term, o.found.EndTerm) + 1
	now := time.Now()
	r := Recovered{ClusterID: rand.Text(), Former: source.ClusterID}
	r.State = source.Recover(state.Recovery{
		Index: state.Index(index), ClusterID: r.ClusterID, Time: now.UnixMilli(), By: by, BoundMillis: bound.Milliseconds(),
	})
	if err := r.State.Check(); err != nil {
		return Recovered{}, fmt.Errorf("the state cannot be used: %w", err)
	}
	// Another id keeps former peers from taking this instance for the one that they knew.
	id := store.Identity{
		Version: 1, ID: rand.Text(), Name: known.Name, Bootstrapped: true, Member: true, ClusterID: r.ClusterID,
		Replaced: r.State.Replaced,
	}
	if err := o.disk.Prepare(id, r.State, index, term, o.address(id)); err != nil {
		return Recovered{}, fmt.Errorf("prepare the recovery: %w", err)
	}
	r.Aside, err = o.disk.SwapIn(now)
	return r, err
}

// address is where the only member of the new cluster is.
func (o *Offline) address(id store.Identity) string {
	if o.transport == nil {
		return id.ID
	}
	return o.transport.AdvertiseAddr()
}
