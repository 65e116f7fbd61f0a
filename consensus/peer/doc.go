// Package peer owns the connections between the instances of a cluster: one
// port, on which Raft and the calls of one instance to another come in.
//
// It promises that the other end of a connection has proved to be
// a peer that is let in, and the one that was meant; that every connection is
// encrypted; that a stranger costs little and a bounded time; and that the port
// refuses connections only when the Transport was closed or the process has
// ended, so that others may take that for proof.
//
// Package consensus makes a Transport, hands its streams to the Raft library
// and its calls to gRPC.
//
// # A connection
//
//	dialler                                   acceptor
//	TLS 1.3 with certificates of both sides ◄─►
//	hello{kind, name, id, meant for} ───────►  is that peer let in? is it for me?
//	                         ◄─────────────── answer{name, id} or a refusal
//	then the stream of the kind
//
// With certificates each side's must come from the common authority and have
// the name that the side gives itself as a DNS name. With a shared secret the
// certificates are made up on the spot, and each side proves that it knows the
// secret by a code over the name and the keys of this very TLS connection: it
// can neither be replayed nor passed on by someone in the middle.
//
// The id is checked as well as the name: an instance that was emptied comes back
// under its name and address with another id, and must not vote, or hold
// entries, in the place of the one that it was.
package peer
