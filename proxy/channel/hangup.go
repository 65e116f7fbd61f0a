package channel

import (
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// hangUpTimeout bounds the wait for a session to find that there is nothing more to read.
const hangUpTimeout = time.Second

// hangUp ends a session by ending the reading of its connection: the session's own reader finds
// that, and ends the streams at once. If the session is closed first, each goroutine that reads a
// stream runs in a circle until that reader has had its turn (hashicorp/yamux 0.1.2). Some hundred
// of them hold up the whole process for seconds, and it loses its lease.
func hangUp(mux *yamux.Session, conn net.Conn) {
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err == nil { // otherwise it is closed already
		select {
		case <-mux.CloseChan():
		case <-time.After(hangUpTimeout): // its reader waits for something else
		}
	}
	_ = mux.Close() // always nil; it closes the connection, and returns when the streams have ended
}
