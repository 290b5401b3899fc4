package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"
)

// Remedy says what to do about a connection that did not come about; "" where the error itself says all there is.
func Remedy(err error) string {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + name.Name + " doesn't resolve: check the host, and the DNS where this runs"
	}
	if hint := certificateRemedy(err); hint != "" {
		return hint
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "what answers there doesn't speak TLS: check the port, or turn TLS off"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port, and that the receiver runs"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to that address: check the host and the network"
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "nothing answers there: check the host, and whether a NetworkPolicy or a firewall lets this through"
	}
	return ""
}

// certificateRemedy is for what either side finds wrong with the other's certificate.
func certificateRemedy(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "name the authority that signed the receiver's certificate in tls.ca_file"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the receiver's certificate is for " + namesOf(name.Certificate) + ": connect to such a name, or set tls.server_name to it"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "the receiver's certificate is not valid at this time: renew it, or set the clock right"
		}
		return "the receiver's certificate can't be used for this: have another one made"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "check the receiver's certificate and tls.ca_file"
	}
	// An alert that the other side sent; crypto/tls has no name for its type.
	switch text := err.Error(); {
	case strings.Contains(text, "remote error: tls: certificate required"):
		return "the receiver wants a client certificate: set tls.cert_file and tls.key_file"
	case strings.Contains(text, "remote error: tls: bad certificate"),
		strings.Contains(text, "remote error: tls: unknown certificate"),
		strings.Contains(text, "remote error: tls: expired certificate"):
		return "the receiver doesn't take the client certificate: check tls.cert_file and tls.key_file"
	case strings.Contains(text, "remote error: tls: unrecognized name"): //nolint:misspell // crypto/tls writes it so
		return "the receiver doesn't know the name it was called by: check the host, or set tls.server_name"
	}
	return ""
}

// namesOf are the names of a certificate, the first few.
func namesOf(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return printable(strings.Join(names[:min(len(names), 5)], ", "), shownBody)
}
