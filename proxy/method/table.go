package method

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Table holds every method of the Gitaly API that this program knows.
type Table struct {
	methods map[string]Method
}

// New builds the table: from the descriptors and annotations of the compiled-in Gitaly API, from the data file beside this
// code, and from the given descriptor sets, in this order. An error means that a method carries annotations from which no
// route can be derived, or others than were known of it before; it names where the method comes from.
func New(sets ...DescriptorSet) (*Table, error) {
	t := &Table{methods: make(map[string]Method)}
	if err := t.addCompiledIn(); err != nil {
		return nil, err
	}
	if err := t.addRows(dataFile); err != nil {
		return nil, fmt.Errorf("the data file of methods: %w", err)
	}
	for _, set := range sets {
		if err := t.addSet(set); err != nil {
			return nil, fmt.Errorf("descriptor set %q: %w", set.Name, err)
		}
	}
	return t, nil
}

// Lookup finds a method by its full name on the wire, "/gitaly.RefService/FindCommit".
func (t *Table) Lookup(fullName string) (Method, bool) {
	m, ok := t.methods[fullName]
	return m, ok
}

// All yields every method once, ordered by full name.
func (t *Table) All() iter.Seq[Method] {
	return func(yield func(Method) bool) {
		for _, name := range slices.Sorted(maps.Keys(t.methods)) {
			if !yield(t.methods[name]) {
				return
			}
		}
	}
}

// add takes a method in, or finds that it agrees with the known facts of it. The fact that was
// known first decides.
func (t *Table) add(m Method) error {
	known, ok := t.methods[m.FullName]
	if !ok {
		t.methods[m.FullName] = m.withFacts()
		return nil
	}
	if m.also != Intercepted { // the data file's row of a method that is known
		known.also = m.also
		t.methods[m.FullName] = known
	}
	if known.Refusal != "" && known.Kind == Intercepted {
		return nil // no matter which effect it has, it is not forwarded
	}
	if m.Kind == known.also {
		m.Kind = known.Kind
	}
	for _, fact := range []struct {
		name       string
		said, want any
	}{
		{"kind", m.Kind, known.Kind},
		{"scope", m.Scope, known.Scope},
		{"client streams", m.ClientStreams, known.ClientStreams},
		{"server streams", m.ServerStreams, known.ServerStreams},
		{"way to the target", fmt.Sprint(m.plan.target), fmt.Sprint(known.plan.target)},
		{"way to the second repository", fmt.Sprint(m.plan.additional), fmt.Sprint(known.plan.additional)},
		{"way to the storage", fmt.Sprint(m.plan.storage), fmt.Sprint(known.plan.storage)},
	} {
		if fact.said != fact.want {
			return fmt.Errorf("method %q: %s is %v, known as %v", m.FullName, fact.name, fact.said, fact.want)
		}
	}
	return nil
}

func (t *Table) addCompiledIn() error {
	// The files register themselves when gitalypb is imported; naming its package here keeps that import from being dropped.
	pkg := gitalypb.File_lint_proto.Package()
	var err error
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		err = t.addFile(file)
		return err == nil
	})
	return err
}

func (t *Table) addFile(file protoreflect.FileDescriptor) error {
	for i := range file.Services().Len() {
		sd := file.Services().Get(i)
		intercepted, err := annotatedIntercepted.marks(sd.Options())
		if err != nil {
			return fmt.Errorf("service %q: %w", sd.FullName(), err)
		}
		for i := range sd.Methods().Len() {
			m, err := describe(sd.Methods().Get(i), intercepted)
			if err == nil {
				err = t.add(m)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// describe returns the facts that a method's descriptor and annotations tell of it.
func describe(md protoreflect.MethodDescriptor, intercepted bool) (Method, error) {
	m := Method{
		FullName:      "/" + string(md.Parent().FullName()) + "/" + string(md.Name()),
		ClientStreams: md.IsStreamingClient(),
		ServerStreams: md.IsStreamingServer(),
	}
	if intercepted {
		return m, nil
	}
	var err error
	if m.Kind, m.Scope, err = operationOf(md); err == nil {
		m.plan, err = newPlan(md.Input(), m.Scope)
	}
	if err != nil {
		return Method{}, fmt.Errorf("method %q: %w", m.FullName, err)
	}
	return m, nil
}
