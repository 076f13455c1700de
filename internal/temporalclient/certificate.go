package temporalclient

import (
	"crypto/tls"
	"sync"

	"go.temporal.io/sdk/contrib/envconfig"
)

// renewed has the client certificate read again whenever a connection to Temporal is
// made, where it stands in files: certificates are often short-lived, and whoever
// renews them replaces the files.
func renewed(config *tls.Config, profile envconfig.ClientConfigProfile) {
	if config == nil || profile.TLS == nil || profile.TLS.ClientCertPath == "" || len(config.Certificates) == 0 {
		return
	}
	files := &certificate{cert: profile.TLS.ClientCertPath, key: profile.TLS.ClientKeyPath, last: config.Certificates[0]}
	config.Certificates, config.GetClientCertificate = nil, files.present
}

// certificate is a certificate and its key in files.
type certificate struct {
	cert, key string

	mu   sync.Mutex
	last tls.Certificate
}

// present is what the files hold. While they cannot be used, as when only one of them
// is replaced yet, it is what they held before.
func (c *certificate) present(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, err := tls.LoadX509KeyPair(c.cert, c.key); err == nil {
		c.last = now
	}
	present := c.last
	return &present, nil
}
