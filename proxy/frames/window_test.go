package frames

import (
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// TestFront_windowSeldomOpened: a client with a large window opens it again after half of it, and not before. Its calls go on until then.
func TestFront_windowSeldomOpened(t *testing.T) {
	for _, passed := range []bool{false, true} {
		x := newFixture(t, nil)
		const window = 64 << 20
		c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
		c.must(c.framer.WriteWindowUpdate(0, window-defaultWindow))
		if passed {
			c.call("/write/Wait", nil)
			<-x.proxy.entered
		}
		received := 0
		for range 3 {
			id := c.call("/read/Order", order{200, 100_000, codes.OK}.bytes())
			c.read(func(f http2.Frame) {
				d, ok := f.(*http2.DataFrame)
				if !ok {
					return
				}
				if received += int(d.Length); received >= window/2 {
					c.must(c.framer.WriteWindowUpdate(0, uint32(received)))
					received = 0
				}
			}, all(id))
		}
	}
}
