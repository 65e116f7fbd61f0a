package consensus

// Snapshot takes one now, and cuts the log behind it; it returns where that begins.
func (n *Node) Snapshot() (first uint64, err error) {
	if err := n.library.Raft().Snapshot().Error(); err != nil {
		return 0, err
	}
	return n.disk.Logs.FirstIndex()
}

// Unlock is what the end of the process does to the data directory, should a disk
// that hangs keep it from being closed.
func (n *Node) Unlock() { _ = n.disk.Close() } // it may be closed

// Crash ends the instance as the end of its process would: Run returns, nothing is
// said, nothing handed over.
func (n *Node) Crash() { n.disk.Guard.Fail(errCrash) }
