package install

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/place"
	"praefect/test/runbook"
)

// uid is the user of the image.
const uid = 65532

var deployed = filepath.Join("..", "..", "deploy")

// TestContainer_runs makes the root of the image by the script that the Dockerfile runs, and starts
// an instance in it, as the image's user.
func TestContainer_runs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	dockerfile, err := os.ReadFile(filepath.Join(deployed, "container", "Dockerfile"))
	must.Succeed(t, err)
	for _, line := range []string{
		"RUN VERSION=$VERSION deploy/container/build.sh /image\n", "FROM scratch\nCOPY --from=build /image/ /\nUSER 65532:65532\n",
		"ENV STATE_DIRECTORY=/var/lib/praefect\n", `ENTRYPOINT ["/usr/bin/praefect"]` + "\n", `CMD ["-config", "/etc/praefect/config.toml"]` + "\n",
	} {
		if !strings.Contains(string(dockerfile), "\n"+line) {
			t.Errorf("the Dockerfile lacks %q", line)
		}
	}
	root := filepath.Join(t.TempDir(), "image")
	build := exec.CommandContext(t.Context(), "deploy/container/build.sh", root)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "VERSION=1.2.3")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v: %s", err, out)
	}
	for _, program := range []string{"praefect", "praefectctl"} {
		binary, err := elf.Open(filepath.Join(root, "usr/bin", program))
		must.Succeed(t, err)
		if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 || binary.Section(".interp") != nil {
			t.Errorf("%s is not static: %q, %v", program, libraries, err)
		}
		must.Succeed(t, binary.Close())
	}

	disk := t.TempDir()
	token := filepath.Join(root, "etc/praefect/token")
	must.Succeed(t, os.WriteFile(token, []byte("secret\n"), 0o400))
	must.Succeed(t, os.Chown(token, uid, uid))
	gitaly, metrics := free(t), free(t)
	start(t, place.Place{}, built.Path(cluster.TestGitaly), "-listen", "tcp://"+gitaly, "-storage", "gitaly-1="+disk, "-token-file", token)
	settings := fmt.Sprintf("listen_addr = %q\nprometheus_listen_addr = %q\n[auth]\ntoken_file = \"/etc/praefect/token\"\n"+
		"[raft]\nbegin_without_postgres = true\n[database]\nhost = \"127.0.0.1\"\nport = 1\nsslmode = \"disable\"\n"+
		"[[virtual_storage]]\nname = \"default\"\n[[virtual_storage.node]]\nstorage = \"gitaly-1\"\naddress = \"tcp://%s\"\ntoken_file = \"/etc/praefect/token\"\n",
		free(t), metrics, gitaly)
	must.Succeed(t, os.WriteFile(filepath.Join(root, "etc/praefect/config.toml"), []byte(settings), 0o644))

	var out bytes.Buffer
	run := func(args ...string) *exec.Cmd {
		return &exec.Cmd{
			Path: args[0], Args: args, Dir: "/", Env: []string{"STATE_DIRECTORY=/var/lib/praefect"}, Stdout: &out, Stderr: &out,
			SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL},
		}
	}
	if err := run("/usr/bin/praefect", "version").Run(); err != nil || out.String() != "Praefect, version 1.2.3\n" {
		t.Fatalf("praefect version: %v: %s", err, &out)
	}
	out.Reset()
	instance := run("/usr/bin/praefect", "-config", "/etc/praefect/config.toml")
	ended, err := place.Place{}.Start(instance)
	must.Succeed(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	awaitOK(t, ctx, "http://"+metrics+"/readyz", ended)
	must.Succeed(t, instance.Process.Signal(syscall.SIGTERM))
	<-ended
	if !instance.ProcessState.Success() {
		t.Errorf("the instance ended with %s: %s", instance.ProcessState, &out)
	}
}

// free is an address on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	must.Succeed(t, listener.Close())
	return listener.Addr().String()
}

// TestContainer_settingsOfThePage carries out docs/operations/container.md: the files that compose
// and the manifests name are made, and are valid settings.
func TestContainer_settingsOfThePage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chown needs root")
	}
	page := runbook.Open(t, "container.md")
	for block, names := range map[string][]string{
		"compose":    {"cluster/praefect-1/config.toml", "cluster/praefect-2/config.toml", "cluster/praefect-3/config.toml"},
		"kubernetes": {"cluster/praefect-0.toml", "cluster/praefect-1.toml", "cluster/praefect-2.toml"},
	} {
		dir := t.TempDir()
		path := []string{"PATH=" + string(built) + ":" + os.Getenv("PATH")}
		page.CarryOut(runbook.OnMachine(block, func(ctx context.Context, command string) (string, error) {
			return shell(ctx, dir, path, command)
		}), block)
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(dir, name))
			must.Succeed(t, err)
			// The secrets are where the container has them.
			here := strings.ReplaceAll(string(text), "/etc/praefect/", filepath.Join(dir, "cluster", filepath.Base(filepath.Dir(name)))+"/")
			if block == "kubernetes" {
				here = strings.ReplaceAll(string(text), "/etc/praefect/", filepath.Join(dir, "cluster/praefect-0")+"/")
			}
			cmd := exec.CommandContext(t.Context(), built.Path(cluster.Praefect), "configuration", "validate")
			cmd.Stdin = strings.NewReader(here)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v: %s", name, err, out)
			}
		}
		if block == "compose" {
			composeNames(t, dir)
		}
	}
}

