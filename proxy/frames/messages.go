package frames

import "encoding/binary"

// messages counts gRPC's messages in the DATA of an answer.
type messages struct {
	prefix [prefixLen]byte
	filled int   // bytes of prefix that are known
	left   int64 // bytes of the message that are still to come
	whole  int   // messages
	bytes  int64 // of messages, without prefixes
}

func (m *messages) add(payload []byte) {
	for len(payload) > 0 {
		if m.filled < prefixLen {
			k := copy(m.prefix[m.filled:], payload)
			m.filled += k
			payload = payload[k:]
			if m.filled < prefixLen {
				return
			}
			m.left = int64(binary.BigEndian.Uint32(m.prefix[1:]))
		}
		k := min(m.left, int64(len(payload)))
		m.left -= k
		m.bytes += k
		payload = payload[k:]
		if m.left == 0 {
			m.whole++
			m.filled = 0
		}
	}
}
