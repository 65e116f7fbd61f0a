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
	// for an instance that stands alone.
	ListenAddr string `toml:"listen_addr"`
	// AdvertiseAddr is the host:port at which the others reach this instance.
	// Default: ListenAddr.
	AdvertiseAddr string `toml:"advertise_addr"`
	// Profile sets Raft's times: "fast" for a local network, "cautious" for a
	// slower one; the same at every instance. Default "fast".
	Profile string `toml:"profile"`
	// CertificatePath is the PEM file of the certificate shown to the others.
	// It comes with KeyPath and CAPath.
	CertificatePath string `toml:"certificate_path"`
	// KeyPath is the PEM file of the certificate's private key.
	KeyPath string `toml:"key_path"`
	// CAPath is the PEM file of the authority that signed the others'
	// certificates.
	CAPath string `toml:"ca_path"`
	// SecretFile is a file with a secret that all instances share, for private
	// networks without certificates.
	SecretFile string `toml:"secret_file"`
	// Secret is what SecretFile holds.
	Secret Secret `toml:"-"`
	// Peers are the instances of the cluster, this one too.
	Peers []Peer `toml:"peer"`
}

// Peer is one instance of the cluster.
type Peer struct {
	// Name is the instance's label. Unique.
	Name string `toml:"name"`
	// Addr is the host:port at which it listens for the others.
	Addr string `toml:"addr"`
}

// checkRaft judges the [raft] section.
func (c *Config) checkRaft(found *findings) {
	oneOf(found, keyPath("raft", "profile"), c.Raft.Profile, "fast", "cautious")
	tls := []struct{ key, path string }{
		{"certificate_path", c.Raft.CertificatePath},
		{"key_path", c.Raft.KeyPath},
		{"ca_path", c.Raft.CAPath},
	}
	given := 0
	for _, file := range tls {
		if file.path != "" {
			given++
		}
	}
	for _, file := range tls {
		if file.path == "" && given > 0 {
			found.add(keyPath("raft", file.key), "not set: certificate_path, key_path and ca_path come together or not at all")
		}
	}
	if c.Raft.AdvertiseAddr != "" {
		if err := checkPeerAddr(c.Raft.AdvertiseAddr); err != nil {
			found.add(keyPath("raft", "advertise_addr"), "%v", err)
		}
	}
	names := map[string]bool{}
	for i, peer := range c.Raft.Peers {
		checkName(found, keyPath("raft", "peer", i, "name"), peer.Name, names, "peer")
		if peer.Addr == "" {
			found.add(keyPath("raft", "peer", i, "addr"), "not set: write the host:port at which this peer listens")
		} else if err := checkPeerAddr(peer.Addr); err != nil {
			found.add(keyPath("raft", "peer", i, "addr"), "%v", err)
		}
	}
	c.refuseSeveralInstances(found)
}

// refuseSeveralInstances keeps a configuration from promising what this
// version does not do. It comes after the peers were judged one by one, as a
// fault of the list hides those inside it.
func (c *Config) refuseSeveralInstances(found *findings) {
	if len(c.Raft.Peers) > 0 {
		found.add(keyPath("raft", "peer"), "clusters of several instances are not available in this version: remove the [[raft.peer]] sections")
	}
}