// composeNames reads compose.yaml strictly, and looks for each file, volume, network and secret that
// a service names; dir is where the page made its files.
func composeNames(t *testing.T, dir string) {
	t.Helper()
	file, err := os.Open(filepath.Join(deployed, "container", "compose.yaml"))
	must.Succeed(t, err)
	defer func() { _ = file.Close() }() // it was only read
	type service struct {
		Image       string
		Build       struct{ Context, Dockerfile string }
		Restart     string
		GracePeriod string         `yaml:"stop_grace_period"`
		ReadOnly    bool           `yaml:"read_only"`
		CapDrop     []string       `yaml:"cap_drop"`
		SecurityOpt []string       `yaml:"security_opt"`
		Ulimits     map[string]int `yaml:"ulimits"`
		Networks    []string
		Hostname    string
		Volumes     []string
		DependsOn   []string `yaml:"depends_on"`
		Environment map[string]string
		Ports       []string
		Secrets     []string
	}
	var compose struct {
		Name     string
		Instance service `yaml:"x-instance"`
		Services map[string]service
		Secrets  map[string]struct{ File string }
		Volumes  map[string]any
		Networks map[string]any
	}
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	must.Succeed(t, decoder.Decode(&compose))
	// A path is beside compose.yaml, where the page says that its commands are run.
	exists := func(path string) bool {
		for _, base := range []string{dir, filepath.Join(deployed, "container")} {
			if _, err := os.Stat(filepath.Join(base, path)); err == nil {
				return true
			}
		}
		return false
	}
	instances := 0
	for name, s := range compose.Services {
		if s.Image == "praefect" {
			instances++
			if s.Hostname != name || !s.ReadOnly || s.GracePeriod != "90s" || !exists(filepath.Join(s.Build.Context, s.Build.Dockerfile)) {
				t.Errorf("%s: %+v", name, s)
			}
		}
		for _, volume := range s.Volumes {
			source, target, _ := strings.Cut(volume, ":")
			_, named := compose.Volumes[source]
			if !strings.HasPrefix(target, "/") || !named && !exists(source) {
				t.Errorf("%s mounts %s, which does not exist", name, volume)
			}
		}
		for _, network := range s.Networks {
			if _, ok := compose.Networks[network]; !ok {
				t.Errorf("%s is in the unknown network %s", name, network)
			}
		}
		for _, other := range s.DependsOn {
			if _, ok := compose.Services[other]; !ok {
				t.Errorf("%s depends on the unknown service %s", name, other)
			}
		}
		for _, secret := range s.Secrets {
			if !exists(compose.Secrets[secret].File) {
				t.Errorf("%s has the secret %s, whose file does not exist", name, secret)
			}
		}
	}
	if instances != 3 || !slices.Equal(compose.Services["balancer"].Ports, []string{"2305:2305"}) {
		t.Errorf("%d instances, the balancer is %+v", instances, compose.Services["balancer"])
	}
}

// TestKubernetes_isWellFormed decodes the manifests into the types of Kubernetes' API, and compares
// the names in them that must be the same.
func TestKubernetes_isWellFormed(t *testing.T) {
	path, err := filepath.Abs(filepath.Join(deployed, "kubernetes", "praefect.yaml"))
	must.Succeed(t, err)
	check := exec.CommandContext(t.Context(), "go", "run", ".", path)
	check.Dir = t.TempDir()
	for from, to := range map[string]string{"go.mod": "go.mod", "go.sum": "go.sum", "main.go.txt": "main.go"} {
		must.Succeed(t, copyFile(filepath.Join("testdata", "manifests", from), filepath.Join(check.Dir, to)))
	}
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), "is well formed") != 4 {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(path)
	must.Succeed(t, err)
	kinds := make(map[string]map[string]any)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for range 4 {
		var document map[string]any
		must.Succeed(t, decoder.Decode(&document))
		kinds[document["kind"].(string)+"/"+at(document, "metadata", "name").(string)] = document
	}
	headless, clients := kinds["Service/praefect"], kinds["Service/praefect-clients"]
	set, budget := kinds["StatefulSet/praefect"], kinds["PodDisruptionBudget/praefect"]
	labels := fmt.Sprint(at(set, "spec", "template", "metadata", "labels"))
	for what, got := range map[string]any{
		"selector of the set": at(set, "spec", "selector", "matchLabels"), "selector of the names": at(headless, "spec", "selector"),
		"selector of the clients' service": at(clients, "spec", "selector"), "selector of the budget": at(budget, "spec", "selector", "matchLabels"),
	} {
		if fmt.Sprint(got) != labels {
			t.Errorf("the %s is %v, the pods have %s", what, got, labels)
		}
	}
	if at(headless, "spec", "clusterIP") != "None" || at(headless, "spec", "publishNotReadyAddresses") != true ||
		at(set, "spec", "serviceName") != "praefect" || at(set, "spec", "podManagementPolicy") != "Parallel" || at(budget, "spec", "maxUnavailable") != 1 {
		t.Error("the pods have no names before they are ready, do not start together, or are taken together")
	}
	pod := at(set, "spec", "template", "spec").(map[string]any)
	container := pod["containers"].([]any)[0]
	for probe, want := range map[string]string{"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"} {
		if got := at(container, probe, "httpGet", "path"); got != want {
			t.Errorf("%s asks %v, want %s", probe, got, want)
		}
	}
	volumes := make(map[any]bool)
	for _, volume := range pod["volumes"].([]any) {
		volumes[at(volume, "name")] = true
	}
	for _, claim := range at(set, "spec", "volumeClaimTemplates").([]any) {
		volumes[at(claim, "metadata", "name")] = true
	}
	for _, mount := range at(container, "volumeMounts").([]any) {
		if !volumes[at(mount, "name")] {
			t.Errorf("the mount %v has no volume", at(mount, "name"))
		}
	}
}

// at goes down a document.
func at(document any, path ...string) any {
	for _, key := range path {
		table, ok := document.(map[string]any)
		if !ok {
			return nil
		}
		document = table[key]
	}
	return document
}
