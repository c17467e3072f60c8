package sasl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// handshake returns the state of a TLS connection, as the client sees it.
func handshake(t *testing.T) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	left, right := net.Pipe()
	defer left.Close()
	defer right.Close()
	server := tls.Server(right, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	go server.Handshake() //nolint:errcheck // the client sees it
	client := tls.Client(left, &tls.Config{InsecureSkipVerify: true})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1)
		server.Read(buf) //nolint:errcheck // takes what ends the handshake
	}()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	right.Close()
	<-done
	state := client.ConnectionState()
	return &state
}
