package frames

import (
	"errors"

	"golang.org/x/net/http2"
)

// limits are what gRPC's server has told the client in SETTINGS. This package learns them from there, so that the client and both
// servers go by the same ones. The front's mu guards them.
type limits struct {
	streams   int64 // calls at a time, diverted and passed together
	maxHeader int   // size of the largest header list; 0 before gRPC's server has told it
}

var errNoLimits = errors.New("gRPC's server has told the client no limit of header lists")

// learn reads SETTINGS of gRPC's server, of which the first has all limits.
func (l *limits) learn(payload []byte) error {
	eachSetting(payload, func(id http2.SettingID, value uint32) {
		switch id {
		case http2.SettingMaxConcurrentStreams:
			l.streams = int64(value)
		case http2.SettingMaxHeaderListSize:
			l.maxHeader = int(value)
		}
	})
	if l.maxHeader == 0 {
		return errNoLimits
	}
	return nil
}

// learn makes the decoder with the first header block. gRPC's server sends its SETTINGS before it reads.
func (in *inbound) learn() error {
	if in.decoder != nil {
		return nil
	}
	f := in.front
	f.mu.Lock()
	in.maxHeader = f.limits.maxHeader
	f.mu.Unlock()
	if in.maxHeader == 0 {
		return errNoLimits
	}
	in.decoder = newDecoder(in.maxHeader)
	return nil
}
