package config

// Raft is this instance's part in the replicated state. An instance without
// this section is a cluster of one.
type Raft struct {
	// Name is this instance's label in logs and in the output of commands.
	// Default: the host's name.
	Name string `toml:"name"`
	// DataDir is the directory of the replicated state and of the instance's
	// identity. Default: $STATE_DIRECTORY, else /var/lib/praefect/raft.
	DataDir string `toml:"data_dir"`
	// ListenAddr is the host:port for the other instances. Default: none, right
	// for an instance that stands alone. It needs certificates or a secret.
	ListenAddr string `toml:"listen_addr"`
	// AdvertiseAddr is the host:port at which the others reach this instance. Default: its address
	// among Peers, else ListenAddr.
	AdvertiseAddr string `toml:"advertise_addr"`
	// Profile sets Raft's times: "fast" for a local network, "cautious" for a
	// slower one; the same at every instance. Default "fast".
	Profile string `toml:"profile"`
	// DiskTimeout is how long a call to the disk of DataDir may take before this instance takes
	// itself out, so that the others do without it. Default 5s, and 10s for an instance without
	// ListenAddr, because no other could take its place. Minimum 1s.
	DiskTimeout Duration `toml:"disk_timeout"`
	// CertificatePath is the PEM file of the certificate shown to the others,
	// which names this instance's Name as a DNS name. It comes with KeyPath and
	// CAPath.
	CertificatePath string `toml:"certificate_path"`
	// KeyPath is the PEM file of the certificate's private key.
	KeyPath string `toml:"key_path"`
	// CAPath is the PEM file of the authority that signed the others'
	// certificates.
	CAPath string `toml:"ca_path"`
	// SecretFile is a file with a secret that all instances share, of at least
	// 16 characters: for private networks, in place of certificates. While it replaces
	// a former secret, the file has that one in its second line.
	SecretFile string `toml:"secret_file"`
	// Secret is the first line of SecretFile.
	Secret Secret `toml:"-"`
	// FormerSecret is the second line of SecretFile, if there is one.
	FormerSecret Secret `toml:"-"`
	// BeginWithoutPostgres lets a new cluster begin, and define virtual storages, while Postgres
	// cannot be asked whether another cluster has claimed them. It has no effect on the claims.
	// Default false: a new cluster waits for Postgres.
	BeginWithoutPostgres bool `toml:"begin_without_postgres"`
	// Named tells that the text gives the name.
	Named bool `toml:"-"`
	// Peers are the instances of the cluster; Name says which one is this one,
	// which may be left out. With this one they are 3 or 5.
	Peers []Peer `toml:"peer"`
}

// Peer is one instance of the cluster.
type Peer struct {
	// Name is the instance's label. Unique.
	Name string `toml:"name"`
	// Addr is the host:port at which it listens for the others.
	Addr string `toml:"addr"`
}
