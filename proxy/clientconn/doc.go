// Package clientconn owns the network connections of clients, from the moment they are accepted.
//
// It promises that a connection costs little until a call on it has proved to know the token: it may send little, it is
// closed when it is idle, only so many exist at once, and the oldest is dropped to make room for a new one. A connection that
// has proved itself passes bytes through unlooked at.
//
// The proxy's server wraps its listeners with a [Set], finds the [Conn] of a call with [FromContext] before the call's stream
// exists, and tells it how the check of the token ended.
package clientconn
