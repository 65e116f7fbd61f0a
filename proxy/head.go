package proxy

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"

	"praefect/proxy/channel"
	"praefect/proxy/frames"
)

// head is what the headers of a call say that may go past gRPC's server.
type head struct {
	method   string
	proof    string        // the authorization header, empty without one
	timeout  time.Duration // 0 for none
	metadata metadata.MD
}

// readHead reads the headers of a call. It returns false for whatever is not plain: what gRPC's server
// refuses, and what asks for more than a read needs. Then the call is gRPC's, and so is the error, if
// there is one.
func readHead(fields []hpack.HeaderField) (head, bool) {
	var h head
	var pseudo, contentType int
	var seen [len(pseudoHeaders)]bool
	for i, field := range fields {
		name, value := field.Name, field.Value
		if len(name) > 0 && name[0] == ':' {
			at := slices.Index(pseudoHeaders[:], name)
			if at < 0 || i != pseudo || seen[at] || !h.takePseudo(name, value) {
				return head{}, false
			}
			seen[at] = true
			pseudo++
			continue
		}
		if !plainField(name, value) {
			return head{}, false
		}
		switch name {
		case "content-type":
			if contentType++; value != "application/grpc" {
				return head{}, false
			}
		case "te":
			if value != "trailers" {
				return head{}, false
			}
		case "user-agent", "grpc-accept-encoding":
		case "authorization":
			h.proof = value
			h.add(name, value)
		case "grpc-timeout":
			if h.timeout != 0 {
				return head{}, false
			}
			var ok bool
			if h.timeout, ok = frames.Timeout(fields); !ok || h.timeout <= 0 {
				return head{}, false
			}
		case "grpc-encoding":
			if value != "identity" {
				return head{}, false
			}
		case "connection", "host", "content-length", "transfer-encoding", "grpc-message-type", "grpc-status", "grpc-message", "grpc-status-details-bin",
			channel.IDHeader, passedOnHeader:
			return head{}, false
		default:
			h.add(name, value)
		}
	}
	return h, pseudo == len(pseudoHeaders) && contentType == 1 && len(h.metadata["authorization"]) <= 1
}

func (h *head) add(name, value string) {
	if h.metadata == nil {
		h.metadata = make(metadata.MD)
	}
	h.metadata[name] = append(h.metadata[name], value)
}

// pseudoHeaders are the ones that every call has, once each, before all others.
var pseudoHeaders = [...]string{":method", ":scheme", ":path", ":authority"}

// takePseudo takes the value of one of pseudoHeaders.
func (h *head) takePseudo(name, value string) bool {
	switch name {
	case ":method":
		return value == "POST"
	case ":scheme":
		return value == "http" || value == "https"
	case ":path":
		h.method = value
	}
	return value != ""
}

// plainField tells whether gRPC would take a header, and send it on, as it is. It decodes the values
// of names that end in -bin, and refuses what it cannot decode.
func plainField(name, value string) bool {
	if name == "" || strings.HasSuffix(name, "-bin") {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
