package peer

import (
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// idMark stands between the id and the address of a target.
const idMark = "@"

// NewRaftTransport returns the transport for the Raft library, which closes it
// when it stops. timeout bounds each of its calls; lines of its log go to log.
func (t *Transport) NewRaftTransport(timeout time.Duration, log io.Writer) raft.Transport {
	return &raftTransport{raft.NewNetworkTransport(t.raft, maxIdle, timeout, log)}
}

// maxIdle is how many connections to one peer the library keeps for later.
const maxIdle = 3

// raftTransport tells the stream layer, which sees addresses only, whom the
// library means: an instance that was emptied and has come back under the
// address must not answer for its former self.
type raftTransport struct{ *raft.NetworkTransport }

func meaning(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + idMark + addr
}

// AppendEntriesPipeline implements raft.Transport.
func (t *raftTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, meaning(id, target))
	if err != nil {
		return nil, err
	}
	return newPipeline(inner), nil
}

// AppendEntries implements raft.Transport.
func (t *raftTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return t.NetworkTransport.AppendEntries(id, meaning(id, target), args, resp)
}

// RequestVote implements raft.Transport.
func (t *raftTransport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, meaning(id, target), args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *raftTransport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, meaning(id, target), args, resp)
}

// InstallSnapshot implements raft.Transport.
func (t *raftTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, meaning(id, target), args, resp, data)
}

// TimeoutNow implements raft.Transport.
func (t *raftTransport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, meaning(id, target), args, resp)
}
