package sink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// tlsFiles are the options of TLS with their files, which are read again.
type tlsFiles struct {
	tlsOptions    TLSOptions
	ca, cert, key *file
}

// newTLSFiles warns where anyone could be the receiver.
func newTLSFiles(o TLSOptions, env Environment) tlsFiles {
	if o.InsecureSkipVerify {
		env.Log.Warn("the receiver's certificate is not verified: anyone on the way can read and change what is sent",
			"key", "tls.insecure_skip_verify")
	}
	return tlsFiles{
		tlsOptions: o,
		ca:         newFile("tls.ca_file", o.CAFile),
		cert:       newFile("tls.cert_file", o.CertFile),
		key:        newFile("tls.key_file", o.KeyFile),
	}
}

// tlsContents are what the files have: ca, cert and key.
type tlsContents [3][]byte

func (a tlsContents) equal(b tlsContents) bool {
	return bytes.Equal(a[0], b[0]) && bytes.Equal(a[1], b[1]) && bytes.Equal(a[2], b[2])
}

func (t *tlsFiles) contents() (tlsContents, error) {
	var c tlsContents
	for i, f := range []*file{t.ca, t.cert, t.key} {
		var err error
		if c[i], err = f.content(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (t *tlsFiles) tlsConfig(c tlsContents) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.tlsOptions.ServerName,
		InsecureSkipVerify: t.tlsOptions.InsecureSkipVerify, //nolint:gosec // asked for, and warned of
	}
	if t.ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c[0]) {
			return nil, fmt.Errorf("tls.ca_file: %s has no certificate in PEM", t.ca.path)
		}
	}
	if t.cert != nil {
		pair, err := tls.X509KeyPair(c[1], c[2])
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file %s and tls.key_file %s: %w", t.cert.path, t.key.path, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
