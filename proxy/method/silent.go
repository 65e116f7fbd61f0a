package method

import (
	"bytes"
	"strings"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Gitaly admits without a vote a deletion that does not name the deleted object: git clears its
// file of packed references that way, in a transaction of its own, which may be necessary on one
// storage and not on another. A few methods leave git's orders to the client, and a call of theirs
// that does nothing else has its effect unasked. So had one that came here by its voters,
// with nothing in the ledger before it.

// VotesOn tells whether a call of the method that begins with this message votes before any effect. It takes no reference
// to msg, which [Method.Read] has read.
func (m Method) VotesOn(msg mem.BufferSlice) bool {
	speaks := speaking[strings.TrimPrefix(m.FullName, "/gitaly.")]
	if !m.Votes || speaks == nil {
		return m.Votes
	}
	buf := msg.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return speaks(buf.ReadOnlyData())
}

// speaking lists the methods of which not every call votes, and tells of a first message whether its call does.
var speaking = map[string]func(msg []byte) bool{
	"RefService/UpdateReferences": func(msg []byte) bool {
		const updates, oldID, newID = 2, 2, 3
		votes := false // one change that is voted on is enough: all of them are one transaction of git's
		err := eachField(msg, func(num protowire.Number, typ protowire.Type, field []byte) error {
			if num != updates {
				return nil
			}
			update, err := bytesOf(num, typ, field)
			if err == nil {
				votes = votes || namesObject(update, oldID, newID)
			}
			return err
		})
		return votes && err == nil
	},
	"RepositoryService/WriteRef": func(msg []byte) bool {
		const revision, oldRevision = 3, 4
		return namesObject(msg, revision, oldRevision)
	},
}

// namesObject tells whether either of two fields has a value that is no zero id, so that it says more than "delete". A
// message that cannot be read says nothing.
func namesObject(msg []byte, a, b protowire.Number) bool {
	var ofA, ofB []byte // of each the last value counts
	err := eachField(msg, func(num protowire.Number, typ protowire.Type, field []byte) (err error) {
		switch num {
		case a:
			ofA, err = bytesOf(num, typ, field)
		case b:
			ofB, err = bytesOf(num, typ, field)
		}
		return err
	})
	return err == nil && (len(bytes.Trim(ofA, "0")) > 0 || len(bytes.Trim(ofB, "0")) > 0)
}
