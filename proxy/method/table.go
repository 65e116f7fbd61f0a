package method

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Table holds every method of the Gitaly API that this program was built with.
type Table struct {
	methods map[string]Method
}

// New builds the table from the descriptors and annotations of the compiled-in Gitaly API. An error means that a method
// carries annotations from which no route can be derived.
func New() (*Table, error) {
	// The files register themselves when gitalypb is imported; naming its package here keeps that import from being dropped.
	pkg := gitalypb.File_lint_proto.Package()

	t := &Table{methods: make(map[string]Method)}
	var err error
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			if err = t.addService(file.Services().Get(i)); err != nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, err
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
		names := make([]string, 0, len(t.methods))
		for name := range t.methods {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(t.methods[name]) {
				return
			}
		}
	}
}

func (t *Table) addService(sd protoreflect.ServiceDescriptor) error {
	intercepted := proto.GetExtension(sd.Options(), gitalypb.E_Intercepted).(bool)
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		m := Method{
			FullName:      "/" + string(sd.FullName()) + "/" + string(md.Name()),
			ClientStreams: md.IsStreamingClient(),
			ServerStreams: md.IsStreamingServer(),
		}
		if !intercepted {
			if err := m.annotate(md); err != nil {
				return fmt.Errorf("method %q: %w", m.FullName, err)
			}
		}
		t.methods[m.FullName] = m
	}
	return nil
}

// annotate fills in what the annotations of a forwarded method say, and what they leave unsaid.
func (m *Method) annotate(md protoreflect.MethodDescriptor) error {
	op := proto.GetExtension(md.Options(), gitalypb.E_OpType).(*gitalypb.OperationMsg)
	switch op.GetOp() {
	case gitalypb.OperationMsg_ACCESSOR:
		m.Kind = Accessor
	case gitalypb.OperationMsg_MUTATOR:
		m.Kind = Mutator
	case gitalypb.OperationMsg_MAINTENANCE:
		m.Kind = Maintenance
	default:
		return fmt.Errorf("unknown operation %v", op.GetOp())
	}
	switch op.GetScopeLevel() {
	case gitalypb.OperationMsg_REPOSITORY:
		m.Scope = ScopeRepository
	case gitalypb.OperationMsg_STORAGE:
		m.Scope = ScopeStorage
	default:
		return fmt.Errorf("unknown scope %v", op.GetScopeLevel())
	}

	short := strings.TrimPrefix(m.FullName, "/gitaly.")
	m.ForcePrimary = packingDependent[short]
	if m.Kind == Mutator && m.Scope == ScopeRepository {
		m.Change = ChangeUpdate
		if c, ok := existenceChanges[short]; ok {
			m.Change = c
		}
		m.RefsOnly = refsOnly[short]
		m.Votes = votes[short]
	}

	var err error
	m.plan, err = newPlan(md.Input(), m.Scope)
	return err
}
