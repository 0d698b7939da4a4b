package probe

import (
	"fmt"

	"geodns/internal/steer/record"
)

// pop3 takes the greeting, and goes over to TLS if the check wants it (RFC 1939
// 4, RFC 2595 4).
func (r *attempt) pop3() (string, error) {
	d, err := r.converse()
	if err != nil {
		return "", err
	}
	greeting, err := d.positive("waiting for the greeting")
	if err == nil {
		err = d.expect(greeting)
	}
	if err != nil {
		return "", err
	}
	if r.c.TLS == record.TLSStart {
		const doing = "waiting for the answer to STLS"
		if err := d.say("STLS", doing); err != nil {
			return "", err
		}
		if _, err := d.positive(doing); err != nil {
			return "", err
		}
		if err := d.startTLS(); err != nil {
			return "", err
		}
	}
	d.farewell("QUIT")
	return greeting, nil
}

// positive reads a status line (RFC 1939 3), which must be +OK.
func (d *dialog) positive(doing string) (string, error) {
	l, err := d.line(doing)
	if err != nil {
		return "", err
	}
	if !hasWord(l, "+OK") {
		return "", fmt.Errorf("the server said %q while %s", l, doing)
	}
	return l, nil
}
