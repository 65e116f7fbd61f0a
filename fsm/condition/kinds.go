package condition

import "slices"

// Name names a kind of condition. It stands in JSON, in metrics and in the log.
type Name string

// The names of all conditions.
const (
	NoLeader           Name = "no-leader"
	NoVirtualStorage   Name = "no-virtual-storage"
	NoPrimary          Name = "no-primary"
	RepositoryAway     Name = "repository-unavailable"
	OtherCluster       Name = "other-cluster"
	ClaimLost          Name = "claim-lost"
	NoLease            Name = "no-lease"
	InstanceAway       Name = "instance-away"
	FewerVoters        Name = "fewer-voters"
	CannotLoseAny      Name = "cannot-lose-any"
	SettingsDiffer     Name = "settings-differ"
	CertificateExpires Name = "certificate-expires"
	StorageAway        Name = "storage-away"
	StorageSlow        Name = "storage-slow"
	StorageNotServing  Name = "storage-not-serving"
	DeadNotReplaced    Name = "dead-not-replaced"
	DisksDiffer        Name = "disks-differ"
	OneGoodCopy        Name = "one-good-copy"
	TooFewCopies       Name = "too-few-copies"
	ReleaseAlone       Name = "release-alone"
	Conflict           Name = "conflict"
	RepairWaits        Name = "repair-waits"
	ReplicaDiffers     Name = "replica-differs"
	ReplicaDamaged     Name = "replica-damaged"
	NotCompared        Name = "not-compared"
	CopiesFail         Name = "copies-fail"
	PrimaryUnwritable  Name = "primary-cannot-write"
	PostgresAway       Name = "postgres-away"
	CommandRefused     Name = "command-refused"
	VersionsDiffer     Name = "versions-differ"
	NoSpare            Name = "no-spare-instance"
	FailoverPaused     Name = "failover-paused"
	PrimaryElsewhere   Name = "primary-not-as-configured"
	StorageReturns     Name = "storage-returns"
	NoVotes            Name = "no-votes"
	ReleasesDiffer     Name = "releases-differ"
	ReplicaDiffered    Name = "replica-differed"
)

// About is the subject of a kind of condition.
type About string

// The subjects of conditions.
const (
	AboutInstances About = "instances"
	AboutStorages  About = "storages"
)

// Kind has the properties that all conditions of one name share.
type Kind struct {
	Name  Name
	Level Level
	About About
	// Meaning and Next are for the page of conditions: its meaning, and the next step.
	Meaning, Next string
}

// Kinds lists every kind of condition, the worst first.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindOf returns the kind of that name. A name of a newer program is a degraded condition of the
// instances: it is shown as it came.
func KindOf(name Name) Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return Kind{Name: name, Level: Degraded, About: AboutInstances}
}

// Metric is the series that is 1 while a condition of the kind is there.
func (k Kind) Metric() string { return `praefect_condition{condition="` + string(k.Name) + `"}` }

