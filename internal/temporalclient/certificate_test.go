package temporalclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pair is a certificate of a name, and its key, as PEM.
func pair(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// shown is the name in the client certificate that a server sees.
func shown(t *testing.T, server tls.Certificate, client *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled := make(chan error, 1)
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), client)
		if err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until the server has seen the certificate
			err = conn.Close()
		}
		dialled <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	handshake := conn.(*tls.Conn).Handshake()
	_ = conn.Close()
	if err := errors.Join(handshake, <-dialled); handshake != nil {
		t.Fatal(err)
	}
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A renewed certificate is shown at the next connection; while its key is not there
// yet, the former one is.
func TestClientCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	write := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serverCert, serverKey := pair(t, "temporal")
	server, err := tls.X509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	firstCert, firstKey := pair(t, "first")
	write(ca, serverCert)
	write(cert, firstCert)
	write(key, firstKey)
	for name, value := range map[string]string{
		"TEMPORAL_CONFIG_FILE": filepath.Join(dir, "none.toml"), "TEMPORAL_ADDRESS": "127.0.0.1:7233",
		"TEMPORAL_TLS_CLIENT_CERT_PATH": cert, "TEMPORAL_TLS_CLIENT_KEY_PATH": key, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": ca,
	} {
		t.Setenv(name, value)
	}
	o, err := options()
	if err != nil {
		t.Fatal(err)
	}
	client := o.ConnectionOptions.TLS
	secondCert, secondKey := pair(t, "second")
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, "first"},
		{func() { write(cert, secondCert) }, "first"},
		{func() { write(key, secondKey) }, "second"},
		{func() { write(key, nil) }, "second"},
	} {
		step.change()
		if got := shown(t, server, client); got != step.want {
			t.Errorf("the certificate shown is %s's, want %s's", got, step.want)
		}
	}
}
