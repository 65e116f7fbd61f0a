package peer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"testing"

	"praefect/test/must"
)

// FuzzHello: whatever a dialler says, it is understood or refused, and nobody is
// admitted without the secret.
func FuzzHello(f *testing.F) {
	for _, h := range []hello{
		{}, {Version: helloVersion, Kind: raftKind, Name: "b", ID: "b"},
		{Version: helloVersion, Kind: callKind, Name: "b", ID: "b", For: "a", Cluster: "c", proofs: proofs{Proof: []byte("proof"), Former: []byte("proof")}},
	} {
		var frame bytes.Buffer
		must.Succeed(f, writeFrame(&frame, h))
		f.Add(frame.Bytes())
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	g, err := newGuard(Credentials{Secret: secret})
	must.Succeed(f, err)
	near, far := net.Pipe()
	dialled := make(chan error, 1)
	go func() { dialled <- tls.Client(near, g.tls()).Handshake() }()
	accepted := tls.Server(far, g.tls())
	must.Succeed(f, errors.Join(accepted.Handshake(), <-dialled))
	state := accepted.ConnectionState()
	tr := &Transport{guard: g, config: Config{Name: "a", ID: "a", Cluster: func() string { return "" }, Admit: func(string, string) bool { return true }}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h hello
		if err := readFrame(bytes.NewReader(b), &h); err != nil {
			return
		}
		if err := tr.judge(h, state); err == nil {
			t.Errorf("admitted %+v", h)
		}
	})
}
