package method

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// role is the kind of value that a field at the end of a path holds.
type role uint8

const (
	roleNone       role = iota
	roleTarget          // the target repository
	roleAdditional      // the second repository
	roleStorage         // the name of a storage, a string
	roleCount
)

// trail is the sequence of field numbers that leads from the request to a field.
type trail []protowire.Number

// plan is where the requests of one method name the repositories or the storage that they address.
type plan struct {
	target, additional, storage trail
	// timestamp is where the client may say when it makes the change; nil if it cannot.
	timestamp trail
	root      *level
}

// level has the fields of interest in one message on the way to a role.
type level struct {
	edges []edge
}

// edge is a field that leads to a role.
type edge struct {
	num protowire.Number
	// role is the role of the field's value; with roleNone the value is a message, and next says
	// which fields to look for in it.
	role role
	next *level
	// rivals are the other members of the field's oneof: each of them, once seen, undoes the
	// field's value.
	rivals []rival
}

// rival is a field as it appears on the wire. With another wire type it would be an unknown field, which undoes nothing.
type rival struct {
	num protowire.Number
	typ protowire.Type
}

func newPlan(request protoreflect.MessageDescriptor, scope Scope) (plan, error) {
	var p plan
	var err error
	if scope == ScopeStorage {
		if p.storage, err = p.find(request, annotatedStorage, roleStorage); err == nil && p.storage == nil {
			err = fmt.Errorf("no storage field in %q", request.FullName())
		}
		return p, err
	}
	if p.target, err = p.find(request, annotatedTarget, roleTarget); err != nil {
		return p, err
	}
	if p.target == nil {
		return p, fmt.Errorf("no target repository in %q", request.FullName())
	}
	p.timestamp = timestampBeside(request, p.target)
	p.additional, err = p.find(request, annotatedAdditional, roleAdditional)
	return p, err
}

// timestampBeside is the way to the time of the change, in the message that names the
// target; nil if there is none.
func timestampBeside(request protoreflect.MessageDescriptor, target trail) trail {
	at, parents := request, target[:len(target)-1]
	for _, num := range parents {
		at = at.Fields().ByNumber(num).Message()
	}
	fd := at.Fields().ByName("timestamp")
	if fd == nil || fd.Message() == nil || fd.Message().FullName() != "google.protobuf.Timestamp" {
		return nil
	}
	return append(slices.Clone(parents), fd.Number())
}

// find looks for the one field of the request that carries the annotation, adds the way to it to the plan, and returns its
// path, nil if there is none.
func (p *plan) find(request protoreflect.MessageDescriptor, a annotation, r role) (trail, error) {
	ways, err := waysTo(request, a, nil)
	if err != nil {
		return nil, err
	}
	switch len(ways) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, fmt.Errorf("%d fields of %q carry annotation %d", len(ways), request.FullName(), a)
	}
	way := ways[0]

	// A message that is not a Repository itself, such as an ObjectPool, marks the field of it that is.
	last := way[len(way)-1]
	if r != roleStorage && !isRepository(last) {
		if last.Kind() != protoreflect.MessageKind {
			return nil, fmt.Errorf("field %q holds no repository", last.FullName())
		}
		inner, err := waysTo(last.Message(), annotatedRepository, nil)
		if err != nil {
			return nil, err
		}
		if len(inner) != 1 || !isRepository(inner[0][len(inner[0])-1]) {
			return nil, fmt.Errorf("field %q holds no repository", last.FullName())
		}
		way = append(way, inner[0]...)
	}
	if last := way[len(way)-1]; r == roleStorage && !isString(last) {
		return nil, fmt.Errorf("storage field %q is no string", last.FullName())
	}

	at := &p.root
	nums := make(trail, len(way))
	for i, fd := range way {
		nums[i] = fd.Number()
		if *at == nil {
			*at = new(level)
		}
		e := (*at).edge(fd)
		if i == len(way)-1 {
			e.role = r
		}
		at = &e.next
	}
	return nums, nil
}

// edge returns the edge of a field, which it adds if there is none yet.
func (l *level) edge(fd protoreflect.FieldDescriptor) *edge {
	i := slices.IndexFunc(l.edges, func(e edge) bool { return e.num == fd.Number() })
	if i < 0 {
		i = len(l.edges)
		l.edges = append(l.edges, edge{num: fd.Number(), rivals: rivalsOf(fd)})
	}
	return &l.edges[i]
}

// waysTo returns every way from a message down to a field that carries the annotation. Lists and maps are not entered: a
// field in them is not one field. Neither is a message entered inside itself.
func waysTo(md protoreflect.MessageDescriptor, a annotation, within []protoreflect.FullName) ([][]protoreflect.FieldDescriptor, error) {
	if slices.Contains(within, md.FullName()) {
		return nil, nil
	}
	within = append(within, md.FullName())

	var ways [][]protoreflect.FieldDescriptor
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		marked, err := a.marks(fd.Options())
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", fd.FullName(), err)
		}
		if marked {
			ways = append(ways, []protoreflect.FieldDescriptor{fd})
			continue
		}
		if fd.Kind() != protoreflect.MessageKind || fd.Cardinality() == protoreflect.Repeated {
			continue
		}
		inner, err := waysTo(fd.Message(), a, within)
		if err != nil {
			return nil, err
		}
		for _, way := range inner {
			ways = append(ways, append([]protoreflect.FieldDescriptor{fd}, way...))
		}
	}
	return ways, nil
}

// isRepository reports whether a field holds a repository, whose names are where they are expected.
func isRepository(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.MessageKind && fd.Cardinality() != protoreflect.Repeated &&
		fd.Message().FullName() == "gitaly.Repository" &&
		isString(fd.Message().Fields().ByNumber(fieldStorageName)) && isString(fd.Message().Fields().ByNumber(fieldRelativePath))
}

func isString(fd protoreflect.FieldDescriptor) bool {
	return fd != nil && fd.Kind() == protoreflect.StringKind && fd.Cardinality() != protoreflect.Repeated
}

func rivalsOf(fd protoreflect.FieldDescriptor) []rival {
	oneof := fd.ContainingOneof()
	if oneof == nil {
		return nil
	}
	var rivals []rival
	for i := range oneof.Fields().Len() {
		if other := oneof.Fields().Get(i); other != fd {
			rivals = append(rivals, rival{num: other.Number(), typ: wireType(other.Kind())})
		}
	}
	return rivals
}

// wireType is how a singular field of a kind is written.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}
