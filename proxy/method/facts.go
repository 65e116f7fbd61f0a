package method

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Facts that the annotations of the API do not state. Keys are "Service/Method"; a test refuses a
// key that is no method.

// withFacts is the method with the facts that the annotations do not state.
func (m Method) withFacts() Method {
	short := strings.TrimPrefix(m.FullName, "/gitaly.")
	m.ForcePrimary = packingDependent[short]
	if m.Kind == Mutator && m.Scope == ScopeRepository {
		m.Directory = directories[short]
		m.Change = m.Directory.change()
		m.RefsOnly = refsOnly[short]
		m.Votes = votes[short]
	}
	m.Prunes = m.Kind == Maintenance && !keepsObjects[short]
	if short == "RepositoryService/ReplicateRepository" {
		// Whether pools are replicated along (field 3) is not the client's to say: a storage would make the pool beside the
		// repository, where nothing accounts for it.
		m.forced = protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 0)
	}
	if why, ok := refusals[short]; ok {
		m.Refusal = why
	}
	return m
}

// refusals lists the methods that have a meaning for one storage and none that could be kept for a
// virtual storage, and the methods that an instance would have to answer for itself and does not.
var refusals = map[string]string{
	"RepositoryService/RemoveAll": "it would remove every repository of a virtual storage behind the back of the ledger: " +
		"list them with WalkRepos, and remove each with RemoveRepository",
	"ServerService/ClockSynced": "it would ask a time server of the client's choice; let the system's time service watch the clock. " +
		"Only tokens depend on it here, which are checked with each call",
	"InternalGitaly/StorePoolMetadata": "it writes beside the repositories of one storage: ask that storage itself",
}

// directories lists the mutators that make, replace or remove the directory of their target. The
// proxy asks an in-sync storage for the content of the path before it enters any of them in the
// ledger.
var directories = map[string]Directory{
	"ObjectPoolService/CreateObjectPool":             DirectoryMade,
	"ObjectPoolService/DeleteObjectPool":             DirectoryRemoved,
	"RepositoryService/CreateFork":                   DirectoryMade,
	"RepositoryService/CreateRepository":             DirectoryMade,
	"RepositoryService/CreateRepositoryFromBundle":   DirectoryMade,
	"RepositoryService/CreateRepositoryFromSnapshot": DirectoryMade,
	"RepositoryService/CreateRepositoryFromURL":      DirectoryMade,
	"RepositoryService/RemoveRepository":             DirectoryRemoved,
	"RepositoryService/ReplicateRepository":          DirectoryReplaced,
	"RepositoryService/RestoreRepository":            DirectoryReplaced,
}

// keepsObjects lists the maintenance methods that remove no object which a copy under way could be about to refer to:
// OptimizeRepository prunes objects that nothing has led to for two weeks.
var keepsObjects = map[string]bool{
	"RepositoryService/OptimizeRepository": true,
}

// packingDependent lists the accessors that report sizes on disk.
var packingDependent = map[string]bool{
	"RepositoryService/GetObjectDirectorySize": true,
	"RepositoryService/RepositorySize":         true,
}

// refsOnly lists the mutators whose lasting effect is on the values of refs entirely.
//
// Left out on purpose: WriteRef can point HEAD at another branch of the same commit, which no value of a ref
// shows, and so can FetchBundle; UserSquash leaves a commit that no ref reaches and that a later
// call names; FetchRemote and FetchSourceBranch pick up the state of the other side at that moment;
// ResolveConflicts and ApplyBfgObjectMapStream touch more than the one branch; everything else
// writes configuration, hooks, attributes or alternates.
var refsOnly = map[string]bool{
	"OperationService/UserApplyPatch":        true,
	"OperationService/UserCherryPick":        true,
	"OperationService/UserCommitFiles":       true,
	"OperationService/UserCreateBranch":      true,
	"OperationService/UserCreateTag":         true,
	"OperationService/UserDeleteBranch":      true,
	"OperationService/UserDeleteTag":         true,
	"OperationService/UserFFBranch":          true,
	"OperationService/UserMergeBranch":       true,
	"OperationService/UserMergeToRef":        true,
	"OperationService/UserRebaseConfirmable": true,
	"OperationService/UserRebaseToRef":       true,
	"OperationService/UserRevert":            true,
	"OperationService/UserUpdateBranch":      true,
	"OperationService/UserUpdateSubmodule":   true,
	"RefService/DeleteRefs":                  true,
	"RefService/UpdateReferences":            true,
	"SmartHTTPService/PostReceivePack":       true,
	"SSHService/SSHReceivePack":              true,
}

// votes lists the mutators that vote before any effect when they carry a reference transaction, as the suites of votes in
// test/realgitaly show of each. A method that is not here goes to the primary alone and the other
// storages follow by repair, which is always right and only slower. Upstream fans out every
// repository-scoped mutator but CreateObjectPool and DeleteObjectPool; here a method has to earn
// it, because an effect before the vote would be one that no ledger entry accounts for.
//
// Left out on purpose: RemoveRepository, which is in the ledger before its effect, with all replicas but the primary's to be
// removed by repair; DeleteObjectPool, which Gitaly does not vote on; FetchRemote, which prunes before it votes, and
// ReplicateRepository, which both bring the state of the other side at that moment, so that
// storages that ask it one after the other may disagree about a write that none of them could do
// wrong; DisconnectGitAlternates, on which storages vote by whether their replica is linked, which
// may have been made good by a copy and not be so yet; ApplyBfgObjectMapStream, which deletes by
// force; RewriteHistory, which votes first on a temporary repository of its own.
var votes = map[string]bool{
	"ConflictsService/ResolveConflicts":              true,
	"ObjectPoolService/CreateObjectPool":             true,
	"ObjectPoolService/FetchIntoObjectPool":          true,
	"ObjectPoolService/LinkRepositoryToObjectPool":   true,
	"OperationService/UserApplyPatch":                true,
	"OperationService/UserCherryPick":                true,
	"OperationService/UserCommitFiles":               true,
	"OperationService/UserCreateBranch":              true,
	"OperationService/UserCreateTag":                 true,
	"OperationService/UserDeleteBranch":              true,
	"OperationService/UserDeleteTag":                 true,
	"OperationService/UserFFBranch":                  true,
	"OperationService/UserMergeBranch":               true,
	"OperationService/UserMergeToRef":                true,
	"OperationService/UserRebaseConfirmable":         true,
	"OperationService/UserRebaseToRef":               true,
	"OperationService/UserRevert":                    true,
	"OperationService/UserSquash":                    true,
	"OperationService/UserUpdateBranch":              true,
	"OperationService/UserUpdateSubmodule":           true,
	"RefService/DeleteRefs":                          true,
	"RefService/UpdateReferences":                    true,
	"RepositoryService/ApplyGitattributes":           true,
	"RepositoryService/CreateFork":                   true,
	"RepositoryService/CreateRepository":             true,
	"RepositoryService/CreateRepositoryFromBundle":   true,
	"RepositoryService/CreateRepositoryFromSnapshot": true,
	"RepositoryService/CreateRepositoryFromURL":      true,
	"RepositoryService/FetchBundle":                  true,
	"RepositoryService/FetchSourceBranch":            true,
	"RepositoryService/RestoreCustomHooks":           true,
	"RepositoryService/SetCustomHooks":               true,
	"RepositoryService/SetFullPath":                  true,
	"RepositoryService/WriteRef":                     true,
	"SmartHTTPService/PostReceivePack":               true,
	"SSHService/SSHReceivePack":                      true,
}
