package serve

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
)

// A Certificate is a server's certificate and key in files, which Reload reads
// again: connections made afterwards get the new one.
type Certificate struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
}

// ReadCertificate reads a certificate chain and its key, both PEM.
func ReadCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	return c, c.Reload()
}

// Reload reads the files again; when they are no good the old pair stays.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("the TLS certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.current.Store(&pair)
	return nil
}

// Config returns the server's side of TLS, version 1.2 or newer.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current.Load(), nil
	}}
}

// Loopback reports that an address can be reached from this machine alone.
func Loopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
