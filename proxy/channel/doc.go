// Package channel owns the streams that share one network connection with an ordinary gRPC
// connection: the backchannel, on which the server's side calls the client's side, and
// sidechannels, which carry the bulk bytes of one call.
//
// It promises the protocol of Gitaly for both ends, that a connection without it works as before, that all of it ends when the
// connection does, and that one stalled stream stalls no other: each has a window of its own.
//
// The proxy, its connections to storages, the test storage and git-remote-gitaly use it. It does
// not look at their data.
//
// # Dialling
//
// The end that dials wraps its credentials. Each connection then answers calls of the other side
// with a server of its own, and accepts the sidechannels that a caller waits for:
//
//	var waiting channel.Registry
//	creds := channel.NewClientCredentials(base, channel.Client{Server: newBackServer, Sidechannels: &waiting})
//	cc, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
//
//	ctx, waiter := waiting.Expect(ctx, func(ctx context.Context, s *channel.ClientEnd) error {
//		... // write the request, s.CloseWrite(), read the answer until io.EOF
//	})
//	response, err := client.SSHUploadPackWithSidechannel(ctx, request)
//	err = errors.Join(err, waiter.Close())
//
// A server that does not speak it fails the handshake with [ErrNotSpoken], which Client.NotSpoken tells. To dial such a server,
// leave the credentials as they were.
//
// # Listening
//
// The end that listens wraps its credentials, and takes both kinds of clients:
//
//	server := grpc.NewServer(grpc.Creds(channel.NewServerCredentials(base, channel.Config{})))
//
// In the handler of a call:
//
//	session, ok := channel.FromContext(ctx)    // ok: the connection of this call has a backchannel
//	back, err := session.Client()              // calls the client's side; ends with the connection
//	side, err := channel.Open(ctx)             // the sidechannel that the client of this call waits with
//	defer side.Close()                         // the client reads io.EOF
//	... // read side until io.EOF, write the answer
//
// # On the wire
//
// After the TLS handshake, if there is one, the client writes the 11 bytes "backchannel" and starts a yamux session, whose
// first stream carries gRPC. Every other stream is opened by the server. One that begins with the 11 bytes "sidechannel" goes
// on with the id of a waiter, 8 bytes, and is answered by "ok"; any other is HTTP/2.
//
// In a sidechannel the server writes raw bytes, and their end is the end of the stream. The client
// writes pkt-lines: 4 hexadecimal digits for the length, these included, then at most 65516 bytes.
// "0000" is the end, and must come.
package channel
