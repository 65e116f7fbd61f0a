package lease

// Server is the leader's end of a stream to an instance.
type Server interface {
	Send(*FromLeader) error
	Recv() (*ToLeader, error)
}

// Client is an instance's end of the stream to the leader. One goroutine
// may send while another receives; Close ends both.
type Client interface {
	Send(*ToLeader) error
	Recv() (*FromLeader, error)
	Close()
}
