package channel

import (
	"context"
	"io"
	"testing"
)

// BenchmarkRelay fetches 64 MiB through a sidechannel, from a storage and through
// a proxy before it.
func BenchmarkRelay(b *testing.B) {
	const size = 64 << 20
	for name, serving := range map[string]func(testing.TB, func(context.Context) error) string{"direct": listen, "relayed": relayed} {
		b.Run(name, func(b *testing.B) {
			waiting := new(Registry)
			cc := dial(b, serving(b, answer(size)), NewClientCredentials(nil, Client{Sidechannels: waiting}))
			b.SetBytes(size)
			for b.Loop() {
				err := fetch(b.Context(), cc, waiting, func(r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
