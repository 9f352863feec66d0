package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a certificate for 127.0.0.1 and its key.
func writePair(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return cert, key
}

// A renewed certificate is served after Reload; a damaged one leaves the old.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1)
	pair, err := ReadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := New(openTree(t, t.TempDir()), Options{Log: quiet, TLS: pair.Config()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := s.HTTP()
	go e.Serve(l) //nolint:errcheck // it ends with Shutdown
	defer e.Shutdown(t.Context())
	serial := func(version uint16) (int64, string) {
		client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: version}}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + l.Addr().String() + "/metrics")
		if err != nil {
			return 0, err.Error()
		}
		resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.Proto
	}
	if n, proto := serial(tls.VersionTLS13); n != 1 || proto != "HTTP/2.0" {
		t.Errorf("certificate %d over %s", n, proto)
	}
	if n, _ := serial(tls.VersionTLS11); n != 0 {
		t.Error("TLS 1.1 is accepted")
	}
	writePair(t, dir, 2)
	if err := pair.Reload(); err != nil {
		t.Error(err)
	}
	write(t, key, "damaged")
	if err := pair.Reload(); err == nil {
		t.Error("a damaged key was read")
	}
	if n, _ := serial(tls.VersionTLS13); n != 2 {
		t.Errorf("certificate %d after the renewal", n)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "::1": true, "0.0.0.0": false, "::": false, "10.0.0.1": false} {
		if got := Loopback(&net.TCPAddr{IP: net.ParseIP(address)}); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
