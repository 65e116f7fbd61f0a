package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"praefect/proxy/channel"
)

// header are the fields that every plain call has, and others behind them.
func header(others ...string) []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/gitaly.RefService/RefExists"},
		{Name: ":authority", Value: "praefect"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	for i := 0; i < len(others); i += 2 {
		fields = append(fields, hpack.HeaderField{Name: others[i], Value: others[i+1]})
	}
	return fields
}

func TestReadHead_plainCall(t *testing.T) {
	h, ok := readHead(header(
		"user-agent", "grpc-go/1", "grpc-accept-encoding", "gzip", "grpc-encoding", "identity", "grpc-timeout", "5S", "authorization", "Bearer v2.a.1",
		"client_name", "gitlab-web", "x-gitlab-correlation-id", "id", "gitaly-feature-x", "true", "gitaly-feature-x", "false",
	))
	if !ok || h.method != "/gitaly.RefService/RefExists" || h.proof != "Bearer v2.a.1" || h.timeout != 5*time.Second {
		t.Errorf("got %+v, %t", h, ok)
	}
	if got := h.metadata.Get("gitaly-feature-x"); !slices.Equal(got, []string{"true", "false"}) || len(h.metadata) != 4 {
		t.Errorf("metadata: %v", h.metadata)
	}
}

// TestReadHead_isGRPCs: whatever gRPC refuses, and whatever needs more than a read, is not plain.
func TestReadHead_isGRPCs(t *testing.T) {
	replaced := func(name, value string) []hpack.HeaderField {
		fields := header()
		for i := range fields {
			if fields[i].Name == name {
				fields[i].Value = value
			}
		}
		return fields
	}
	without := func(name string) []hpack.HeaderField {
		return slices.DeleteFunc(header(), func(f hpack.HeaderField) bool { return f.Name == name })
	}
	for name, fields := range map[string][]hpack.HeaderField{
		"a method of HTTP":           replaced(":method", "GET"),
		"another scheme":             replaced(":scheme", "ftp"),
		"no path":                    without(":path"),
		"no authority":               without(":authority"),
		"no content-type":            without("content-type"),
		"another content-type":       replaced("content-type", "application/grpc+json"),
		"two content-types":          header("content-type", "application/grpc"),
		"two methods":                append([]hpack.HeaderField{{Name: ":method", Value: "POST"}}, header()...),
		"one twice, another missing": append([]hpack.HeaderField{{Name: ":method", Value: "POST"}}, without(":authority")...),
		"an unknown pseudo-header":   append([]hpack.HeaderField{{Name: ":protocol", Value: "websocket"}}, header()...),
		"a pseudo-header at the end": append(without(":path"), hpack.HeaderField{Name: ":path", Value: "/a/b"}),
		"a compressed message":       header("grpc-encoding", "gzip"),
		"two proofs":                 header("authorization", "a", "authorization", "b"),
		"a bad timeout":              header("grpc-timeout", "5"),
		"no time":                    header("grpc-timeout", "0S"),
		"two timeouts":               header("grpc-timeout", "5S", "grpc-timeout", "5S"),
		"encoded metadata":           header("trace-bin", "AAA"),
		"a name with capitals":       header("Client_name", "a"),
		"a name with a blank":        header("client name", "a"),
		"no name":                    header("", "a"),
		"a line break":               header("client_name", "a\nb"),
		"another alphabet":           header("username", "Jürgen"),
		"a connection header":        header("connection", "close"),
		"a host":                     header("host", "a"),
		"a sidechannel":              header(channel.IDHeader, "1"),
		"passed on by a peer":        header(passedOnHeader, "true"),
	} {
		if h, ok := readHead(fields); ok {
			t.Errorf("%s: taken as %+v", name, h)
		}
	}
	if _, ok := readHead(header("a", strings.Repeat("b", 1000))); !ok {
		t.Error("a long value is not taken")
	}
}
