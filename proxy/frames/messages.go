package frames

import "encoding/binary"

// messages finds gRPC's messages in the DATA of an answer, and counts them.
type messages struct {
	prefix [prefixLen]byte
	filled int   // bytes of prefix that are known
	left   int64 // bytes of the message that are still to come
	whole  int   // messages
	bytes  int64 // of whole messages, without prefixes
	loose  bool  // the message is sent in pieces as they come
}

// add takes a piece, and returns how many of its bytes end a message or belong to a whole one. The others begin a message or go on with one.
func (m *messages) add(payload []byte) (ended int) {
	size := len(payload)
	for len(payload) > 0 {
		if m.filled < prefixLen {
			k := copy(m.prefix[m.filled:], payload)
			m.filled += k
			payload = payload[k:]
			if m.filled < prefixLen {
				return ended
			}
			m.left = int64(binary.BigEndian.Uint32(m.prefix[1:]))
		}
		k := min(m.left, int64(len(payload)))
		m.left -= k
		payload = payload[k:]
		if m.left == 0 {
			m.whole++
			m.bytes += m.size() - prefixLen
			m.filled, m.loose = 0, false
			ended = size - len(payload)
		}
	}
	return ended
}

// size is how many bytes the message has whose rest is still to come, with its prefix; 0 if that is not known yet.
func (m *messages) size() int64 {
	if m.filled < prefixLen {
		return 0
	}
	return prefixLen + int64(binary.BigEndian.Uint32(m.prefix[1:]))
}