// kinds is a list that nothing changes.
var kinds = []Kind{
	{NoLeader, Unavailable, AboutInstances, "The instance that answers knows no leader: nothing can be changed, and writes stop when the leases end.",
		"Bring instances back until a majority runs; `praefectctl raft status` names the silent ones."},
	{NoVirtualStorage, Unavailable, AboutInstances, "The cluster has not agreed on any virtual storage yet.",
		"Wait for a few seconds after the first start; then read the log of the leader."},
	{OtherCluster, Unavailable, AboutInstances, "A listed peer belongs to another cluster. The instance takes no lease.",
		"`praefectctl raft status` at both instances names the two clusters; see [begin.md](begin.md#make-an-instance-join-another-cluster)."},
	{ClaimLost, Unavailable, AboutInstances, "Postgres says that another cluster serves the virtual storages. The instance takes no lease.",
		"Find out which cluster is the right one before you remove a claim."},
	{NoPrimary, Unavailable, AboutStorages, "A virtual storage has no primary that this instance can reach: it takes no writes.",
		"Bring a storage back, or `praefectctl promote` one that serves."},
	{RepositoryAway, Unavailable, AboutStorages, "Repositories have no in-sync storage that serves and can be reached.",
		"`praefectctl dataloss` lists them; bring a storage back that is not listed under BEHIND."},
	{NoLease, Degraded, AboutInstances, "An instance has no lease: it takes no writes, and other instances answer its reads.",
		"Look at its connection to the leader: `praefectctl raft status`."},
	{InstanceAway, Degraded, AboutInstances, "The leader does not hear an instance.",
		"Start it again; see [replace-instance.md](replace-instance.md) if it is lost for good."},
	{FewerVoters, Degraded, AboutInstances, "Fewer instances vote than the settings list.",
		"Start the missing ones, and wait until they have caught up."},
	{CannotLoseAny, Degraded, AboutInstances, "If one more instance fails, no majority is left.",
		"Start the missing instances; an even number of instances survives no more than one fewer."},
	{SettingsDiffer, Degraded, AboutInstances, "Instances have settings that must agree and do not.",
		"Compare the named keys of their settings, and restart the instance that is wrong."},
	{CertificateExpires, Degraded, AboutInstances, "A certificate of an instance expires within 14 days, has expired, or cannot be read.",
		"Replace the file and reload the instance; see [tokens-and-certificates.md](tokens-and-certificates.md#certificates)."},
	{PostgresAway, Degraded, AboutInstances, "Postgres does not answer: reads and writes continue, repairs wait.",
		"Bring Postgres back; see [trouble.md](trouble.md#postgres-is-away)."},
	{CommandRefused, Degraded, AboutInstances, "The replicated state refuses a command of the leader.",
		"The text says why; the leader tries again every 30 s."},
	{StorageAway, Degraded, AboutStorages, "An instance cannot reach a storage.",
		"Start the storage; see [trouble.md](trouble.md#a-storage-was-down)."},
	{StorageSlow, Degraded, AboutStorages, "A storage answers late, or its health checks fail.",
		"Look at the load and the disk of the storage."},
	{StorageNotServing, Degraded, AboutStorages, "A storage is fenced, out or backfilling: one storage less can be lost.",
		"A dead one returns by itself; `praefectctl undrain` lets a drained one return."},
	{DeadNotReplaced, Degraded, AboutStorages, "A storage is dead and is not failed over; the text says why.",
		"`praefectctl promote` another storage, or bring the dead one back."},
	{DisksDiffer, Degraded, AboutStorages, "Instances see different disks behind one storage.",
		"Compare the address of the storage in the settings of all instances."},
	{OneGoodCopy, Degraded, AboutStorages, "Only one storage of a virtual storage serves: its loss loses the newest writes.",
		"Bring another storage back, or `praefectctl undrain` it."},
	{TooFewCopies, Degraded, AboutStorages, "For more than a minute repositories have been in sync on fewer storages than `consistency.copies`.",
		"`praefectctl dataloss` and `praefectctl queue list` list the repositories and the repairs under way."},
	{ReleaseAlone, Degraded, AboutStorages, "Fewer storages than `consistency.copies` run the release of the primary: a write whose votes the releases hash otherwise is on fewer storages until it is copied.",
		"Finish the upgrade, or `praefectctl promote` a storage of the other release; see [upgrade-gitaly.md](upgrade-gitaly.md)."},
	{Conflict, Degraded, AboutStorages, "The replicas of repositories differ, and neither contains the other. Nothing is copied.",
		"`praefectctl dataloss` shows both sides, `praefectctl accept-dataloss` chooses one."},
	{RepairWaits, Degraded, AboutStorages, "A repair, or the resolution of a write with an unknown outcome, has not succeeded in more than 5 attempts.",
		"`praefectctl queue list` shows the attempts and the last error; see [trouble.md](trouble.md#a-job-is-dead)."},
	{CopiesFail, Degraded, AboutStorages, "Copies onto many replicas of a storage fail: the storage is the matter, and no replica is removed to be copied from nothing.",
		"Look at the disk and the log of the storage; see [trouble.md](trouble.md#copies-onto-a-storage-fail)."},
	{PrimaryUnwritable, Degraded, AboutStorages, "A storage fails writes of repositories whose primary it is, although other storages could do them. With several repositories the storage is the matter, for example its disk is full.",
		"Look at the disk and the log of the storage; see [trouble.md](trouble.md#a-storages-disk-is-full)."},
	{ReplicaDiffers, Degraded, AboutStorages, "A replica differs from its primary although the ledger has no reason for it, and is not repaired yet.",
		"Nothing: it is repaired from the primary. Find out what wrote past praefect; see [verification.md](verification.md#when-a-replica-differs)."},
	{ReplicaDamaged, Degraded, AboutStorages, "git complains of the objects of a replica. A secondary is made again; a primary is left to you.",
		"See [verification.md](verification.md#when-a-replica-is-damaged)."},
	{NotCompared, Degraded, AboutStorages, "After a recovery several storages serve on, and repositories have not been compared on them yet: only one replica may have the newest writes.",
		"Wait, and drain no storage: the verification compares these repositories before all others, and repairs what differs; see [quorum-lost.md](quorum-lost.md#the-effect-of-a-recovery)."},
	{VersionsDiffer, Notice, AboutInstances, "The instances run different versions of the program.",
		"Finish the upgrade."},
	{NoSpare, Notice, AboutInstances, "The settings list one instance: the cluster stops when it stops.",
		"Add two instances; see [cluster.md](cluster.md#from-one-to-three)."},
	{FailoverPaused, Notice, AboutStorages, "An operator has switched automatic failover off.",
		"`praefectctl resume`."},
	{PrimaryElsewhere, Notice, AboutStorages, "The primary is not the one that the settings name; they order the first succession only.",
		"Nothing, or `praefectctl promote` the one in the settings."},
	{StorageReturns, Notice, AboutStorages, "A storage that was dead is healthy and serves again soon; the text says when.",
		"Nothing. It serves at once if it alone has a repository that is unavailable."},
	{ReplicaDiffered, Notice, AboutStorages, "Within the last 24 hours a replica was found different without a reason in the ledger, and has been repaired.",
		"`praefectctl history` names it. Find out what wrote past praefect; see [verification.md](verification.md#when-a-replica-differs)."},
	{ReleasesDiffer, Notice, AboutStorages, "The storages of a virtual storage run different releases of Gitaly or git.",
		"Finish the upgrade; see [upgrade-gitaly.md](upgrade-gitaly.md)."},
	{NoVotes, Notice, AboutStorages, "A storage does not speak the backchannel: writes are not voted on.",
		"Upgrade Gitaly on the storage, or look for a proxy between it and the instance."},
}
