package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// connector makes the connections of a pool.
type connector struct {
	config     pq.Config
	prologue   string
	life       context.Context // the pool's: when it ends, its connections break
	generation *atomic.Uint64
}

// connectError marks an error from before there was a connection.
type connectError struct{ error }

func (e connectError) Unwrap() error { return e.error }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	generation := c.generation.Load() // before the dial: a server that is demoted meanwhile is of an old generation
	made, err := pq.NewConnectorConfig(c.config)
	if err != nil {
		return nil, connectError{err}
	}
	wire := &dialer{ctx: ctx}
	made.Dialer(wire)
	conn, err := made.Connect(ctx)
	wire.stop()
	if err != nil {
		return nil, connectError{err}
	}
	inner, ok := conn.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection, a %T, lacks a method that we need", conn), conn.Close())
	}
	s := &session{driverConn: inner, wire: wire.conn, prologue: c.prologue, born: generation, generation: c.generation}
	s.stopLife = context.AfterFunc(c.life, s.breakOff)
	return s, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// dialer dials for one connection and keeps the dialled connection. Until stop, the end of ctx breaks it: the driver heeds a
// context while it dials, but not while it waits for the answers of a server that hangs.
type dialer struct {
	ctx  context.Context
	conn net.Conn
	done func() bool
}

// Dial implements pq.Dialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(d.ctx, network, address)
}

// DialTimeout implements pq.Dialer.
func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext. With several hosts it is called for each until one is accepted.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.stop()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.conn = conn
	d.done = context.AfterFunc(d.ctx, func() { _ = conn.Close() }) // its user gets the error
	return conn, nil
}

func (d *dialer) stop() {
	if d.done != nil {
		d.done()
	}
}

// driverConn has the methods of lib/pq's connections that database/sql or we use.
type driverConn interface {
	driver.Conn
	driver.Tx
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
}

// session is a connection whose transactions end when their context does, even if the server never answers: the wire is
// cut. The driver alone waits for ever for a stopped server, and sends a request to cancel over a new connection; here
// the server notices the cut or its own statement_timeout. Only database/sql uses it, one call at a time.
type session struct {
	driverConn
	wire       net.Conn
	prologue   string
	born       uint64
	generation *atomic.Uint64
	stopLife   func() bool
	disarm     func() bool // ends the watch over the open transaction
	broken     bool
}

var (
	_ driver.ConnBeginTx        = (*session)(nil)
	_ driver.ConnPrepareContext = (*session)(nil)
)

// breakOff cuts the wire: the call in progress fails, and so does each later one.
func (s *session) breakOff() { _ = s.wire.Close() }

// BeginTx implements driver.ConnBeginTx. The end of ctx cuts the wire until the transaction has ended.
func (s *session) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	s.disarm = context.AfterFunc(ctx, s.breakOff)
	if _, err := s.ExecContext(ctx, s.prologue, nil); err != nil {
		s.end()
		s.broken = true // some of the prologue may have been executed
		return nil, err
	}
	return s, nil
}

// Commit implements driver.Tx.
func (s *session) Commit() error {
	defer s.end()
	return s.driverConn.Commit()
}

// Rollback implements driver.Tx.
func (s *session) Rollback() error {
	defer s.end()
	return s.driverConn.Rollback()
}

// end stops the watch over a transaction. If it struck, at the last moment perhaps, the connection is of no use.
func (s *session) end() {
	if !s.disarm() {
		s.broken = true
	}
}

// ExecContext implements driver.ExecerContext. The driver gets no context that ends: it would start a goroutine for it.
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return s.driverConn.ExecContext(context.WithoutCancel(ctx), query, args)
}

// QueryContext implements driver.QueryerContext, as ExecContext does.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return s.driverConn.QueryContext(context.WithoutCancel(ctx), query, args)
}

// PrepareContext implements driver.ConnPrepareContext. Nothing of ours prepares; a statement would escape the watch.
func (s *session) PrepareContext(context.Context, string) (driver.Stmt, error) {
	return nil, errors.New("prepared statements are not supported")
}

// ResetSession implements driver.SessionResetter: called before a connection of the pool is used again.
func (s *session) ResetSession(ctx context.Context) error {
	if !s.IsValid() {
		return driver.ErrBadConn
	}
	return s.driverConn.ResetSession(ctx)
}

// IsValid implements driver.Validator: called before a connection goes back to the pool.
func (s *session) IsValid() bool {
	return !s.broken && s.born == s.generation.Load() && s.driverConn.IsValid()
}

// Close implements driver.Conn. The goodbye to a server that hangs must not wait.
func (s *session) Close() error {
	s.stopLife()
	if err := s.wire.SetDeadline(time.Now().Add(time.Second)); err != nil && !errors.Is(err, net.ErrClosed) {
		return errors.Join(err, s.driverConn.Close())
	}
	return s.driverConn.Close()
}
