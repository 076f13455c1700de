package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
)

// security is the worked example of docs/operations.md, "A way to Temporal": a CA,
// certificates for the server and for its clients, and a key that signs JWTs.
type security struct {
	dir     string
	authors *x509.Certificate // the CA
	caKey   *ecdsa.PrivateKey
	tokens  *rsa.PrivateKey
}

// serverName is the name in the certificate that the server shows.
const serverName = "temporal"

// What the authorizer lets people and programs do.
const (
	mayLook  = namespace + ":read"
	mayWrite = namespace + ":write"
	mayAll   = "temporal-system:admin"
)

// lasts is how long certificates and tokens do.
const lasts = 24 * time.Hour

func newSecurity(dir string) (*security, error) {
	s := &security{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	s.authors = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keywave cluster test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, s.authors, s.authors, &s.caKey.PublicKey, s.caKey)
	if err != nil {
		return nil, err
	}
	if s.tokens, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	return s, errors.Join(s.write("ca.pem", "CERTIFICATE", der), s.certify("server", 2), s.certify("client", 3), s.publishKey())
}

// path is a file of the given name.
func (s *security) path(name string) string { return filepath.Join(s.dir, name) }

func (s *security) write(name, kind string, der []byte) error {
	return os.WriteFile(s.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// certify writes NAME.pem and NAME.key.
func (s *security) certify(name string, serial int64) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: s.authors.NotBefore, NotAfter: s.authors.NotAfter,
		DNSNames: []string{serverName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, s.authors, &key.PublicKey, s.caKey)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return errors.Join(err, s.write(name+".pem", "CERTIFICATE", der), s.write(name+".key", "PRIVATE KEY", private))
}

const keyID = "test"

// publishKey writes the public key of tokens as a JWKS.
func (s *security) publishKey() error {
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keyID,
		"n": b64(s.tokens.N.Bytes()), "e": b64(big.NewInt(int64(s.tokens.E)).Bytes()),
	}}})
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("keys.json"), set, 0o600)
}

// token is a JWT that says what its bearer may do.
func (s *security) token(permission string) (string, error) {
	head, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": keyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"sub": "keywave", "exp": s.authors.NotAfter.Unix(), "permissions": []string{permission}})
	if err != nil {
		return "", err
	}
	said := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(said))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.tokens, crypto.SHA256, sum[:])
	return said + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// server is the environment by which the server takes all this.
func (s *security) server() []string {
	ca, cert, key := s.path("ca.pem"), s.path("server.pem"), s.path("server.key")
	return []string{
		"TEMPORAL_TLS_FRONTEND_CERT=" + cert, "TEMPORAL_TLS_FRONTEND_KEY=" + key, "TEMPORAL_TLS_CLIENT1_CA_CERT=" + ca,
		"TEMPORAL_TLS_SERVER_CERT=" + cert, "TEMPORAL_TLS_SERVER_KEY=" + key, "TEMPORAL_TLS_SERVER_CA_CERT=" + ca,
		"TEMPORAL_TLS_INTERNODE_SERVER_NAME=" + serverName, "TEMPORAL_TLS_FRONTEND_SERVER_NAME=" + serverName,
		"TEMPORAL_TLS_REQUIRE_CLIENT_AUTH=true", "USE_INTERNAL_FRONTEND=true",
		"TEMPORAL_AUTH_AUTHORIZER=default", "TEMPORAL_AUTH_CLAIM_MAPPER=default", "TEMPORAL_JWT_KEY_SOURCE1=file://" + s.path("keys.json"),
	}
}

// bearer is the environment of a client with a certificate and, unless permission is
// empty, a token.
func (s *security) bearer(permission string) ([]string, error) {
	env := []string{
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + s.path("ca.pem"), "TEMPORAL_TLS_SERVER_NAME=" + serverName,
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + s.path("client.pem"), "TEMPORAL_TLS_CLIENT_KEY_PATH=" + s.path("client.key"),
	}
	if permission == "" {
		return env, nil
	}
	token, err := s.token(permission)
	return append(env, "TEMPORAL_API_KEY="+token), err
}

// options are those of a client in this process that may look.
func (s *security) options(address string) (client.Options, error) {
	o := client.Options{HostPort: address, Namespace: namespace, Logger: silent{}}
	pair, err := tls.LoadX509KeyPair(s.path("client.pem"), s.path("client.key"))
	if err != nil {
		return o, err
	}
	authors, err := os.ReadFile(s.path("ca.pem"))
	if err != nil {
		return o, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authors)
	o.ConnectionOptions.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: serverName}
	token, err := s.token(mayLook)
	o.Credentials = client.NewAPIKeyStaticCredentials(token)
	return o, err
}
