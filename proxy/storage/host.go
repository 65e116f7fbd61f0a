package storage

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// host asks the kernel of this machine for its knowledge of the kernel at the other end of
// a connection, which acknowledges also for a process that is stopped or starved.
type host struct {
	local bool // both ends are on this machine
	raw   syscall.RawConn
}

// newHost returns nil if the kernel has no part in the connection, or does not tell.
func newHost(conn net.Conn) *host {
	switch c := conn.(type) {
	case *net.UnixConn:
		return &host{local: true}
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			return &host{raw: raw}
		}
	}
	return nil
}

// silence is the time since the last acknowledgement, 0 if none is due; false if it
// cannot be told, as when the connection was closed. A device between the two, such as a
// balancer that ends connections, counts as the host.
func (h *host) silence() (time.Duration, bool) {
	if h.local {
		return 0, true
	}
	var info unix.TCPInfo
	var failed syscall.Errno
	size := uint32(unix.SizeofTCPInfo)
	err := h.raw.Control(func(fd uintptr) {
		_, _, failed = unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	switch {
	case err != nil || failed != 0:
		return 0, false
	case info.Unacked == 0:
		return 0, true
	}
	return time.Duration(info.Last_ack_recv) * time.Millisecond, true
}
