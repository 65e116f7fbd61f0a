package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"praefect/test/workload"
)

// silent keeps n connections to an address on which only greeting is said. Where again is
// true each is made again as soon as it is closed. It counts the closed ones.
func silent(ctx context.Context, n int, addr, greeting string, again bool) (closed *atomic.Int64, running *sync.WaitGroup) {
	closed, running = new(atomic.Int64), new(sync.WaitGroup)
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				if conn, err := dial(ctx, addr); err == nil {
					if _, err := io.WriteString(conn, greeting); err == nil {
						_, _ = io.Copy(io.Discard, conn) // until it is closed
					}
					_ = conn.Close()
					closed.Add(1)
				}
				if !again {
					return
				}
				workload.Wait(ctx, 200*time.Millisecond)
			}
		})
	}
	return closed, running
}

// silentClients keeps 2,000 connections that say nothing.
func silentClients(ctx context.Context, w *harness) error {
	_, running := silent(ctx, 2000, w.victim.Addr, "", true)
	running.Wait()
	return ctx.Err()
}

// silentPeers keeps 300 connections to each Raft port that say nothing.
func silentPeers(ctx context.Context, w *harness) error {
	var all []*sync.WaitGroup
	for _, i := range w.c.Instances {
		_, running := silent(ctx, 300, i.RaftAddr, "", true)
		all = append(all, running)
	}
	for _, running := range all {
		running.Wait()
	}
	return ctx.Err()
}

// halfOpenTLS begins 500 handshakes and finishes none: the instance ends each of them.
func halfOpenTLS(ctx context.Context, w *harness) error {
	addr, err := tlsAddr(w.victim)
	if err != nil {
		return err
	}
	const n = 500
	// The head of a record of 512 bytes, and the beginning of its content.
	closed, running := silent(ctx, n, addr, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false)
	running.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("the instance has ended %d of %d half-open handshakes only", closed.Load(), n)
	}
	return nil
}

// writeCertificate makes a certificate for the listeners for TLS, which no client here finishes
// a handshake with.
func writeCertificate(certificate, key string) error {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("write a certificate: %w", err)
		}
	}
	return nil
}
