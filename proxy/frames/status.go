package frames

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// isGRPC tells that a content type is one of gRPC.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// statusOf reads the status in trailers. ok is false if they have none that is valid.
func statusOf(trailers []hpack.HeaderField) (code codes.Code, message string, ok bool) {
	n, err := strconv.ParseUint(Value(trailers, "grpc-status"), 10, 31)
	if err != nil {
		return codes.Unknown, "", false
	}
	return codes.Code(n), decodeMessage(Value(trailers, "grpc-message")), true
}

// statusFields are the trailers of a status that is made here.
func statusFields(code codes.Code, message string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: "grpc-status", Value: strconv.Itoa(int(code))},
		{Name: "grpc-message", Value: encodeMessage(message)},
	}
}

// resetCodes are the statuses that gRPC makes of resets of a stream; Internal for the others that HTTP/2 defines.
var resetCodes = map[http2.ErrCode]codes.Code{
	http2.ErrCodeFlowControl:        codes.ResourceExhausted,
	http2.ErrCodeRefusedStream:      codes.Unavailable,
	http2.ErrCodeCancel:             codes.Canceled,
	http2.ErrCodeEnhanceYourCalm:    codes.ResourceExhausted,
	http2.ErrCodeInadequateSecurity: codes.PermissionDenied,
}

// resetStatus is the status that gRPC makes of a reset.
func resetStatus(code http2.ErrCode) (codes.Code, string) {
	c, ok := resetCodes[code]
	if !ok {
		c = codes.Internal
		if code > http2.ErrCodeHTTP11Required {
			c = codes.Unknown
		}
	}
	return c, fmt.Sprintf("stream terminated by RST_STREAM with error code: %v", code)
}

// encodeMessage encodes the message of a status: all but printable ASCII is a percent sign and two digits.
func encodeMessage(m string) string {
	plain := true
	for i := 0; i < len(m); i++ {
		plain = plain && m[i] >= ' ' && m[i] <= '~' && m[i] != '%'
	}
	if plain {
		return m
	}
	var b strings.Builder
	for _, r := range m { // invalid UTF-8 becomes U+FFFD
		var encoded [utf8.UTFMax]byte
		for _, c := range encoded[:utf8.EncodeRune(encoded[:], r)] {
			if c >= ' ' && c <= '~' && c != '%' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	return b.String()
}

func decodeMessage(m string) string {
	if !strings.Contains(m, "%") {
		return m
	}
	var b strings.Builder
	for i := 0; i < len(m); i++ {
		if m[i] == '%' && i+2 < len(m) {
			if n, err := strconv.ParseUint(m[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(m[i])
	}
	return b.String()
}
