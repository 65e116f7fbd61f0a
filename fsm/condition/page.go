package condition

// runBooks is the page with a section for each kind.
const runBooks = "docs/operations/conditions.md"

// RunBook is the section of the manual about conditions of that name: its path among the sources,
// as the links of alerts are.
func (n Name) RunBook() string { return runBooks + "#" + string(n) }

// alerts are the alerts of deploy/prometheus/rules.yml that say more of a kind than its level does.
var alerts = map[Name]string{
	NoLeader: "PraefectNoLeader", NoPrimary: "PraefectNoPrimary", RepositoryAway: "PraefectRepositoriesUnavailable",
	NoLease: "PraefectInstanceWithoutLease", InstanceAway: "PraefectInstanceDown",
	FewerVoters: "PraefectQuorumAtRisk", CannotLoseAny: "PraefectQuorumAtRisk",
	SettingsDiffer: "PraefectSettingsDiffer", CertificateExpires: "PraefectCertificateExpires", PostgresAway: "PraefectPostgresAway",
	StorageAway: "PraefectStorageDown", StorageSlow: "PraefectStorageSlow", StorageNotServing: "PraefectStorageNotServing",
	Conflict: "PraefectConflict", RepairWaits: "PraefectRepairFails", CopiesFail: "PraefectRepairFails", PrimaryUnwritable: "PraefectPrimaryFailsWrites",
	ReplicaDiffers: "PraefectReplicaDiffers", FailoverPaused: "PraefectFailoverPaused",
}

// Alert is the name of the alert that fires while a condition of the kind lasts, empty if none does.
// Its run-book has the commands to find and mend the fault.
func (k Kind) Alert() string {
	switch name := alerts[k.Name]; {
	case name != "":
		return name
	case k.Level == Unavailable:
		return "PraefectUnavailable"
	case k.Level == Degraded:
		return "PraefectDegraded"
	}
	return ""
}
