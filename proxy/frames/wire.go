package frames

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/http2"
)

const (
	// headLen is the size of the header of a frame.
	headLen = 9
	// maxFrame is the largest payload of a frame, which neither gRPC's server nor a Backend raises.
	maxFrame = 16384
	// maxWindow is the largest window of HTTP/2.
	maxWindow = 1<<31 - 1
	// defaultWindow is the size of each window before any setting.
	defaultWindow = 65535
	// headerTable is the size of the dynamic table of a decoder, which no setting changes.
	headerTable = 4096
	// prefixLen is the size of the prefix of a gRPC message: compressed or not, and its length.
	prefixLen = 5
)

// errProtocol ends a connection whose peer breaks HTTP/2 in a way that leaves no stream to blame.
var errProtocol = errors.New("the peer breaks the rules of HTTP/2")

// head is the header of a frame.
type head struct {
	length int
	typ    http2.FrameType
	flags  http2.Flags
	id     uint32
}

func parseHead(b []byte) head {
	return head{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		typ:    http2.FrameType(b[3]),
		flags:  http2.Flags(b[4]),
		id:     binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

// putID changes the stream id of the frame at the beginning of b.
func putID(b []byte, id uint32) { binary.BigEndian.PutUint32(b[5:], id) }

func appendHead(dst []byte, length int, typ http2.FrameType, flags http2.Flags, id uint32) []byte {
	dst = append(dst, byte(length>>16), byte(length>>8), byte(length), byte(typ), byte(flags))
	return binary.BigEndian.AppendUint32(dst, id)
}

func appendWindowUpdate(dst []byte, id uint32, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, 4, http2.FrameWindowUpdate, 0, id), uint32(n))
}

func appendReset(dst []byte, id uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, 4, http2.FrameRSTStream, 0, id), uint32(code))
}

func appendPing(dst []byte, flags http2.Flags, data []byte) []byte {
	return append(appendHead(dst, len(data), http2.FramePing, flags, 0), data...)
}

func appendSetting(dst []byte, id http2.SettingID, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(id)), value)
}

// appendData adds DATA frames with all of payload; the last one has the flags.
func appendData(dst []byte, id uint32, flags http2.Flags, payload []byte) []byte {
	for {
		n := min(len(payload), maxFrame)
		if n == len(payload) {
			return append(appendHead(dst, n, http2.FrameData, flags, id), payload...)
		}
		dst = append(appendHead(dst, n, http2.FrameData, 0, id), payload[:n]...)
		payload = payload[n:]
	}
}

// appendHeaders adds a HEADERS frame, and the CONTINUATION frames that the block needs.
func appendHeaders(dst []byte, id uint32, flags http2.Flags, block []byte) []byte {
	typ := http2.FrameHeaders
	for {
		n := min(len(block), maxFrame)
		if n == len(block) {
			return append(appendHead(dst, n, typ, flags|http2.FlagHeadersEndHeaders, id), block...)
		}
		dst = append(appendHead(dst, n, typ, flags, id), block[:n]...)
		block, typ, flags = block[n:], http2.FrameContinuation, 0
	}
}

// unpad returns the payload of a DATA or HEADERS frame without its padding.
func unpad(h head, payload []byte) ([]byte, error) {
	if !h.flags.Has(http2.FlagDataPadded) {
		return payload, nil
	}
	if len(payload) == 0 || int(payload[0]) > len(payload)-1 {
		return nil, errProtocol
	}
	return payload[1 : len(payload)-int(payload[0])], nil
}

// fragment returns the header block fragment of a HEADERS frame.
func fragment(h head, payload []byte) ([]byte, error) {
	payload, err := unpad(h, payload)
	if err != nil {
		return nil, err
	}
	if h.flags.Has(http2.FlagHeadersPriority) {
		if len(payload) < 5 {
			return nil, errProtocol
		}
		payload = payload[5:]
	}
	return payload, nil
}

// increment reads the payload of a WINDOW_UPDATE frame.
func increment(payload []byte) int64 { return int64(binary.BigEndian.Uint32(payload) & maxWindow) }

// eachSetting calls do with the settings in the payload of a SETTINGS frame.
func eachSetting(payload []byte, do func(id http2.SettingID, value uint32)) {
	for ; len(payload) >= 6; payload = payload[6:] {
		do(http2.SettingID(binary.BigEndian.Uint16(payload)), binary.BigEndian.Uint32(payload[2:]))
	}
}
