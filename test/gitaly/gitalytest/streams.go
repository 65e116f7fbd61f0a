package gitalytest

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
)

// errorOf is the error of a call whose answer does not matter.
func errorOf[T any](_ T, err error) error { return err }

// upload sends requests and returns the answer to all of them.
func upload[S interface {
	Send(*Q) error
	CloseAndRecv() (*A, error)
}, Q, A any](ctx context.Context, open func(context.Context, ...grpc.CallOption) (S, error), requests ...*Q) (*A, error) {
	stream, err := open(ctx)
	if err != nil {
		return nil, err
	}
	if err := sendAll(stream.Send, requests); err != nil {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// exchange sends requests, then receives until the stream ends, and returns how, io.EOF being nil.
func exchange[S interface {
	Send(*Q) error
	CloseSend() error
	Recv() (*A, error)
}, Q, A any](ctx context.Context, open func(context.Context, ...grpc.CallOption) (S, error), requests ...*Q) error {
	stream, err := open(ctx)
	if err != nil {
		return err
	}
	if err := sendAll(stream.Send, requests); err != nil {
		return err
	}
	return errors.Join(stream.CloseSend(), drain(stream, nil))
}

// sendAll sends until the other side has ended the stream: its status says why.
func sendAll[Q any](send func(*Q) error, requests []*Q) error {
	for _, request := range requests {
		if err := send(request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
	return nil
}

// drain receives until the stream ends, and returns how, io.EOF being nil.
func drain[T any](stream interface{ Recv() (T, error) }, err error) error {
	_, err = collect(stream, err)
	return err
}

// collect receives until the stream ends.
func collect[T any](stream interface{ Recv() (T, error) }, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	var all []T
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, resp)
	}
}
