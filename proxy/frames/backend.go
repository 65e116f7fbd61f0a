package frames

import (
	"syscall"
	"time"
)

// BackendConfig bounds a Backend. A zero value stands for the default.
type BackendConfig struct {
	// Handshake bounds the wait for the storage's settings; 10 s.
	Handshake time.Duration
	// Keepalive is after how long a silent connection is pinged; 20 s. It is lost if it stays silent for KeepaliveTimeout more;
	// 10 s. A negative Keepalive sends no pings.
	Keepalive, KeepaliveTimeout time.Duration
	// MaxHeader bounds the size of a header list of an answer; 1 MiB.
	MaxHeader int
	// Socket is as in Config.
	Socket syscall.Conn
}
