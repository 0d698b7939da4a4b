package probe

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// tlsConfig is how the check speaks TLS. The certificate is looked at as soon
// as the handshake is done, whoever does it.
func (r *attempt) tlsConfig(protos ...string) *tls.Config {
	return &tls.Config{
		ServerName:         r.c.SNI,
		InsecureSkipVerify: !r.c.Verify,
		RootCAs:            r.t.Roots,
		NextProtos:         protos,
		VerifyConnection:   r.certificate,
	}
}

// secure does the handshake on a connection.
func (r *attempt) secure(c net.Conn, protos ...string) (*tls.Conn, error) {
	t := tls.Client(c, r.tlsConfig(protos...))
	if err := t.Handshake(); err != nil {
		return nil, r.because(r.failed("in the TLS handshake", err))
	}
	return t, nil
}

// certificate looks at how long the certificate lasts.
func (r *attempt) certificate(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	ends := s.PeerCertificates[0].NotAfter
	left := time.Until(ends)
	r.mu.Lock()
	r.res.CertDays = max(int(left/(24*time.Hour)), 0)
	r.mu.Unlock()
	switch {
	case r.c.CertDays == 0 || left >= time.Duration(r.c.CertDays)*24*time.Hour:
		return nil
	case left <= 0:
		return r.because(fmt.Errorf("the certificate expired on %s", ends.UTC().Format(time.DateOnly)))
	}
	return r.because(fmt.Errorf("the certificate expires on %s, in less than cert-days=%d", ends.UTC().Format(time.DateOnly), r.c.CertDays))
}
