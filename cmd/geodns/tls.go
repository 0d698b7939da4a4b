package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"geodns/internal/config"
	"geodns/internal/metrics"
	"geodns/internal/server"
	"geodns/internal/zonefile"
)

// maxPEM is how much of a file with a certificate or key is read, in octets.
const maxPEM = 1 << 20

// renewal is how long before its end a certificate is worth a warning. Those that
// renew by themselves do so earlier.
const renewal = 7 * 24 * time.Hour

// certificates is the certificate that is served with over TLS, and what is wrong
// with its successor.
type certificates struct {
	current atomic.Pointer[tls.Certificate] // nil: there is no TLS
	refused atomic.Pointer[string]
}

// loadCertificate reads the certificate and the key of a configuration, nil if it
// has no addresses for TLS. An error is of type config.Errors.
func loadCertificate(c config.TLS) (*tls.Certificate, error) {
	if len(c.Listen) == 0 {
		return nil, nil
	}
	chain, err := readPEM(c.Certificate, "CERTIFICATE", "the server's certificate in PEM, followed by those that lead to its root")
	if err != nil {
		return nil, err
	}
	key, err := readPEM(c.Key, "PRIVATE KEY", "the key of the certificate in PEM, without a password")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(chain)
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, config.Errors{{File: c.Certificate, Message: fmt.Sprintf("the first certificate can't be read: %v; name a file with the server's certificate in PEM first", err)}}
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, config.Errors{{File: c.Key, Message: fmt.Sprintf("does not go with the certificate in %s: %s; name the key that the certificate was made for, and replace both together",
			c.Certificate, strings.TrimPrefix(err.Error(), "tls: "))}}
	}
	return &cert, nil
}

// readPEM reads a file and returns its blocks of a kind. what it ought to hold is for
// the error.
func readPEM(file, kind, what string) ([]byte, error) {
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, config.Errors{{File: file, Message: fmt.Sprintf(format, args...) + "; it has to hold " + what}}
	}
	f, err := os.Open(file)
	if err != nil {
		return fail("cannot read it: %v", errors.Unwrap(err))
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	switch {
	case err != nil:
		return fail("cannot read it: %v", err)
	case len(rest) > maxPEM:
		return fail("is longer than %d octets", maxPEM)
	}
	var out []byte
	seen := ""
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
			seen = "a key with a password"
		case block.Type == kind || strings.HasSuffix(block.Type, " "+kind):
			out = append(out, pem.EncodeToMemory(block)...)
		default:
			seen = "a block of the type " + quoteShort(block.Type)
		}
	}
	switch {
	case out != nil:
		return out, nil
	case seen != "":
		return fail("holds %s, and nothing else", seen)
	}
	return fail("holds nothing in PEM")
}

// quoteShort quotes what comes from a file.
func quoteShort(s string) string { return fmt.Sprintf("%.40q", s) }

// certificateWarnings are what is not well with a certificate that can be served, or
// with who can read its key.
func certificateWarnings(c config.TLS, cert *tls.Certificate, now time.Time) (list []config.Error) {
	if cert == nil {
		return nil
	}
	if text := validity(cert, now); text != "" {
		list = append(list, config.Error{File: c.Certificate, Message: text})
	}
	if info, err := os.Stat(c.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
		list = append(list, config.Error{File: c.Key, Message: "every user of this machine can read the key; take that away with chmod o= " + c.Key})
	}
	return list
}

// validity tells why clients that look will not take a certificate, or soon won't;
// "": they do.
func validity(cert *tls.Certificate, now time.Time) string {
	const day = "2006-01-02T15:04:05Z"
	switch leaf := cert.Leaf; {
	case now.After(leaf.NotAfter):
		return "the certificate has expired at " + leaf.NotAfter.UTC().Format(day) + ": secondaries that verify it can't transfer; renew it, and reload"
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid before " + leaf.NotBefore.UTC().Format(day) + ": secondaries that verify it can't transfer; look at this machine's clock, or wait"
	case now.After(leaf.NotAfter.Add(-renewal)):
		return "the certificate expires at " + leaf.NotAfter.UTC().Format(day) + "; renew it, and reload"
	}
	return ""
}

// openCertificate reads the certificate for the start.
func (d *instance) openCertificate() error {
	cert, err := loadCertificate(d.cfg.TLS)
	if err != nil {
		return err
	}
	for _, w := range certificateWarnings(d.cfg.TLS, cert, time.Now()) {
		d.log.Warn("TLS", "warning", w.Error())
	}
	d.certificates.current.Store(cert)
	return nil
}

// reloadCertificate serves with the certificate of a configuration that was read
// again. One that can't be served with leaves the old one, and keeps nothing else
// from being reloaded.
func (d *instance) reloadCertificate(cfg *config.Config) (warnings []string) {
	if d.certificates.current.Load() == nil || len(cfg.TLS.Listen) == 0 {
		return nil // needsRestart tells
	}
	cert, err := loadCertificate(cfg.TLS)
	if err != nil {
		text := "the certificate for TLS was not taken, the old one stays: " + err.Error()
		d.certificates.refused.Store(&text)
		d.log.Error("the certificate for TLS was not taken, the old one stays", "error", err)
		return []string{text}
	}
	d.certificates.refused.Store(nil)
	d.certificates.current.Store(cert)
	d.server.SetCertificate(cert)
	for _, w := range certificateWarnings(cfg.TLS, cert, time.Now()) {
		d.log.Warn("TLS", "warning", w.Error())
		warnings = append(warnings, w.Error())
	}
	return warnings
}

// certificateReasons are why TLS is not as configured, for readiness.
func (d *instance) certificateReasons() (list []string) {
	cert := d.certificates.current.Load()
	if cert == nil {
		return nil
	}
	if text := d.certificates.refused.Load(); text != nil {
		list = append(list, *text)
	}
	if now := time.Now(); now.After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
		list = append(list, "TLS: "+validity(cert, now))
	}
	return list
}

// tlsMetrics are nil without TLS.
func (d *instance) tlsMetrics(c *server.Counters) *metrics.TLS {
	cert := d.certificates.current.Load()
	if cert == nil {
		return nil
	}
	return &metrics.TLS{
		Requests:   c[server.TLSQueries],
		Handshakes: []metrics.Count{{Label: "ok", N: c[server.TLSHandshakes]}, {Label: "failed", N: c[server.TLSFailed]}},
		NotAfter:   cert.Leaf.NotAfter,
	}
}

// checkCertificate is what geodns check says of the certificate and key.
func (f *checkFlags) checkCertificate(cfg *config.Config) (list []zonefile.Finding) {
	const rule = "tls-certificate"
	cert, err := loadCertificate(cfg.TLS)
	var wrong config.Errors
	if errors.As(err, &wrong) {
		for _, e := range wrong {
			list = append(list, besideZones(e.File, e.Line, e.Column, zonefile.Error, rule, e.Message))
		}
	}
	if !f.warnings {
		return list
	}
	for _, w := range certificateWarnings(cfg.TLS, cert, time.Now()) {
		list = append(list, besideZones(w.File, w.Line, w.Column, zonefile.Warning, rule, w.Message))
	}
	return list
}
