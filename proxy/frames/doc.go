// Package frames forwards reads as HTTP/2 frames, below gRPC's server.
//
// A call that goes through gRPC's server wakes five goroutines and is copied twice. Most calls of GitLab are reads with one
// small request, of which the proxy looks at nothing else. This package takes such calls out of a client's connection before
// gRPC's server sees them, and sends the frames of their answers to the client as they come from the storage.
//
// A Front can also answer a call itself: the votes of storages, one of which would otherwise keep a goroutine waiting.
//
//	client ──▶ Front ──▶ gRPC's server ──▶ handlers, as without this package
//	             ├─────▶ Backend ──▶ storage
//	             └─────▶ Diversion.Serve
//
// A [Front] wraps the connection of a client. It parses the frames that come, and asks a [Policy] about each call. A call that the
// Policy does not want, or that is not plain, is passed: gRPC's server gets its frames, with another stream id. The remaining calls
// are diverted to a [Backend], which is a connection to a storage that carries diverted calls only.
//
// # Which calls are diverted
//
// A call is held when its headers arrive and [Policy.May] agrees. It is diverted when exactly one whole message, uncompressed and at
// most 64 KiB, and the end of the client's stream have arrived, and [Policy.Divert] names a Backend. Anything else passes the call,
// as if it had never been held: a second message, trailers, a compressed message, a message that is not whole after Config.Hold,
// more than Config.Held calls held, a Backend without room.
//
// A diverted call whose storage is lost before it answers, or that the storage resets before it answers, is passed too
// ([Policy.Passed]), with the rest of its deadline. Therefore a method must be a read to be diverted: it may be carried out
// twice. Once the first frame of an answer has been sent to the client, the call ends here ([Diversion.Ended]).
//
// # What a client sees of an answer
//
// A message is sent when all of it has arrived: a storage that is lost in the middle of one leaves no part of it to the client, to whom
// that would be a broken answer. A message of more than 2 MiB is sent as it comes, and so is one for which Config.Ahead has no room.
//
// # Which calls are answered here
//
// A Diversion with Serve names no Backend. It is never passed: Serve gets an [Answer], which may be called at once or later. The
// call ends without it when the client goes or the deadline passes, and Diversion.Ended says so.
//
// # Hidden from gRPC's server
//
//   - Stream ids: gRPC's server gets 1, 3, 5 … in the order in which calls are passed to it.
//   - Headers: the client's are decoded here and encoded again without a dynamic table. The headers of gRPC's server go to the
//     client as they are; the headers of diverted answers use no dynamic table either.
//   - Windows: gRPC's server believes that the client's whole connection window is its own. The bytes of diverted calls make a debt,
//     which the client's next window updates repay first. Frames of gRPC's server that find too small a window wait here.
//   - Pings: while diverted answers flow, pings are answered here with gRPC's policy, because gRPC's server has sent nothing that
//     would excuse them. Config.PingHold delays these answers.
//   - GOAWAY: the last stream id is the client's. Diverted calls finish before the connection closes, for at most Config.Drain.
//
// # Goroutines
//
// The goroutine in which gRPC's server reads parses the client's frames, within Front.Read. Each Backend has one goroutine that
// reads. It writes to a client's socket only the bytes that the socket takes at once; the rest goes into a queue, which a goroutine writes
// that exists only while there is a queue. So no client makes a storage wait for more than its own call: the storage gets its
// window back when bytes have been written to the client. A call of which the client takes nothing for Config.SendStall is reset.
package frames
