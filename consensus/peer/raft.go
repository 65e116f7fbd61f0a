package peer

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// idMark stands between the id and the address of a target.
const idMark = "@"

// NewRaftTransport returns the transport for the Raft library, which closes it
// when it stops. timeout bounds each of its calls, heartbeat is the time between two heartbeats to a
// follower; lines of its log go to log.
func (t *Transport) NewRaftTransport(timeout, heartbeat time.Duration, log io.Writer) *RaftTransport {
	return &RaftTransport{
		NetworkTransport: raft.NewNetworkTransport(t.raft, maxIdle, timeout, log), commits: newCommits(), beats: newBeats(heartbeat),
	}
}

// maxIdle is how many connections to one peer the library keeps for later.
const maxIdle = 3

// RaftTransport is the library's network transport with these additions.
//
// It tells the stream layer, which sees only addresses, which instance the library
// means: an instance that was emptied and has come back under the address must not
// answer for its former self.
//
// It tells followers of a commit at once (Committed). The library tells them with the
// next entry or after raft.Config.CommitTimeout, so a short wait for a commit would
// cost many messages a second while nothing happens.
//
// It sends fewer heartbeats than the library makes (beats), and takes another message of the leader
// for one (HeardLeader).
type RaftTransport struct {
	*raft.NetworkTransport
	commits *commits
	beats   *beats
	handle  func(raft.RPC)                            // takes a heartbeat; set before the library runs
	heard   atomic.Pointer[raft.AppendEntriesRequest] // the last heartbeat that came in
}

// Committed tells the followers that the log is committed up to index. The caller
// reads term, this instance's current term, after it learned of index. Committed does
// not block, and has no effect on an instance that does not lead in that term.
func (t *RaftTransport) Committed(index, term uint64) { t.commits.set(index, term) }

func meaning(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + idMark + addr
}

// AppendEntriesPipeline implements raft.Transport.
func (t *RaftTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, meaning(id, target))
	if err != nil {
		return nil, err
	}
	return newPipeline(inner, t.commits, func(term uint64) *raft.AppendEntriesResponse {
		return t.beats.vouched(id, term, time.Now())
	}), nil
}

// AppendEntries implements raft.Transport.
func (t *RaftTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !isHeartbeat(args) {
		return t.NetworkTransport.AppendEntries(id, meaning(id, target), args, resp)
	}
	if answer := t.beats.vouched(id, args.Term, time.Now()); answer != nil {
		*resp = *answer
		return nil
	}
	t.beats.wait(id, args.Term)
	err := t.NetworkTransport.AppendEntries(id, meaning(id, target), args, resp)
	t.beats.answered(id, args.Term, resp, err)
	return err
}

// SetPace sets the time between two heartbeats to a follower while this instance leads in the term,
// 0 for the usual one. The follower must wait for longer than that before it gives its leader up.
func (t *RaftTransport) SetPace(id string, term uint64, every time.Duration) {
	t.beats.setPace(raft.ServerID(id), term, every)
}

// SetHeartbeatHandler implements raft.Transport.
func (t *RaftTransport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.handle = handle
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if args, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
			t.heard.Store(args)
		}
		handle(rpc)
	})
}

// HeardLeader tells the library that the leader of that term was heard over another connection: it
// gets the last heartbeat of that term once more, if there was one.
func (t *RaftTransport) HeardLeader(term uint64) {
	if last := t.heard.Load(); last != nil && last.Term == term {
		again := *last
		t.handle(raft.RPC{Command: &again, RespChan: make(chan raft.RPCResponse, 1)})
	}
}

// RequestVote implements raft.Transport.
func (t *RaftTransport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, meaning(id, target), args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *RaftTransport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, meaning(id, target), args, resp)
}

// InstallSnapshot implements raft.Transport.
func (t *RaftTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, meaning(id, target), args, resp, data)
}

// TimeoutNow implements raft.Transport.
func (t *RaftTransport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, meaning(id, target), args, resp)
}
