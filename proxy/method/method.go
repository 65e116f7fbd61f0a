// Package method owns the proxy's knowledge of each Gitaly RPC: its kind, its scope, and the place
// in the request that names the repository or storage.
//
// It promises that the target which it reads from a first message is the one that the storage acts
// on after [Method.Rewrite], for every possible message, and that an ambiguous message is an error.
//
// The proxy calls it for every call; all of it is immutable after [New] and safe for concurrent
// use.
package method

import "strconv"

// Kind is the kind of effect of an RPC on its target, and so decides how it is routed.
type Kind uint8

const (
	// Intercepted RPCs are answered by the proxy itself and never forwarded as they are. It is the zero value, so that a
	// method of which nothing is known is not forwarded either.
	Intercepted Kind = iota
	// Accessor RPCs only read.
	Accessor
	// Mutator RPCs change data that clients can observe.
	Mutator
	// Maintenance RPCs change how a repository is stored, not its content.
	Maintenance
)

// String returns the kind in lower case, as it appears in logs and metric labels.
func (k Kind) String() string {
	return nameOf("kind", k, []string{Intercepted: "intercepted", Accessor: "accessor", Mutator: "mutator", Maintenance: "maintenance"})
}

// nameOf is the name of a value, or what it is with its number if it has no name.
func nameOf[T ~uint8](what string, value T, names []string) string {
	if int(value) < len(names) {
		return names[value]
	}
	return what + " " + strconv.Itoa(int(value))
}

// Scope is the kind of target that an RPC addresses.
type Scope uint8

const (
	// ScopeNone is the scope of intercepted RPCs: nothing in the request says where to forward it.
	ScopeNone Scope = iota
	// ScopeRepository RPCs name a target repository.
	ScopeRepository
	// ScopeStorage RPCs name a storage.
	ScopeStorage
)

// String returns the scope in lower case, as it appears in logs and metric labels.
func (s Scope) String() string {
	return nameOf("scope", s, []string{ScopeNone: "none", ScopeRepository: "repository", ScopeStorage: "storage"})
}

// Change is the effect of a repository-scoped mutator on the existence of its target.
type Change uint8

const (
	// ChangeNone is the change of everything but repository-scoped mutators.
	ChangeNone Change = iota
	// ChangeUpdate leaves an existing repository in existence.
	ChangeUpdate
	// ChangeCreate brings a repository into existence. ReplicateRepository and RestoreRepository are of this kind although
	// the repository may exist already.
	ChangeCreate
	// ChangeDelete removes a repository.
	ChangeDelete
)

// String returns the change in lower case, as it appears in logs.
func (c Change) String() string {
	return nameOf("change", c, []string{ChangeNone: "none", ChangeUpdate: "update", ChangeCreate: "create", ChangeDelete: "delete"})
}

// Method is one RPC of the Gitaly API.
type Method struct {
	// FullName is the name on the wire, "/gitaly.RefService/FindCommit".
	FullName string
	// Kind says how the call is routed.
	Kind Kind
	// Scope says whether the request names a repository, a storage, or neither.
	Scope Scope
	// Change is the method's effect on the existence of its target, if it is a repository-scoped
	// mutator.
	Change Change
	// Directory is the method's effect on the directory of its target, if it is a repository-scoped
	// mutator; Change follows from it.
	Directory Directory
	// ClientStreams reports whether the client may send more than one message.
	ClientStreams bool
	// ServerStreams reports whether the server may send more than one message.
	ServerStreams bool
	// ForcePrimary marks accessors whose answer depends on how the repository is packed: two replicas with equal content
	// answer differently, so that successive answers are comparable only if they come from one place.
	ForcePrimary bool
	// RefsOnly marks mutators whose whole lasting effect is on refs and on the objects that these
	// reach, so that equal refs of two replicas prove that such a write left both equal. False
	// where that is not certain.
	RefsOnly bool
	// Votes marks mutators that vote before any effect when they carry a reference transaction, so that such a call may go
	// to several storages at once. False where no test shows it. See [Method.VotesOn] for the calls that do not all the same.
	Votes bool
	// Prunes marks maintenance methods that may remove objects which nothing leads to yet. True where that is not known.
	Prunes bool
	// Refusal is why the proxy refuses each call of the method, and the remedy; empty if it does
	// not.
	Refusal string

	// forced is appended to each first message that is rewritten: fields on which no client decides.
	forced []byte
	// also is another kind that other releases give the method; Intercepted if none does.
	also Kind
	plan plan
}

// HasAdditional reports whether requests of the method may name a second repository, which [Method.Rewrite] rewrites too.
func (m Method) HasAdditional() bool { return len(m.plan.additional) > 0 }
