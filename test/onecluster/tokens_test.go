package onecluster

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/runbook"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// TestTokensAndCertificates replaces every secret and certificate by the commands of the
// page while clients work. No request fails. A file that cannot be used is refused as a
// whole meanwhile, and the instance goes on.
func TestTokensAndCertificates(t *testing.T) {
	seeds, err := workload.NewSeeds(t.Context(), t.TempDir(), 8)
	must.Succeed(t, err)
	w := begin(t, cluster.Options{Disk: seeds.Disk, Balancer: true, Settings: "drain_wait = \"1s\"\n"})
	must.Succeed(w, w.c.WaitConverged(w.ctx))
	page, root := runbook.Open(t, "tokens-and-certificates.md"), t.TempDir()
	var hosts []*runbook.Host
	for _, i := range w.c.Instances {
		hosts = append(hosts, runbook.OnInstance(w.c, i, root))
	}
	onEach := func(block string) {
		t.Helper()
		for _, h := range hosts {
			page.CarryOut(h, block)
		}
	}
	w.secretsOfTheirOwn()
	traffic := w.work(seeds)

	// The clients' token.
	token := w.secret(root, "new-client-token")
	onEach("client-token")
	w.stays(traffic)
	must.Succeed(w, w.c.UseToken(token))
	traffic = w.work(seeds)
	onEach("client-token-end")

	// The operators' token.
	must.Succeed(w, os.WriteFile(w.c.AdminTokenFile, []byte(w.secret(root, "new-admin-token")), 0o600))
	onEach("admin-token")
	_, err = w.c.Operate(w.ctx, "pause", "-for", "1m", "-why", "the new token counts")
	must.Succeed(w, err)
	_, err = w.c.Operate(w.ctx, "resume")
	must.Succeed(w, err)

	// A storage's token.
	page.CarryOut(hosts[0], "storage-drain")
	storage := w.c.Storage(vs, "gitaly-3")
	must.Succeed(w, storage.UseToken(w.secret(root, "new-gitaly-3-token")))
	must.Succeed(w, storage.Terminate(w.ctx))
	must.Succeed(w, storage.Start())
	must.Succeed(w, storage.WaitReady(w.ctx))
	onEach("storage-token")
	page.CarryOut(hosts[0], "storage-undrain")
	w.eventually("the storage serves again", w.allServe)

	// The secret between instances: at each moment each instance can come back.
	w.secret(root, "new-peer-secret")
	for n, h := range hosts {
		page.CarryOut(h, "peer-secret")
		w.comesBack(w.c.Instances[(n+1)%len(hosts)], traffic)
	}
	for n, h := range hosts {
		page.CarryOut(h, "peer-secret-end")
		w.comesBack(w.c.Instances[(n+2)%len(hosts)], traffic)
	}
	w.refusesABadFile(w.c.Instances[1])
	w.stays(traffic)

	// From the secret to certificates there is a gap; from certificates to others there is none.
	page.CarryOut(hosts[0], "tls-init")
	w.withCertificates(root)
	traffic = w.work(seeds)
	page.CarryOut(hosts[0], "tls-renew")
	for n, h := range hosts {
		page.CarryOut(h, "certificates")
		log, err := os.ReadFile(w.c.Instances[n].Log())
		must.Succeed(w, err)
		for _, line := range []string{"the certificate for clients is replaced", "the certificate for other instances is replaced"} {
			if !strings.Contains(string(log), line) {
				t.Errorf("the log of %s does not say that %s", w.c.Instances[n].Label(), line)
			}
		}
		w.comesBack(w.c.Instances[(n+1)%len(hosts)], traffic)
	}
	w.stays(traffic)
	must.Succeed(w, w.c.WaitConverged(w.ctx))
	must.Succeed(w, traffic.Verify(w.ctx))
}

// secret writes a new secret where the page wants it.
func (w *harness) secret(root, name string) string {
	w.Helper()
	text := rand.Text()
	must.Succeed(w, os.WriteFile(filepath.Join(root, name), []byte(text+"\n"), 0o600))
	return text
}

// secretsOfTheirOwn gives each instance files of its own with the secrets of the cluster,
// where the page looks for them.
func (w *harness) secretsOfTheirOwn() {
	w.Helper()
	for _, i := range w.c.Instances {
		dir := filepath.Join(i.Dir, "secrets")
		must.Succeed(w, os.Mkdir(dir, 0o700))
		keep := func(name, from string) string {
			text, err := os.ReadFile(from)
			must.Succeed(w, err)
			path := filepath.Join(dir, name)
			must.Succeed(w, os.WriteFile(path, text, 0o600))
			return path
		}
		w.write(i, func(s table) {
			s["auth"] = table{"token_file": keep("client-token", w.c.TokenFile)}
			s["admin"] = table{"token_file": keep("admin-token", w.c.AdminTokenFile)}
			raft := s["raft"].(table)
			raft["secret_file"] = keep("raft", raft["secret_file"].(string))
			list, _ := nodes(s, vs)
			for _, n := range list {
				n := n.(table)
				n["token_file"] = keep(n["storage"].(string)+"-token", n["token_file"].(string))
			}
		})
		must.Succeed(w, i.Reload(w.ctx))
	}
}

