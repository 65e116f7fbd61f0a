package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The messages to the service manager. It counts an instance as started when the
// process runs, not when it may serve: the first of three waits for the others,
// and the command that starts it must not.
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1\nSTATUS=stopping"
	notifyStarting = "READY=1\nSTATUS=starting"
	notifyUp       = "STATUS=up"
)

// reloading tells when a reload began; notifyReady ends it.
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "STATUS=reloading" // this clock is always there
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))
}

// notifier returns the function that tells the service manager, by systemd's protocol, of the state
// of the process. Without one it does nothing.
func notifier(getenv func(string) string, log *slog.Logger) (tell func(state string)) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return func(string) {}
	}
	if abstract, ok := strings.CutPrefix(path, "@"); ok {
		path = "\x00" + abstract
	}
	return func(state string) {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err == nil {
			_, err = conn.Write([]byte(state))
			err = errors.Join(err, conn.Close())
		}
		if err != nil {
			log.Warn("tell the service manager", "state", state, "err", err)
		}
	}
}
