package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"geodns/internal/steer/record"
)

// smtp takes the greeting, says EHLO, and goes over to TLS if the check wants
// it (RFC 5321 3.1, RFC 3207).
func (r *attempt) smtp() (string, error) {
	d, err := r.converse()
	if err != nil {
		return "", err
	}
	greeting, err := d.command("", "220", "waiting for the greeting")
	if err == nil {
		err = d.expect(greeting)
	}
	if err != nil {
		return "", err
	}
	ehlo := "EHLO " + r.heloName(d.c)
	if _, err := d.command(ehlo, "250", "waiting for the answer to EHLO"); err != nil {
		return "", err
	}
	if r.c.TLS == record.TLSStart {
		if _, err := d.command("STARTTLS", "220", "waiting for the answer to STARTTLS"); err != nil {
			return "", err
		}
		if err := d.startTLS(); err != nil {
			return "", err
		}
		// RFC 3207 4.2: what was said before TLS is forgotten.
		if _, err := d.command(ehlo, "250", "waiting for the answer to EHLO within TLS"); err != nil {
			return "", err
		}
	}
	d.farewell("QUIT")
	return greeting, nil
}

// command sends a line, if there is one, and reads the reply, whose code must
// be as given. It returns the reply's first line.
func (d *dialog) command(line, code, doing string) (string, error) {
	if line != "" {
		if err := d.say(line, doing); err != nil {
			return "", err
		}
	}
	first := ""
	for {
		l, err := d.line(doing)
		if err != nil {
			return "", err
		}
		if first == "" {
			first = l
		}
		// RFC 5321 4.2.1: all lines of a reply but the last have a hyphen after
		// the code.
		if len(l) < 3 || strings.Trim(l[:3], "0123456789") != "" || len(l) > 3 && l[3] != ' ' && l[3] != '-' {
			return "", fmt.Errorf("%q is no SMTP reply, while %s", l, doing)
		}
		if l[:3] != first[:3] {
			return "", errors.New("the lines of one SMTP reply have different codes, while " + doing)
		}
		if len(l) == 3 || l[3] == ' ' {
			break
		}
	}
	if first[:3] != code {
		return "", fmt.Errorf("the server said %q while %s", first, doing)
	}
	return first, nil
}

// heloName is how we call ourselves.
func (r *attempt) heloName(c net.Conn) string {
	if r.c.Helo != "" {
		return r.c.Helo
	}
	if name, err := os.Hostname(); err == nil && name != "" && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" {
		return name
	}
	return literal(c)
}

// literal is the address of our end, for a client that has no name (RFC 5321
// 4.1.3).
func literal(c net.Conn) string {
	ap, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return "localhost"
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}
