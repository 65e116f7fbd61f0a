package method

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of a gitaly.Repository that say where it is. They are the same in every release of the API.
const (
	fieldStorageName  protowire.Number = 2
	fieldRelativePath protowire.Number = 3
)

// errWireType marks the one kind of message that could be unmarshalled and is refused here all the same.
var errWireType = errors.New("unexpected wire type")

// Request has the names in the first message of a call.
type Request struct {
	// Target is the repository that a repository-scoped call addresses.
	Target Repository
	// Additional is the second repository of the few methods that have one. It is zero where the client named none.
	Additional Repository
	// Storage is the name in a storage-scoped call.
	Storage string
}

// Read finds the names in a first message by walking the field numbers on the way to them; no
// message is unmarshalled, and nothing off that way is looked at but its length. It sees the same
// values as unmarshalling: of a scalar the last value wins, parts of a message merge, members of a
// oneof replace each other.
//
// It takes no reference to msg and returns nothing that depends on it. Any error means that the client sent a malformed
// message: truncated, with a field of the wrong type on the way, or with a name that is no UTF-8.
func (m Method) Read(msg mem.BufferSlice) (Request, error) {
	if m.plan.root == nil {
		return Request{}, nil
	}
	// Nearly always the message is one buffer, of which this takes a reference; only one that arrived in pieces is copied.
	buf := msg.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()

	var r Request
	if err := r.read(m.plan.root, buf.ReadOnlyData()); err != nil {
		return Request{}, fmt.Errorf("read first message: %w", err)
	}
	return r, nil
}

// read merges the names in a message into the request.
func (r *Request) read(l *level, b []byte) error {
	return eachField(b, func(num protowire.Number, typ protowire.Type, field []byte) error {
		for i := range l.edges {
			e := &l.edges[i]
			if e.num == num {
				value, err := bytesOf(num, typ, field)
				if err != nil {
					return err
				}
				return r.follow(e, value)
			}
			if slices.Contains(e.rivals, rival{num, typ}) {
				r.undo(e)
			}
		}
		return nil
	})
}

// follow takes in one occurrence of a field on the way.
func (r *Request) follow(e *edge, value []byte) error {
	switch e.role {
	case roleTarget:
		return r.Target.read(value)
	case roleAdditional:
		return r.Additional.read(value)
	case roleStorage:
		return setString(&r.Storage, fieldStorageName, value)
	default:
		return r.read(e.next, value)
	}
}

// undo forgets all that was found behind an edge.
func (r *Request) undo(e *edge) {
	switch e.role {
	case roleTarget:
		r.Target = Repository{}
	case roleAdditional:
		r.Additional = Repository{}
	case roleStorage:
		r.Storage = ""
	default:
		for i := range e.next.edges {
			r.undo(&e.next.edges[i])
		}
	}
}

// read merges one occurrence of the message into the repository.
func (r *Repository) read(b []byte) error {
	return eachField(b, func(num protowire.Number, typ protowire.Type, field []byte) error {
		var dst *string
		switch num {
		case fieldStorageName:
			dst = &r.StorageName
		case fieldRelativePath:
			dst = &r.RelativePath
		default:
			return nil
		}
		value, err := bytesOf(num, typ, field)
		if err != nil {
			return err
		}
		return setString(dst, num, value)
	})
}

// eachField calls fn for every field of a message, in order, with the field's bytes after its tag.
func eachField(b []byte, fn func(num protowire.Number, typ protowire.Type, field []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if num > protowire.MaxValidNumber {
			return errors.New("invalid field number")
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return fmt.Errorf("field %d: %w", num, protowire.ParseError(n))
		}
		if err := fn(num, typ, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// bytesOf returns the value of a length-delimited field. Unmarshalling would take another wire type for an unknown field
// and keep it; a client that sends one speaks of another message.
func bytesOf(num protowire.Number, typ protowire.Type, field []byte) ([]byte, error) {
	if typ != protowire.BytesType {
		return nil, fmt.Errorf("field %d: %w %d", num, errWireType, typ)
	}
	value, n := protowire.ConsumeBytes(field)
	if n < 0 {
		return nil, fmt.Errorf("field %d: %w", num, protowire.ParseError(n))
	}
	return value, nil
}

func setString(dst *string, num protowire.Number, value []byte) error {
	if !utf8.Valid(value) {
		return fmt.Errorf("field %d: invalid UTF-8", num)
	}
	*dst = string(value)
	return nil
}
