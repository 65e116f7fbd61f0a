package method

import (
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of a gitaly.Repository by which GitLab names it.
const (
	fieldGlRepository  protowire.Number = 6
	fieldGlProjectPath protowire.Number = 8
)

// Labels are GitLab's own names of the target repository, for the log: no decision depends on
// them. They are empty where the message has none, or is malformed.
func (m Method) Labels(msg mem.BufferSlice) (glRepository, glProjectPath string) {
	if m.plan.root == nil {
		return "", ""
	}
	buf := msg.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	target := targetOf(m.plan.root, buf.ReadOnlyData())
	_ = eachField(target, func(num protowire.Number, typ protowire.Type, field []byte) error { // as far as it goes
		if num != fieldGlRepository && num != fieldGlProjectPath {
			return nil
		}
		value, err := bytesOf(num, typ, field)
		if err != nil || !utf8.Valid(value) {
			return err
		}
		if num == fieldGlRepository {
			glRepository = string(value)
		} else {
			glProjectPath = string(value)
		}
		return nil
	})
	return glRepository, glProjectPath
}

// targetOf is the last occurrence of the target repository in a message.
func targetOf(l *level, b []byte) (target []byte) {
	_ = eachField(b, func(num protowire.Number, typ protowire.Type, field []byte) error { // as far as it goes
		for i := range l.edges {
			e := &l.edges[i]
			if e.num != num || e.role == roleAdditional || e.role == roleStorage {
				continue
			}
			value, err := bytesOf(num, typ, field)
			if err != nil {
				return err
			}
			if e.role == roleTarget {
				target = value
			} else if found := targetOf(e.next, value); found != nil {
				target = found
			}
		}
		return nil
	})
	return target
}
