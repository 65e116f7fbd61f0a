package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"praefect/test/must"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = time.Minute // bounds waits that only a defect makes long
	secret   = "sixteen or more characters"
	another  = "another of sixteen or more"
)

// listen opens a port and lets connections in until the end of the test.
func listen(t *testing.T, c Config) *Transport {
	t.Helper()
	if c.Cluster == nil {
		c.Cluster = func() string { return "" }
	}
	if c.Admit == nil {
		c.Admit = func(name, _ string) bool { return slices.Contains([]string{"a", "b"}, name) }
	}
	c.ListenAddr, c.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(t.Output(), nil))
	tr, err := Listen(t.Context(), c)
	must.Succeed(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { tr.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return tr
}

// authority signs certificates.
type authority struct {
	path string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	must.Succeed(t, err)
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.path = write(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", der)
	return a
}

func write(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	must.Succeed(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// sign returns credentials with a certificate for the name.
func (a *authority) sign(t *testing.T, name string, change ...func(*x509.Certificate)) Credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must.Succeed(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must.Succeed(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must.Succeed(t, err)
	dir := t.TempDir()
	return Credentials{
		CertificatePath: write(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", der),
		KeyPath:         write(t, filepath.Join(dir, "key.pem"), "EC PRIVATE KEY", keyDER),
		CAPath:          a.path,
	}
}

func TestTransport_whoIsLetIn(t *testing.T) {
	good, bad := newAuthority(t), newAuthority(t)
	shared := Credentials{Secret: secret}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }
	cluster := func(id string) func() string { return func() string { return id } }
	for _, tt := range []struct {
		name string
		a, b Config
		who  wanted
		says string // why not; empty if they meet
	}{
		{name: "the same secret", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared}},
		{name: "certificates", a: Config{Name: "a", Credentials: good.sign(t, "a")}, b: Config{Name: "b", Credentials: good.sign(t, "b")}},
		{name: "names in other letters", a: Config{Name: "a", Credentials: good.sign(t, "A")}, b: Config{Name: "b", Credentials: good.sign(t, "B")}},
		{name: "the id that was meant", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared}, who: wanted{id: "id of b"}},
		{name: "the same cluster", a: Config{Name: "a", Credentials: shared, Cluster: cluster("x")}, b: Config{Name: "b", Credentials: shared, Cluster: cluster("x")}},
		{name: "one has no cluster yet", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared, Cluster: cluster("x")}},
		{
			name: "somebody vouches for it",
			a:    Config{Name: "a", Credentials: shared, Admit: func(string, string) bool { return false }},
			b:    Config{Name: "b", Credentials: shared}, who: wanted{name: "b"},
		},

		{name: "a new secret at the dialler", a: Config{Name: "a", Credentials: Credentials{Secret: another, FormerSecret: secret}}, b: Config{Name: "b", Credentials: shared}},
		{name: "a new secret at the acceptor", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: Credentials{Secret: another, FormerSecret: secret}}},
		{name: "no former secret at the dialler any more", a: Config{Name: "a", Credentials: Credentials{Secret: another}}, b: Config{Name: "b", Credentials: Credentials{Secret: another, FormerSecret: secret}}},
		{name: "no former secret at the acceptor any more", a: Config{Name: "a", Credentials: Credentials{Secret: another, FormerSecret: secret}}, b: Config{Name: "b", Credentials: Credentials{Secret: another}}},
		{name: "none of two secrets", a: Config{Name: "a", Credentials: Credentials{Secret: another, FormerSecret: another + "!"}}, b: Config{Name: "b", Credentials: shared}, says: "does not know the secret"},
		{name: "another secret", a: Config{Name: "a", Credentials: Credentials{Secret: secret + "!"}}, b: Config{Name: "b", Credentials: shared}, says: "does not know the secret"},
		{name: "no certificate but a secret", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: good.sign(t, "b")}, says: "bad certificate"},
		{name: "no secret but a certificate", a: Config{Name: "a", Credentials: good.sign(t, "a")}, b: Config{Name: "b", Credentials: shared}, says: "unknown authority"},
		{name: "another authority", a: Config{Name: "a", Credentials: bad.sign(t, "a")}, b: Config{Name: "b", Credentials: good.sign(t, "b")}, says: "unknown authority"},
		{name: "the acceptor's authority is another", a: Config{Name: "a", Credentials: good.sign(t, "a")}, b: Config{Name: "b", Credentials: bad.sign(t, "b")}, says: "unknown authority"},
		{name: "another's certificate", a: Config{Name: "a", Credentials: good.sign(t, "b")}, b: Config{Name: "b", Credentials: good.sign(t, "b")}, says: `the certificate of "a" is for ["b"]`},
		{name: "an expired certificate", a: Config{Name: "a", Credentials: good.sign(t, "a", expired)}, b: Config{Name: "b", Credentials: good.sign(t, "b")}, says: "certificate"},
		{name: "a name that is not listed", a: Config{Name: "c", Credentials: shared}, b: Config{Name: "b", Credentials: shared}, says: `"c" is no peer of "b"`},
		{name: "an acceptor that is not listed", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "c", Credentials: shared}, says: `"c" is no peer of "a"`},
		{name: "another id than was meant", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared}, who: wanted{id: "former id of b"}, says: "this is the instance id of b"},
		{name: "another name than was meant", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared}, who: wanted{name: "d"}, says: `this is "b", not "d"`},
		{name: "another cluster", a: Config{Name: "a", Credentials: shared, Cluster: cluster("x")}, b: Config{Name: "b", Credentials: shared, Cluster: cluster("y")}, says: "of cluster x"},
		{name: "removed", a: Config{Name: "a", Credentials: shared, Removed: func(id string) bool { return id == "id of b" }}, b: Config{Name: "b", Credentials: shared}, says: "was removed from the cluster"},
		{name: "removed, as the other knows", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared, Removed: func(id string) bool { return id == "id of a" }}, says: "was removed from the cluster"},
		{name: "another one was removed", a: Config{Name: "a", Credentials: shared}, b: Config{Name: "b", Credentials: shared, Removed: func(id string) bool { return id == "former id of a" }}},
		{name: "itself", a: Config{Name: "a", ID: "one", Credentials: shared}, b: Config{Name: "b", ID: "one", Credentials: shared}, says: "the instance itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []*Config{&tt.a, &tt.b} {
				if c.ID == "" {
					c.ID = "id of " + c.Name
				}
			}
			a, b := listen(t, tt.a), listen(t, tt.b)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := a.dial(ctx, b.AdvertiseAddr(), callKind, tt.who)
			if tt.says != "" {
				if err == nil {
					t.Fatal("let in")
				}
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want it to say %q", err, tt.says)
				}
				return
			}
			must.Succeed(t, err)
			accepted, err := b.Calls().Accept()
			must.Succeed(t, err)
			defer accepted.Close()
			if p := c.Peer(); p.Name != tt.b.Name || p.ID != tt.b.ID {
				t.Errorf("met %+v", p)
			}
			if p := accepted.RemoteAddr().(Addr); p.Name != tt.a.Name || p.ID != tt.a.ID {
				t.Errorf("was met by %+v", p)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(accepted, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Both ends must be able to act on it: the one that connects, and the one that is connected to.
func TestTransport_bothEndsLearnOfAnotherCluster(t *testing.T) {
	good := newAuthority(t)
	for name, credentials := range map[string]func(name string) Credentials{
		"secret":       func(string) Credentials { return Credentials{Secret: secret} },
		"certificates": func(name string) Credentials { return good.sign(t, name) },
	} {
		t.Run(name, func(t *testing.T) {
			met := make(chan OtherCluster, 2)
			side := func(name, cluster string) *Transport {
				return listen(t, Config{
					Name: name, ID: "id of " + name, Credentials: credentials(name), Cluster: func() string { return cluster },
					MetOther: func(o *OtherCluster) { met <- *o },
				})
			}
			a, b := side("a", "x"), side("b", "y")
			_, err := a.Meet(t.Context(), b.AdvertiseAddr(), "b")
			want := OtherCluster{Name: "b", ID: "id of b", Cluster: "y", Own: "x"}
			if other, ok := errors.AsType[*OtherCluster](err); !ok || *other != want {
				t.Errorf("got %v, want %+v", err, want)
			}
			got := map[OtherCluster]bool{<-met: true, <-met: true}
			if !got[want] || !got[OtherCluster{Name: "a", ID: "id of a", Cluster: "x", Own: "y"}] {
				t.Errorf("told of %+v", got)
			}
		})
	}
}

// Nobody is kept from its work by a word that anybody could have said.
func TestTransport_doesNotBelieveAnotherClusterWithoutProof(t *testing.T) {
	a := listen(t, Config{
		Name: "a", ID: "id of a", Credentials: Credentials{Secret: secret}, Cluster: func() string { return "x" },
		MetOther: func(o *OtherCluster) { t.Errorf("told of %+v", o) },
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	g, err := newGuard(Credentials{Secret: secret + "!"})
	must.Succeed(t, err)
	ended := make(chan error, 1)
	go func() {
		plain, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		c := tls.Server(plain, g.tls())
		var h hello
		err = errors.Join(readFrame(c, &h), writeFrame(c, answer{Refusal: "no", Name: "b", ID: "id of b", Cluster: "y", proofs: proofs{Proof: []byte("none")}}))
		ended <- errors.Join(err, c.Close(), l.Close())
	}()
	_, err = a.Meet(t.Context(), l.Addr().String(), "b")
	if _, ok := errors.AsType[*OtherCluster](err); ok || !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListen_credentials(t *testing.T) {
	good := newAuthority(t).sign(t, "a")
	missing := good
	missing.KeyPath = "/does/not/exist"
	noCA := good
	noCA.CAPath = good.KeyPath
	for name, c := range map[string]Credentials{"none": {}, "no key": missing, "no authority": noCA} {
		if tr, err := Listen(t.Context(), Config{Name: "a", ListenAddr: "127.0.0.1:0", Credentials: c}); err == nil {
			t.Errorf("%s: listens", name)
			tr.Close()
		}
	}
}

// silent opens connections that say nothing, and keeps count of them.
func silent(t *testing.T, addr string, n int) (open func() int) {
	t.Helper()
	var mu sync.Mutex
	left := n
	for range n {
		c, err := net.Dial("tcp", addr)
		must.Succeed(t, err)
		t.Cleanup(func() { c.Close() })
		go func() { // until the other side closes it
			_, _ = c.Read(make([]byte, 1))
			mu.Lock()
			defer mu.Unlock()
			left--
		}()
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return left
	}
}

// TestTransport_strangersCostLittle: of any number of silent connections few are
// open, they go by themselves, and a peer gets in at the first attempt.
func TestTransport_strangersCostLittle(t *testing.T) {
	shared := Credentials{Secret: secret}
	b := listen(t, Config{Name: "b", ID: "b", Credentials: shared})
	a := listen(t, Config{Name: "a", ID: "a", Credentials: shared})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	goroutines := runtime.NumGoroutine()
	for range 3 {
		open := silent(t, b.AdvertiseAddr(), 100)
		c, err := a.dial(ctx, b.AdvertiseAddr(), callKind, wanted{})
		if err != nil {
			t.Fatalf("strangers keep a peer out: %v", err)
		}
		if n := b.openings.len(); n > handshakes {
			t.Errorf("%d connections have proved nothing, the limit is %d", n, handshakes)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 3*100+3*handshakes+50 { // 300 are the test's own
			t.Errorf("%d goroutines", n)
		}
		c.Close()
		for open() > 0 {
			pause(ctx, 10*time.Millisecond)
			if ctx.Err() != nil {
				t.Fatalf("%d silent connections are never closed", open())
			}
		}
	}
}

// TestOpenings_listedHosts: strangers take no slot of theirs, and each kind makes
// room for its own.
func TestOpenings_listedHosts(t *testing.T) {
	var o openings
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.lookup(ctx, []string{"praefect-2.internal", "unknown"}, func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "unknown" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.2"), netip.MustParseAddr("fd00::2")}, nil
	})
	from := func(address string) net.Conn { return &remote{address: address} }
	listed := []net.Conn{from("10.0.0.2:4000"), from("[fd00::2]:4000"), from("praefect-2.internal:1")}
	var slots []opening
	for _, c := range listed {
		slot, oldest := o.begin(c)
		if oldest != nil {
			t.Fatal("there was room")
		}
		slots = append(slots, slot)
	}
	var strangers []net.Conn
	for n := range 3 * handshakes {
		c := from("10.0.0.3:4000")
		strangers = append(strangers, c)
		_, oldest := o.begin(c)
		switch {
		case n < handshakes && oldest != nil:
			t.Fatalf("stranger %d: there was room", n)
		case n >= handshakes && oldest != strangers[n-handshakes]:
			t.Fatalf("stranger %d: %v makes room, want the oldest stranger", n, oldest)
		}
	}
	for _, slot := range slots {
		slot.end()
		slot.end()
	}
	if n := o.len(); n != handshakes {
		t.Errorf("%d are left", n)
	}
}

// remote is a connection from somewhere.
type remote struct {
	net.Conn
	address string
}

func (r *remote) RemoteAddr() net.Addr { return advertised(r.address) }

func TestTransport_kill(t *testing.T) {
	shared := Credentials{Secret: secret}
	a := listen(t, Config{Name: "a", ID: "a", Credentials: shared})
	b := listen(t, Config{Name: "b", ID: "b", Credentials: shared})
	out, err := a.dial(t.Context(), b.AdvertiseAddr(), callKind, wanted{})
	must.Succeed(t, err)
	defer out.Close()
	in, err := b.Calls().Accept()
	must.Succeed(t, err)
	b.Kill()
	for what, c := range map[string]net.Conn{"its own": in, "its peer's": out} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s end goes on", what)
		}
	}
	if _, err := b.dial(t.Context(), a.AdvertiseAddr(), callKind, wanted{}); !errors.Is(err, ErrKilled) {
		t.Errorf("dials: %v, want %v", err, ErrKilled)
	}
	if _, err := a.dial(t.Context(), b.AdvertiseAddr(), callKind, wanted{}); err == nil {
		t.Error("lets others in")
	}
	if refuses, err := a.Refuses(t.Context(), b.AdvertiseAddr()); refuses || err != nil {
		t.Errorf("the port refuses (%t, %v) before the end", refuses, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if refuses, err := a.Refuses(t.Context(), b.AdvertiseAddr()); !refuses || err != nil {
		t.Errorf("the port is open after the end (%t, %v)", refuses, err)
	}
}

func TestTransport_portStaysOpenAfterRun(t *testing.T) {
	tr, err := Listen(t.Context(), Config{Name: "a", ListenAddr: "127.0.0.1:0", Credentials: Credentials{Secret: secret}})
	must.Succeed(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr.Run(ctx)
	if refuses, err := tr.Refuses(t.Context(), tr.AdvertiseAddr()); refuses || err != nil {
		t.Errorf("the port refuses (%t, %v)", refuses, err)
	}
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTransport_certificatesAreReadAnew(t *testing.T) {
	ca := newAuthority(t)
	a := listen(t, Config{Name: "a", ID: "a", Credentials: ca.sign(t, "a")})
	expired := ca.sign(t, "b", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	b := listen(t, Config{Name: "b", ID: "b", Credentials: expired})
	if c, err := a.dial(t.Context(), b.AdvertiseAddr(), callKind, wanted{}); err == nil {
		c.Close()
		t.Fatal("an expired certificate is good enough")
	}
	fresh := ca.sign(t, "b")
	for from, to := range map[string]string{fresh.CertificatePath: expired.CertificatePath, fresh.KeyPath: expired.KeyPath} {
		must.Succeed(t, os.Rename(from, to))
	}
	c, err := a.dial(t.Context(), b.AdvertiseAddr(), callKind, wanted{})
	must.Succeed(t, err)
	c.Close()
}

// An instance is known to be of the own cluster by a connection that is open, unless it was of none when
// that was opened.
func TestTransport_connected(t *testing.T) {
	for cluster, want := range map[string]bool{"x": true, "": false} {
		t.Run("of cluster "+cluster, func(t *testing.T) {
			side := func(name, cluster string) *Transport {
				return listen(t, Config{
					Name: name, ID: "id of " + name, Credentials: Credentials{Secret: secret}, Cluster: func() string { return cluster },
				})
			}
			a, b := side("a", cluster), side("b", "x")
			if a.Connected("b") || b.Connected("a") {
				t.Error("connected before there was a connection")
			}
			c, err := a.dial(t.Context(), b.AdvertiseAddr(), callKind, wanted{name: "b"})
			must.Succeed(t, err)
			taken, err := b.Calls().Accept()
			must.Succeed(t, err)
			if b.Connected("a") != want || a.Connected("b") != want || b.Connected("c") {
				t.Errorf("a is connected: %v, b: %v, want %v", a.Connected("b"), b.Connected("a"), want)
			}
			must.Succeed(t, c.Close())
			must.Succeed(t, taken.Close())
			if a.Connected("b") || b.Connected("a") {
				t.Error("connected after the end")
			}
		})
	}
}
