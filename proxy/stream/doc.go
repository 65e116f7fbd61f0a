// Package stream owns the byte path of the proxy: it carries one gRPC call between a client and a
// storage without decoding its messages.
//
// It promises that both ends see the same as without a proxy, that its own code copies and
// allocates nothing per message, and that an [Outcome] claims no more about the storage than the
// storage has said.
//
// It is called by the proxy's handler of unknown services, which decides where a call goes.
//
// # One call
//
// The handler peeks the first message ([Peek]), decides, opens a branch at a storage with that message rewritten ([Open]), and
// forwards ([Forwarder.Forward]):
//
//	peeked ──Open──▶ open ──▶ flowing ──▶ ended ──BeforeStatus──▶ passed on ──handler returns──▶ status at the client
//
// While it flows there are two pumps. The one for responses runs on the handler's goroutine; the one for requests gets a
// goroutine of its own, and only where the client streams. Elsewhere [Peek] has already seen the end of the requests, so that
// there is nothing left to pump and no goroutine to start.
//
// Headers go to the client when they come, because client or storage may wait for the other's
// reaction; only the headers of a unary call travel with its response. Messages of a streaming
// method go when they come. The response of a method that has only one is kept until the end,
// because it says nothing without its status. Then BeforeStatus is asked, then the kept response
// and the trailers are handed to the client's connection, and the status follows when the handler
// returns Outcome.Err. So nothing of the end of a write is out before it is accounted for; of a
// streaming write it is the status alone that can wait.
//
// # How it can end
//
// At a storage a call has ended only when its status arrived from there; Outcome.Ended says that, and errs only towards
// false. gRPC makes up a status of the same kind whenever a call ends on this side, hence [StatsHandler]; [Watch] says the same
// of a call made without a branch.
//
//	event                                          status at the client        Ended
//	status arrives, with any code                  that status                 true
//	storage dies, or the connection to it          Unavailable                 false
//	storage resets the stream                      gRPC's, for the code        false
//	client cancels or vanishes                     Canceled                    false
//	client's deadline passes                       DeadlineExceeded            false
//	client sends a message that gRPC refuses       gRPC's, ResourceExhausted   false
//	Branch.Cancel(cause)                              the status in cause         false
//	two responses where one is due                 Internal                    false
//	Open fails                                     gRPC's, Unavailable         no branch, nothing sent
//	BeforeStatus refuses                           its error                   as before
//
// Where two happen at once the storage's status wins if it arrived, then the client's end, then the
// reason of the cancel. One corner: a response that gRPC itself refuses, for its size say, gives
// the client a status made here, while Ended may be true, because the trailers behind that response
// arrived: the call is over at the storage.
//
// If gRPC retries a branch by itself, Ended covers every attempt that a storage may have worked on.
//
// # More than one destination
//
// Forward takes one branch or several. The first is the primary: the client sees it alone, exactly as
// if there were no others. The others are secondaries. Each is sent its own first message and then
// the client's, and its half-close; its responses are read and dropped, except for its status,
// which is in Outcome.Others.
//
//	primary:    sent ──▶ flowing ──▶ ended ──BranchEnded(0)──▶ grace ──────────────▶ BeforeStatus, once all have ended
//	secondary:       └─▶ flowing ─────────────────────────────▶ ended ──BranchEnded(i)──┘
//
// A secondary is sent nothing before the primary was. So a call that was not sent there was sent nowhere, and can be routed
// anew. However a secondary ends, neither the call nor another secondary fails with it:
//
//	event at a secondary                           its Err                     its Ended
//	status arrives, with any code, early too       that status                 true
//	storage or connection lost, Branch.Cancel         as for the primary          false
//	two responses where one is due                 Internal                    false
//	it takes no more requests for SlowBound        ErrTooSlow                  false
//	primary ends without its status                the client's status         false
//	primary's status arrives, Grace passes         Canceled                    false
//
// # Calls whose storages must not be cancelled
//
// A call with Call.Linger gives a branch up without a word to its storage: for the call the branch has ended, Ended false, and the
// answer to the client does not wait. The RPC goes on beside, until it ends by itself, or is cancelled when Linger has passed or
// the Forwarder stops; Over says when none is left. So a storage that waits for an answer gets one, and can undo what it has in
// hand; Gitaly kills the git of a call that is cancelled, whose locks stay.
//
//	given up ──BranchEnded: nothing may come of it──▶ half-closed ──▶ the RPC ends, or is cancelled after Linger ──Over──▶
//
// The context of such a branch ends neither with the client's nor at its deadline, but Linger later,
// and the storage gets that later deadline. The primary is given up when the context ends in which
// it was opened, and the secondaries after it, so that no secondary is missed while the primary may
// go on. The half-close comes last, because after it a storage takes its requests as complete.
//
// Once the primary's status arrived, with any code, the statuses of the secondaries are worth
// waiting for: a secondary that ended alike is a replica that is alike. While they have grace the
// client's requests still reach them. If the primary ends in any other way they are given up at
// once. The context of a secondary may descend from the client's, and then ends with it at any
// time; or have only the deadline in common with it, and then the secondary is given up with the
// primary, and keeps its grace if the client goes when the primary's status is here.
//
// A secondary may be slower than the client, but not by much, and not for long. It has a queue of
// 16 requests or 1 MiB, or of one larger request, which counts until gRPC has taken it. If a queue
// is full the request pump waits, and with it the client; if it waits for one request longer than
// SlowBound, every secondary that has had no room all that time is cut off. So secondaries delay a
// client for at most SlowBound at a time, and the bytes in their queues are bounded by their
// number. The primary has no queue: the client goes at its pace, as it would without a proxy.
//
// # The owner of a frame
//
// A [Frame] holds one reference to each of its buffers, and exactly one holder frees it.
//
//   - Received: [Codec] takes references for the Frame, because gRPC frees its own when RecvMsg returns.
//   - Sent: Codec gives gRPC references of its own, because gRPC sends later; the pump frees the Frame after SendMsg.
//   - First: Peek gives it to the caller. Open takes over the one it is given, also when it fails.
//   - Kept response: the activeCall frees it, sent or not.
//   - Queued: the queue of a secondary takes references of its own, before the pump sends to the
//     primary and frees its Frame. They pass to the Frame of the secondary's sender, which frees it
//     after SendMsg; when the branch ends, the queue frees the rest.
//   - Response of a secondary: freed as soon as it was read.
//
// Each pump and each sender has one Frame for the whole call. Its slice of buffers is replaced by the next message and never
// written to, as gRPC or another branch may still be reading it.
//
// # Goroutines
//
// The request pump ends with the client's half-close, when all branches have ended and it tries to send, or when the client's
// stream is over. If a storage answers a client that is still sending, the last of these is yet to come: the pump waits in
// RecvMsg, which nothing but the return of the handler can end. It touches neither side any more but to drop one message. The
// [Forwarder] owns it, and Wait waits for it.
//
// The primary of a call with Linger has a goroutine that sends its first message, and that passes
// its responses on until the branch is given up; it then reads the remaining responses.
//
// A secondary has a goroutine that sends its first message and reads its responses, and if the
// client streams a second one that sends the requests in its queue. Forward returns when the first
// has ended; the second follows at once, because the branch is given up by then. The Forwarder owns
// them all.
package stream
