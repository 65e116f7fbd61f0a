package admin

import (
	"context"
	"fmt"
	"io"
)

// DebugFile is something that an instance tells of itself for a person that looks for a fault.
// It never holds a secret.
type DebugFile struct {
	// Name is a file name without a directory.
	Name string
	// Write writes the content.
	Write func(w io.Writer) error
}

// DebugRequest asks an instance for its debug files. It needs the proof that a change needs: stack
// traces are not for callers that may only ask.
type DebugRequest struct{}

// debugPart is one piece of a file. The first piece of each has its name.
type debugPart struct {
	Instance string `json:"instance,omitempty"`
	Name     string `json:"name,omitempty"`
	Content  []byte `json:"content,omitempty"`
	// Error is why the rest of the file is missing.
	Error string `json:"error,omitempty"`
}

// debug sends the files, one after the other.
func (s *Service) debug(call served[DebugRequest, debugPart]) error {
	if err := s.access.Load().check(call.ctx); err != nil {
		return err
	}
	if s.Debug == nil {
		return errNoControl()
	}
	for _, file := range s.Debug() {
		if err := call.send(debugPart{Instance: s.cfg.Instance, Name: file.Name}); err != nil {
			return err
		}
		content := chunks(func(p []byte) error { return call.send(debugPart{Content: p}) })
		if err := file.Write(content); err != nil {
			if err := call.send(debugPart{Error: err.Error()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Debug asks for the debug files of the instance. put gets their content piece by piece; the first
// piece of each file is empty. Its errors come from put, or are gRPC statuses.
func (c *Client) Debug(ctx context.Context, put func(instance, name string, content []byte) error) error {
	instance, name := "", ""
	return download(ctx, c, rpcDebug, DebugRequest{}, func(part debugPart) error {
		if part.Name != "" {
			instance, name = part.Instance, part.Name
		}
		content := part.Content
		if part.Error != "" {
			content = fmt.Appendf(content, "\nthe rest is missing: %s\n", part.Error)
		}
		return put(instance, name, content)
	})
}
