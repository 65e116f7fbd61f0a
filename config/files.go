package config

import "os"

// secretSource is a secret that may be written as it is or as a file.
type secretSource struct {
	section []string
	// key names the secret; its file is named by key + "_file".
	key   string
	value *Secret
	file  string
	// former is the meaning of a second line of the file; nil if it has one line.
	former *Secret
}

func (s secretSource) fileKey() []string { return under(s.section, s.key+"_file") }

func (c *Config) secretSources() []secretSource {
	sources := []secretSource{
		{keyPath("auth"), "token", &c.Auth.Token, c.Auth.TokenFile, nil},
		{keyPath("auth"), "previous_token", &c.Auth.PreviousToken, c.Auth.PreviousTokenFile, nil},
		{keyPath("database"), "password", &c.Database.Password, c.Database.PasswordFile, nil},
		{keyPath("admin"), "token", &c.Admin.Token, c.Admin.TokenFile, nil},
		{keyPath("raft"), "secret", &c.Raft.Secret, c.Raft.SecretFile, &c.Raft.FormerSecret},
	}
	for i, v := range c.VirtualStorages {
		for j := range v.Nodes {
			node := &v.Nodes[j]
			sources = append(sources, secretSource{keyPath("virtual_storage", i, "node", j), "token", &node.Token, node.TokenFile, nil})
		}
	}
	return sources
}

// checkSecretSources refuses a secret that is given twice.
func (c *Config) checkSecretSources(found *findings) {
	for _, s := range c.secretSources() {
		if *s.value != "" && s.file != "" {
			found.add(s.fileKey(), "%s is set too: remove one of them", s.key)
		}
	}
}

// readSecretFiles replaces the plain values by the content of the files.
func (c *Config) readSecretFiles(found *findings) {
	for _, s := range c.secretSources() {
		if *s.value != "" || s.file == "" {
			continue
		}
		var err error
		if s.former != nil {
			*s.value, *s.former, err = readSecretAndFormer(s.file)
		} else {
			*s.value, err = readSecret(s.file)
		}
		if err != nil {
			found.add(s.fileKey(), "%v", err)
		}
	}
}

// checkFiles finds out early that a certificate, key or descriptor set is not where the
// configuration says. The user of the file judges its content.
func (c *Config) checkFiles(found *findings) {
	rootCert := c.Database.SSLRootCert
	if rootCert == systemRoots {
		rootCert = ""
	}
	for _, file := range []struct {
		key  []string
		path string
	}{
		{keyPath("tls", "certificate_path"), c.TLS.CertificatePath},
		{keyPath("tls", "key_path"), c.TLS.KeyPath},
		{keyPath("database", "sslcert"), c.Database.SSLCert},
		{keyPath("database", "sslkey"), c.Database.SSLKey},
		{keyPath("database", "sslrootcert"), rootCert},
		{keyPath("raft", "certificate_path"), c.Raft.CertificatePath},
		{keyPath("raft", "key_path"), c.Raft.KeyPath},
		{keyPath("raft", "ca_path"), c.Raft.CAPath},
		{keyPath("console", "certificate_path"), c.Console.CertificatePath},
		{keyPath("console", "key_path"), c.Console.KeyPath},
	} {
		if file.path != "" {
			checkFile(found, file.key, file.path, "a PEM file")
		}
	}
	for i, path := range c.MethodDescriptors {
		checkFile(found, keyPath("method_descriptors", i), path, "a descriptor set")
	}
}

func checkFile(found *findings, key []string, path, kind string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		found.add(key, "%v", err)
	case info.IsDir():
		found.add(key, "%q is a directory: write the path of %s", path, kind)
	}
}