// withCertificates stops all instances, and starts them with the certificates of tls init.
func (w *harness) withCertificates(root string) {
	w.Helper()
	made := filepath.Join(root, "praefect-tls")
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Terminate(w.ctx))
		dir := filepath.Join(i.Dir, "tls")
		must.Succeed(w, os.Mkdir(dir, 0o700))
		for _, name := range []string{"server.crt", "server.key", "raft.crt", "raft.key"} {
			text, err := os.ReadFile(filepath.Join(made, i.Label(), name))
			must.Succeed(w, err)
			must.Succeed(w, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		w.write(i, func(s table) {
			s["tls_listen_addr"] = "127.0.0.1:0"
			s["tls"] = table{"certificate_path": filepath.Join(dir, "server.crt"), "key_path": filepath.Join(dir, "server.key")}
			raft := s["raft"].(table)
			delete(raft, "secret_file")
			raft["certificate_path"], raft["key_path"] = filepath.Join(dir, "raft.crt"), filepath.Join(dir, "raft.key")
			raft["ca_path"] = filepath.Join(made, "raft-ca.crt")
		})
	}
	for _, i := range w.c.Instances {
		must.Succeed(w, i.Start())
	}
	for _, i := range w.c.Instances {
		must.Succeed(w, i.WaitReady(w.ctx))
	}
}

// work starts clients at the balancer.
func (w *harness) work(seeds *workload.Seeds) *workload.Traffic {
	w.Helper()
	traffic, err := workload.Start(w.ctx, w.c, vs, seeds.Paths(), workload.Config{
		Writers: 3, Readers: 3, WriteEvery: 200 * time.Millisecond, ReadEvery: 200 * time.Millisecond,
	})
	must.Succeed(w, err)
	w.Cleanup(traffic.Stop)
	return traffic
}

// stays wants the clients to have worked, all the time and without a failure, and ends them.
func (w *harness) stays(traffic *workload.Traffic) {
	w.Helper()
	w.progresses(traffic)
	traffic.Stop()
	f := traffic.Figures(workload.Window{})
	w.Logf("%d writes and %d reads", f.Writes, f.Reads)
	if f.Writes == 0 || f.Reads == 0 || f.WritesFailed+f.ReadsFailed > 0 {
		w.Errorf("%d writes, %d failed; %d reads, %d failed: %v", f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed, f.Faults)
	}
}

// progresses waits until more writes were acknowledged.
func (w *harness) progresses(traffic *workload.Traffic) {
	w.Helper()
	before := traffic.Acknowledged()
	w.eventually("writes go on", func() error {
		if n := traffic.Acknowledged() - before; n < 5 {
			return fmt.Errorf("%d more writes were acknowledged", n)
		}
		return nil
	})
}

// comesBack restarts an instance: it opens new connections to the others, and they to it.
func (w *harness) comesBack(i *cluster.Instance, traffic *workload.Traffic) {
	w.Helper()
	must.Succeed(w, scenario.Restart(w.ctx, i))
	w.progresses(traffic)
}

// allServe tells what keeps a storage from serving.
func (w *harness) allServe() error {
	status, err := w.c.Instances[0].Admin().Status(w.ctx, admin.StatusRequest{})
	if err != nil {
		return err
	}
	for _, v := range status.VirtualStorages {
		for _, s := range v.Storages {
			if s.State != state.Serving || s.Behind > 0 {
				return fmt.Errorf("%s is %s, behind %d", s.Name, s.State, s.Behind)
			}
		}
	}
	return nil
}

// refusesABadFile sends SIGHUP with a file of which one setting is good and one is not: none
// is taken, the process goes on, and takes the mended file.
func (w *harness) refusesABadFile(i *cluster.Instance) {
	w.Helper()
	good, err := os.ReadFile(i.Config)
	must.Succeed(w, err)
	pid := i.PID()
	w.write(i, func(s table) {
		s["auth"] = table{"token": "a token that nobody has"}
		s["raft"].(table)["secret_file"] = filepath.Join(i.Dir, "no such file")
	})
	if err := i.Reload(w.ctx); err == nil || !strings.Contains(err.Error(), "refused") {
		w.Fatalf("a bad file: got %v", err)
	}
	log, err := os.ReadFile(i.Log())
	must.Succeed(w, err)
	if !strings.Contains(string(log), "no such file") {
		w.Error("the log does not name the file that is missing")
	}
	// With the token of before.
	if _, err := i.Admin().Status(w.ctx, admin.StatusRequest{}); err != nil {
		w.Errorf("after a bad file: %v", err)
	}
	must.Succeed(w, os.WriteFile(i.Config, good, 0o600))
	must.Succeed(w, i.Reload(w.ctx))
	must.Succeed(w, i.Ready(w.ctx))
	if !i.Running() || i.PID() != pid {
		w.Error("the process has ended")
	}
}
