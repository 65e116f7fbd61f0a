package stream

import (
	"context"
	"io"
)

// Watch prepares one call to a storage that is made without a Branch, by generated code: it is made
// with the context returned here, over a connection with a [StatsHandler]. Once the call has
// returned err, ended tells whether its status arrived from the storage; a status that gRPC made up
// on this side (cancelled, timed out, connection lost) does not count.
func Watch(ctx context.Context) (call context.Context, ended func(err error) bool) {
	a := new(arrival)
	call = context.WithValue(ctx, arrivalKey{}, a)
	return call, func(err error) bool {
		if err == nil {
			err = io.EOF // success, as streams report it
		}
		return a.ended(call, err)
	}
}
