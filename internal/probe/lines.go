package probe

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"geodns/internal/steer/record"
)

const (
	// maxLine bounds a line that a server sends. RFC 5321 4.5.3.1.5 and RFC 1939
	// 3 allow 512; the capabilities of IMAP servers run to some more.
	maxLine = 4096
	// courtesy is how long a server has to answer a farewell. The result is known
	// before, and does not depend on it.
	courtesy = 50 * time.Millisecond
)

// dialog is a connection on which lines are spoken.
type dialog struct {
	r  *attempt
	c  net.Conn
	br *bufio.Reader
}

// converse connects, with TLS if the check wants it from the first octet.
func (r *attempt) converse() (*dialog, error) {
	c, err := r.dial(budgetDialog)
	if err != nil {
		return nil, err
	}
	d := &dialog{r: r, c: c}
	if r.c.TLS == record.TLSYes {
		if d.c, err = r.secure(c); err != nil {
			return nil, err
		}
	}
	d.br = bufio.NewReaderSize(d.c, maxLine)
	return d, nil
}

// line reads a line, without its end.
func (d *dialog) line(doing string) (string, error) {
	b, err := d.br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a line of more than %d octets while %s", maxLine, doing)
	case err != nil:
		return "", d.r.failed(doing, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// say sends a line.
func (d *dialog) say(line, doing string) error {
	if _, err := d.c.Write([]byte(line + "\r\n")); err != nil {
		return d.r.failed(doing, err)
	}
	return nil
}

// expect looks for what the banner must contain.
func (d *dialog) expect(banner string) error {
	if want := d.r.c.Expect; !strings.Contains(banner, want) {
		return fmt.Errorf("the banner %q does not contain expect=%q", banner, want)
	}
	return nil
}

// startTLS goes on in TLS, after the server agreed to.
func (d *dialog) startTLS() error {
	// RFC 3207 4.2, RFC 9051 11.1: what came in plain text must not be taken for
	// what was said within TLS.
	if d.br.Buffered() > 0 {
		return errors.New("the server sent more after its answer to STARTTLS, in plain text")
	}
	c, err := d.r.secure(d.c)
	if err != nil {
		return err
	}
	d.c = c
	d.br.Reset(c)
	return nil
}

// farewell says goodbye, and waits a moment for the answer: some servers log a
// client that does not. A held connection only notes what to say in the end.
func (d *dialog) farewell(line string) {
	d.r.settle()
	if d.say(line, "saying goodbye") != nil || d.r.hold {
		return
	}
	if d.c.SetReadDeadline(time.Now().Add(courtesy)) == nil {
		_, _ = d.br.ReadSlice('\n')
	}
}
