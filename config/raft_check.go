package config

import (
	"cmp"
	"slices"
	"time"
)

// minSecretChars keeps a shared secret from being guessed from a recorded connection.
const minSecretChars = 16

// Values of disk_timeout. With others, the default is half of the time that writes are queued: a
// leader whose disk hangs is replaced before a write has waited for too long.
const (
	minDiskTimeout     = Duration(time.Second)
	diskTimeout        = Duration(5 * time.Second)
	diskTimeoutIfAlone = Duration(10 * time.Second)
)

// AdvertisedAddr returns the host:port at which the others reach this instance,
// empty for one that stands alone.
func (r Raft) AdvertisedAddr() string {
	own := ""
	if i := slices.IndexFunc(r.Peers, func(p Peer) bool { return p.Name == r.Name }); i >= 0 {
		own = r.Peers[i].Addr
	}
	return cmp.Or(own, r.AdvertiseAddr, r.ListenAddr)
}

// Others returns the instances of the cluster without this one.
func (r Raft) Others() []Peer {
	return slices.DeleteFunc(slices.Clone(r.Peers), func(p Peer) bool { return p.Name == r.Name })
}

// checkRaft judges the [raft] section.
func (c *Config) checkRaft(found *findings) {
	r := c.Raft
	oneOf(found, keyPath("raft", "profile"), r.Profile, "fast", "cautious")
	atLeast(found, keyPath("raft", "disk_timeout"), r.DiskTimeout, minDiskTimeout)
	r.checkAuthentication(found)
	if r.AdvertiseAddr != "" {
		if err := checkPeerAddr(r.AdvertiseAddr); err != nil {
			found.add(keyPath("raft", "advertise_addr"), "%v", err)
		}
	}
	r.checkPeers(found)
	if r.ListenAddr == "" {
		if len(r.Others()) > 0 {
			found.add(keyPath("raft", "listen_addr"), "not set: the other instances need an address to connect to, such as ':2307'")
		}
		return
	}
	if addr := r.AdvertisedAddr(); addr == r.ListenAddr {
		if err := checkPeerAddr(addr); err != nil {
			found.add(keyPath("raft", "advertise_addr"), "not set, and the others cannot use listen_addr in its place: %v", err)
		}
	}
}

// checkAuthentication judges the proof that the instances show each other.
func (r Raft) checkAuthentication(found *findings) {
	files := []struct{ key, path string }{
		{"certificate_path", r.CertificatePath},
		{"key_path", r.KeyPath},
		{"ca_path", r.CAPath},
	}
	given := 0
	for _, file := range files {
		if file.path != "" {
			given++
		}
	}
	for _, file := range files {
		if file.path == "" && given > 0 {
			found.add(keyPath("raft", file.key), "not set: certificate_path, key_path and ca_path come together or not at all")
		}
	}
	switch {
	case given > 0 && r.SecretFile != "":
		found.add(keyPath("raft", "secret_file"), "certificates are set too: remove one of them")
	case given == 0 && r.SecretFile == "" && (r.ListenAddr != "" || len(r.Others()) > 0):
		found.add(keyPath("raft", "certificate_path"), "not set, nor is secret_file: instances let each other in by certificates or by a shared secret")
	case r.Secret != "" && len(r.Secret) < minSecretChars:
		found.add(keyPath("raft", "secret_file"), "%d characters are too few: write at least %d, drawn at random", len(r.Secret), minSecretChars)
	case r.FormerSecret != "" && len(r.FormerSecret) < minSecretChars:
		found.add(keyPath("raft", "secret_file"), "%d characters are too few in the second line: it is for the former secret, while the first line replaces it", len(r.FormerSecret))
	}
}

func (r Raft) checkPeers(found *findings) {
	names, addrs := map[string]bool{}, map[string]bool{}
	for i, peer := range r.Peers {
		checkName(found, keyPath("raft", "peer", i, "name"), peer.Name, names, "peer")
		key := keyPath("raft", "peer", i, "addr")
		if peer.Addr == "" {
			found.add(key, "not set: write the host:port at which this peer listens")
			continue
		}
		if err := checkPeerAddr(peer.Addr); err != nil {
			found.add(key, "%v", err)
		} else if addrs[peer.Addr] {
			found.add(key, "%q is the address of another peer: each has its own", peer.Addr)
		}
		addrs[peer.Addr] = true
		if peer.Name == r.Name && r.AdvertiseAddr != "" && r.AdvertiseAddr != peer.Addr {
			found.add(keyPath("raft", "advertise_addr"), "%q differs from the addr of peer %q, which is this instance (%q): remove one of them",
				r.AdvertiseAddr, peer.Name, peer.Addr)
		}
	}
	if members := len(r.Others()) + 1; members%2 == 0 {
		found.add(keyPath("raft", "peer"), "with this instance, %q, they are %d: an even number survives no more failures than one less; list 3 or 5",
			r.Name, members)
	}
}
