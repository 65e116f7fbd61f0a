// Package socket has network connections whose reads and writes are system calls that the Go runtime
// does not know of. It promises the behaviour of package net. The daemon puts it around the
// connections with peers and storages.
//
// Before a system call the runtime wakes its monitor thread, if that sleeps, because the call might
// block. The thread then looks around several times, until the process is idle again. In an idle
// process more than half of all wake-ups were that thread's. A call on a socket of package net does
// not block: such a socket says instead that it is not ready.
package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// New returns a connection that has the socket of c, and c itself if it has none.
func New(c net.Conn) net.Conn {
	has, ok := c.(syscall.Conn)
	if plain || !ok {
		return c
	}
	raw, err := has.SyscallConn()
	if err != nil {
		return c
	}
	return &conn{Conn: c, reader: newHalf(raw.Read, syscall.SYS_READ), writer: newHalf(raw.Write, syscall.SYS_WRITE)}
}

// conn is a connection that reads and writes its socket by itself.
type conn struct {
	net.Conn
	reader, writer *half
}

// half is one direction of a connection.
type half struct {
	wait func(func(fd uintptr) (done bool)) error // calls the function whenever the socket is ready, until it is done
	call uintptr                                  // the system call

	mu   sync.Mutex
	step func(fd uintptr) (done bool) // one system call; made once, so that no call allocates
	// The call under way; guarded by mu.
	left []byte
	n    int
	err  syscall.Errno
}

func newHalf(wait func(func(uintptr) bool) error, call uintptr) *half {
	h := &half{wait: wait, call: call}
	h.step = func(fd uintptr) bool {
		for {
			n, _, err := syscall.RawSyscall(h.call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(h.left))), uintptr(len(h.left)))
			switch err {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return false
			}
			h.n, h.err = int(n), err
			return true
		}
	}
	return h
}

// do makes one system call that moves bytes.
func (h *half) do(b []byte) (n int, errno syscall.Errno, err error) {
	h.left = b
	err = h.wait(h.step)
	h.left = nil
	if err != nil || h.err != 0 {
		return 0, h.err, err
	}
	return h.n, 0, nil
}

// most is how many bytes one system call moves at most: it ends soon.
const most = 256 << 10

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	n, errno, err := c.reader.do(b[:min(len(b), most)])
	switch {
	case err != nil:
		return 0, c.wrap("read", unwrap(err))
	case errno != 0:
		return 0, c.wrap("read", os.NewSyscallError("read", errno))
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (written int, err error) {
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	for written < len(b) {
		n, errno, err := c.writer.do(b[written:min(len(b), written+most)])
		switch {
		case err != nil:
			return written, c.wrap("write", unwrap(err))
		case errno != 0:
			return written, c.wrap("write", os.NewSyscallError("write", errno))
		}
		written += n
	}
	return written, nil
}

// wrap returns the error of package net.
func (c *conn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// unwrap returns the error that package net has wrapped.
func unwrap(err error) error {
	if wrapped, ok := err.(*net.OpError); ok {
		return wrapped.Err
	}
	return err
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.Conn.(syscall.Conn).SyscallConn() }
