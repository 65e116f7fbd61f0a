package method

import (
	"slices"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Rewrite returns a first message that names what r says and is otherwise the given one: with r as returned by
// [Method.Read], changed where a destination knows a repository by another name.
//
// The bytes of msg come first, uncopied and in order; behind them stand the names in r once more. Unmarshalling lets the
// last value of a scalar win and merges the parts of a message, so that the storage sees exactly
// these names regardless of the part before: one name or several, in one piece or in many. Of
// ReplicateRepository one more field is settled that way. The message grows by the length of the
// names and a few bytes.
//
// The caller owns the returned slice, which holds references of its own to the buffers of msg, and frees it once.
func (m Method) Rewrite(msg mem.BufferSlice, r Request) mem.BufferSlice {
	var suffix []byte
	switch m.Scope {
	case ScopeRepository:
		withAdditional := m.HasAdditional() && r.Additional != Repository{}
		size := r.Target.size(m.plan.target)
		if withAdditional {
			size += r.Additional.size(m.plan.additional)
		}
		size += len(m.forced)
		suffix = r.Target.append(make([]byte, 0, size), m.plan.target)
		if withAdditional {
			suffix = r.Additional.append(suffix, m.plan.additional)
		}
		suffix = append(suffix, m.forced...)
	case ScopeStorage:
		way, last := m.plan.storage[:len(m.plan.storage)-1], m.plan.storage[len(m.plan.storage)-1]
		inner := sizeString(last, r.Storage)
		suffix = appendWay(make([]byte, 0, sizeWay(way, inner)), way, inner)
		suffix = appendString(suffix, last, r.Storage)
	}

	msg.Ref()
	if len(suffix) == 0 {
		return msg
	}
	return append(slices.Grow(msg[:len(msg):len(msg)], 1), mem.SliceBuffer(suffix))
}

// Stamp returns the bytes that go before a first message so that it says when the change is
// made, unless it says so itself: nil where the method has no such field. Without it
// each storage takes its own time, and two that make the same commit in different
// seconds make different commits.
//
// Unmarshalling merges the message's own time into this one, which has full seconds only: a
// time from the client stands.
func (m Method) Stamp(now time.Time) []byte {
	way := m.plan.timestamp
	if way == nil || !m.Votes {
		return nil
	}
	seconds := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(now.Unix()))
	return append(appendWay(make([]byte, 0, sizeWay(way, len(seconds))), way, len(seconds)), seconds...)
}

// sizeInner is the size of a Repository message with the two names and nothing else.
func (r Repository) sizeInner() int {
	return sizeString(fieldStorageName, r.StorageName) + sizeString(fieldRelativePath, r.RelativePath)
}

func (r Repository) size(way trail) int { return sizeWay(way, r.sizeInner()) }

func (r Repository) append(b []byte, way trail) []byte {
	b = appendWay(b, way, r.sizeInner())
	b = appendString(b, fieldStorageName, r.StorageName)
	return appendString(b, fieldRelativePath, r.RelativePath)
}

// sizeWay is the size of messages nested along the way around inner bytes.
func sizeWay(way trail, inner int) int {
	for _, num := range slices.Backward(way) {
		inner = protowire.SizeTag(num) + protowire.SizeBytes(inner)
	}
	return inner
}

// appendWay appends all that stands before the innermost bytes: a tag and a length for each message on the way.
func appendWay(b []byte, way trail, inner int) []byte {
	for i, num := range way {
		b = protowire.AppendTag(b, num, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeWay(way[i+1:], inner)))
	}
	return b
}

func sizeString(num protowire.Number, s string) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(len(s))
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}
