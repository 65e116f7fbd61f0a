package peer

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// kind is the purpose of a connection.
type kind string

const (
	raftKind kind = "raft"
	callKind kind = "call"
)

const (
	helloVersion = 1
	maxHello     = 4 << 10 // bytes
)

// hello opens a connection.
type hello struct {
	Version int    `json:"version"`
	Kind    kind   `json:"kind"`
	Name    string `json:"name"`
	ID      string `json:"id"`
	// Cluster is the id of the dialler's cluster, empty if it has none yet.
	Cluster string `json:"cluster,omitempty"`
	// For is the id of the instance that is meant, empty for any.
	For string `json:"for,omitempty"`
	proofs
}

// answer ends the opening. With a refusal the rest is empty, except in the answer to an
// instance of another cluster: that one must be able to rely on it.
type answer struct {
	Refusal string `json:"refusal,omitempty"`
	Name    string `json:"name,omitempty"`
	ID      string `json:"id,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	// Removed tells the dialler that it was removed from the cluster.
	Removed bool `json:"removed,omitempty"`
	proofs
}

// errRemoved is in the error of a connection with an instance that was removed.
var errRemoved = errors.New("was removed from the cluster: to join again it needs an empty raft.data_dir")

// ErrRefused is in the error of a connection that the peer did not want.
var ErrRefused = errors.New("refused by the peer")

// OtherCluster is the error of a connection between instances of two clusters. The peer has
// proved its name.
type OtherCluster struct {
	// Name, ID and Cluster are the peer's, Own is the cluster of this instance.
	Name, ID, Cluster, Own string
}

// Error implements error.
func (e *OtherCluster) Error() string {
	return fmt.Sprintf("%q is of cluster %s, this instance of cluster %s", e.Name, e.Cluster, e.Own)
}

// open makes the dialler's side of the opening on a plain connection. ctx bounds
// it by its deadline; the connection is the caller's to close.
func (t *Transport) open(ctx context.Context, plain net.Conn, k kind, who wanted) (*Conn, error) {
	c := tls.Client(t.config.Wrap(plain), t.guard.tls())
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := c.ConnectionState()
	own, err := t.guard.prove(dialler, state, t.config.Name)
	if err != nil {
		return nil, err
	}
	h := hello{
		Version: helloVersion, Kind: k, Name: t.config.Name, ID: t.config.ID, Cluster: t.config.Cluster(), For: who.id, proofs: own,
	}
	if err := writeFrame(c, h); err != nil {
		return nil, err
	}
	var a answer
	if err := readFrame(c, &a); err != nil {
		return nil, err
	}
	if a.Refusal != "" {
		return nil, t.turnedAway(a, state, who)
	}
	if err := t.guard.check(acceptor, state, a.Name, a.proofs); err != nil {
		return nil, err
	}
	if err := t.meets(a, who); err != nil {
		return nil, err
	}
	return t.newConn(c, plain, Addr{Name: a.Name, ID: a.ID}, a.Cluster), nil
}

// accept makes the acceptor's side of it.
func (t *Transport) accept(ctx context.Context, plain net.Conn) (*Conn, kind, error) {
	c := tls.Server(&prompt{Conn: t.config.Wrap(plain)}, t.guard.tls())
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, "", err
	}
	state := c.ConnectionState()
	var h hello
	if err := readFrame(c, &h); err != nil {
		return nil, "", err
	}
	if err := t.end(); err != nil {
		return nil, "", err
	}
	if err := t.judge(h, state); err != nil {
		return nil, "", errors.Join(err, t.refuse(c, state, err))
	}
	own, err := t.guard.prove(acceptor, state, t.config.Name)
	if err != nil {
		return nil, "", err
	}
	a := answer{Name: t.config.Name, ID: t.config.ID, Cluster: t.config.Cluster(), proofs: own}
	if err := writeFrame(c, a); err != nil {
		return nil, "", err
	}
	return t.newConn(c, plain, Addr{Name: h.Name, ID: h.ID}, h.Cluster), h.Kind, nil
}

// refuse tells the dialler why it is not let in. One that belongs to another cluster, or was
// removed from this one, has proved its name, and is told in a way that it can check.
func (t *Transport) refuse(c *tls.Conn, state tls.ConnectionState, why error) error {
	a := answer{Refusal: why.Error(), Removed: errors.Is(why, errRemoved)}
	other, isOther := errors.AsType[*OtherCluster](why)
	if isOther {
		a.Cluster = other.Own
	}
	if isOther || a.Removed {
		own, err := t.guard.prove(acceptor, state, t.config.Name)
		if err != nil {
			return err
		}
		a.Name, a.ID, a.proofs = t.config.Name, t.config.ID, own
	}
	return writeFrame(c, a)
}

// turnedAway is the error of an answer with a refusal.
func (t *Transport) turnedAway(a answer, state tls.ConnectionState, who wanted) error {
	own := t.config.Cluster()
	if a.Cluster != "" && own != "" && a.Cluster != own && (who.name == "" || who.name == a.Name) &&
		t.guard.check(acceptor, state, a.Name, a.proofs) == nil {
		return fmt.Errorf("%w: %w", ErrRefused, t.otherCluster(a.Name, a.ID, a.Cluster, own))
	}
	if a.Removed && t.config.Outcast != nil && t.guard.check(acceptor, state, a.Name, a.proofs) == nil && t.config.Admit(a.Name, a.ID) {
		t.config.Outcast(a.Name)
	}
	return fmt.Errorf("%w: %s", ErrRefused, a.Refusal)
}

func (t *Transport) newConn(c *tls.Conn, plain net.Conn, remote Addr, cluster string) *Conn {
	remote.Addr = plain.RemoteAddr()
	return &Conn{Conn: c, plain: plain, remote: remote, cluster: cluster, onClose: t.forget}
}

func (t *Transport) judge(h hello, state tls.ConnectionState) error {
	if h.Version != helloVersion {
		return fmt.Errorf("version %d of the opening is not known here, %d is", h.Version, helloVersion)
	}
	if h.Kind != raftKind && h.Kind != callKind {
		return fmt.Errorf("no connections of kind %q", h.Kind)
	}
	if err := t.guard.check(dialler, state, h.Name, h.proofs); err != nil {
		return err
	}
	if h.For != "" && h.For != t.config.ID {
		return fmt.Errorf("this is the instance %s, not %s", t.config.ID, h.For)
	}
	return t.admit(h.Name, h.ID, h.Cluster)
}

// meets judges whether the acceptor is the wanted peer.
func (t *Transport) meets(a answer, who wanted) error {
	if who.id != "" && a.ID != who.id {
		return fmt.Errorf("%q has the id %s, not %s", a.Name, a.ID, who.id)
	}
	if who.name == "" {
		return t.admit(a.Name, a.ID, a.Cluster)
	}
	if a.Name != who.name {
		return fmt.Errorf("this is %q, not %q", a.Name, who.name)
	}
	return t.related(a.Name, a.ID, a.Cluster)
}

// admit judges a peer that has proved its name.
func (t *Transport) admit(name, id, cluster string) error {
	if err := t.related(name, id, cluster); err != nil {
		return err
	}
	if !t.config.Admit(name, id) {
		return fmt.Errorf("%q is no peer of %q", name, t.config.Name)
	}
	return nil
}

// related judges the conditions that no setting can lift.
func (t *Transport) related(name, id, cluster string) error {
	if id == t.config.ID {
		return errors.New("this is the instance itself: each instance needs a data directory and an address of its own")
	}
	if own := t.config.Cluster(); own != "" && cluster != "" && own != cluster {
		return t.otherCluster(name, id, cluster, own)
	}
	if t.config.Removed != nil && t.config.Removed(id) {
		return fmt.Errorf("%q (%s) %w", name, id, errRemoved)
	}
	return nil
}

// otherCluster is an instance of another cluster, of which Config.MetOther is told.
func (t *Transport) otherCluster(name, id, cluster, own string) error {
	other := &OtherCluster{Name: name, ID: id, Cluster: cluster, Own: own}
	if t.config.MetOther != nil {
		t.config.MetOther(other)
	}
	return other
}

// writeFrame sends a document behind its length.
func writeFrame(w io.Writer, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if len(text) > maxHello {
		return fmt.Errorf("%d bytes to say hello are too many", len(text))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...))
	return err
}

func readFrame(r io.Reader, document any) error {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint16(head[:])
	if size > maxHello {
		return fmt.Errorf("%d bytes to say hello are too many", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	return json.Unmarshal(text, document)
}
