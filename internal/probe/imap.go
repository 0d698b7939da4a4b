package probe

import (
	"fmt"
	"strings"

	"geodns/internal/steer/record"
)

// imap takes the greeting, and goes over to TLS if the check wants it (RFC 9051
// 7.1, 6.2.1).
func (r *attempt) imap() (string, error) {
	d, err := r.converse()
	if err != nil {
		return "", err
	}
	greeting, err := d.line("waiting for the greeting")
	if err != nil {
		return "", err
	}
	// RFC 9051 7.1: OK, PREAUTH, or BYE from a server that takes no clients.
	if !hasWord(greeting, "* OK") && !hasWord(greeting, "* PREAUTH") {
		return "", fmt.Errorf("the greeting is %q", greeting)
	}
	if err := d.expect(greeting); err != nil {
		return "", err
	}
	if r.c.TLS == record.TLSStart {
		if err := d.imapStartTLS(); err != nil {
			return "", err
		}
	}
	d.farewell("a2 LOGOUT")
	return greeting, nil
}

func (d *dialog) imapStartTLS() error {
	const doing = "waiting for the answer to STARTTLS"
	if err := d.say("a1 STARTTLS", doing); err != nil {
		return err
	}
	for {
		l, err := d.line(doing)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(l, "* ") && !hasWord(l, "* BYE"):
			// RFC 9051 7: untagged data may come at any time.
			continue
		case !hasWord(l, "a1 OK"):
			return fmt.Errorf("the server said %q while %s", l, doing)
		}
		return d.startTLS()
	}
}

// hasWord reports whether a line begins with words, in any case.
func hasWord(line, words string) bool {
	n := len(words)
	return len(line) >= n && strings.EqualFold(line[:n], words) && (len(line) == n || line[n] == ' ')
}
