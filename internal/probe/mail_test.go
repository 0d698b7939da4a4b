package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// turn is what a scripted server waits for, and says then; "TLS" as the answer
// begins TLS.
type turn struct{ hear, say string }

// script plays a server. It sends on heard what came too much or not as
// expected, and what came last.
func script(conf *tls.Config, turns []turn, last chan<- string) func(net.Conn) {
	return func(c net.Conn) {
		br := bufio.NewReader(c)
		for _, tn := range turns {
			if tn.hear != "" {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				if !strings.HasPrefix(line, tn.hear) || !strings.HasSuffix(line, "\r\n") {
					fmt.Fprintf(c, "999 unexpected %q\r\n", line)
					return
				}
			}
			if tn.say == "TLS" {
				tc := tls.Server(c, conf)
				defer tc.Close()
				c, br = tc, bufio.NewReader(tc)
				continue
			}
			io.WriteString(c, tn.say)
		}
		line, _ := br.ReadString('\n')
		if last != nil {
			last <- line
		}
	}
}

func TestMail(t *testing.T) {
	a := newAuthority(t)
	conf := a.config(t, 100*24*time.Hour+time.Hour)
	ehlo := "250-mx at your service\r\n250-SIZE 100\r\n250 STARTTLS\r\n"
	tests := []struct {
		name, check string
		turns       []turn
		ok          bool
		says, last  string
	}{
		{"smtp", "type=smtp", []turn{{"", "220 mx ESMTP\r\n"}, {"EHLO ", ehlo}}, true, "220 mx ESMTP", "QUIT\r\n"},
		{"smtp, long banner", "type=smtp; helo=ns1", []turn{{"", "220-wait\r\n220 mx\r\n"}, {"EHLO ns1.example\r\n", ehlo}}, true, "220-wait", "QUIT\r\n"},
		{"smtp, expected", "type=smtp; expect=ESMTP", []turn{{"", "220 mx ESMTP\r\n"}, {"EHLO ", ehlo}}, true, "220", "QUIT\r\n"},
		{"smtp, not expected", "type=smtp; expect=Postfix", []turn{{"", "220 mx ESMTP\r\n"}}, false, `does not contain expect="Postfix"`, ""},
		{"smtp, busy", "type=smtp", []turn{{"", "421 too busy\r\n"}}, false, `the server said "421 too busy" while waiting for the greeting`, ""},
		{"smtp, no greeting", "type=smtp", []turn{{"", "hello\r\n"}}, false, `"hello" is no SMTP reply`, ""},
		{"smtp, mixed codes", "type=smtp", []turn{{"", "220-mx\r\n221 mx\r\n"}}, false, "different codes", ""},
		{"smtp, EHLO refused", "type=smtp", []turn{{"", "220 mx\r\n"}, {"EHLO ", "550 go away\r\n"}}, false, "550 go away", ""},
		{"smtp, STARTTLS", "type=smtp; tls=starttls", []turn{{"", "220 mx\r\n"}, {"EHLO ", ehlo}, {"STARTTLS\r\n", "220 go\r\n"}, {"", "TLS"}, {"EHLO ", ehlo}}, true, "220 mx", "QUIT\r\n"},
		{"smtp, no STARTTLS", "type=smtp; tls=starttls", []turn{{"", "220 mx\r\n"}, {"EHLO ", ehlo}, {"STARTTLS\r\n", "502 no\r\n"}}, false, `"502 no" while waiting for the answer to STARTTLS`, ""},
		{"smtp, injected", "type=smtp; tls=starttls", []turn{{"", "220 mx\r\n"}, {"EHLO ", ehlo}, {"STARTTLS\r\n", "220 go\r\n250 mx\r\n"}, {"", "TLS"}}, false, "in plain text", ""},
		{"smtps", "type=smtp; tls=yes", []turn{{"", "TLS"}, {"", "220 mx\r\n"}, {"EHLO ", ehlo}}, true, "220 mx", "QUIT\r\n"},

		{"imap", "type=imap", []turn{{"", "* OK ready\r\n"}}, true, "* OK ready", "a2 LOGOUT\r\n"},
		{"imap, known already", "type=imap", []turn{{"", "* PREAUTH ready\r\n"}}, true, "PREAUTH", "a2 LOGOUT\r\n"},
		{"imap, bye", "type=imap", []turn{{"", "* BYE too many\r\n"}}, false, `the greeting is "* BYE too many"`, ""},
		{"imap, OKAY", "type=imap", []turn{{"", "* OKAY\r\n"}}, false, "the greeting is", ""},
		{"imap, not expected", "type=imap; expect=Dovecot", []turn{{"", "* OK ready\r\n"}}, false, "expect", ""},
		{"imap, STARTTLS", "type=imap; tls=starttls", []turn{{"", "* OK ready\r\n"}, {"a1 STARTTLS\r\n", "* CAPABILITY IMAP4rev1\r\na1 OK go\r\n"}, {"", "TLS"}}, true, "* OK", "a2 LOGOUT\r\n"},
		{"imap, no STARTTLS", "type=imap; tls=starttls", []turn{{"", "* OK ready\r\n"}, {"a1 STARTTLS\r\n", "a1 BAD what\r\n"}}, false, "a1 BAD what", ""},
		{"imap, bye instead", "type=imap; tls=starttls", []turn{{"", "* OK ready\r\n"}, {"a1 STARTTLS\r\n", "* BYE\r\n"}}, false, "* BYE", ""},
		{"imap, injected", "type=imap; tls=starttls", []turn{{"", "* OK ready\r\n"}, {"a1 STARTTLS\r\n", "a1 OK go\r\n* OK\r\n"}, {"", "TLS"}}, false, "in plain text", ""},
		{"imaps", "type=imap; tls=yes", []turn{{"", "TLS"}, {"", "* OK ready\r\n"}}, true, "* OK", "a2 LOGOUT\r\n"},

		{"pop3", "type=pop3", []turn{{"", "+OK ready\r\n"}}, true, "+OK ready", "QUIT\r\n"},
		{"pop3, error", "type=pop3", []turn{{"", "-ERR locked\r\n"}}, false, `the server said "-ERR locked"`, ""},
		{"pop3, not expected", "type=pop3; expect=Dovecot", []turn{{"", "+OK ready\r\n"}}, false, "expect", ""},
		{"pop3, STLS", "type=pop3; tls=starttls", []turn{{"", "+OK ready\r\n"}, {"STLS\r\n", "+OK go\r\n"}, {"", "TLS"}}, true, "+OK", "QUIT\r\n"},
		{"pop3, no STLS", "type=pop3; tls=starttls", []turn{{"", "+OK ready\r\n"}, {"STLS\r\n", "-ERR no\r\n"}}, false, "-ERR no", ""},
		{"pop3s", "type=pop3; tls=yes", []turn{{"", "TLS"}, {"", "+OK ready\r\n"}}, true, "+OK", "QUIT\r\n"},
	}
	for _, at := range loopbacks(t) {
		for _, tt := range tests {
			last := make(chan string, 1)
			res := ask(t, target(t, serve(t, at, script(conf, tt.turns, last)), tt.check), plenty)
			if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
				t.Errorf("%s: %+v", tt.name, res)
			}
			if tt.ok {
				if got := await(t, last); got != tt.last {
					t.Errorf("%s: it said %q in the end", tt.name, got)
				}
				if strings.Contains(tt.check, "tls=") != (res.CertDays == 100) {
					t.Errorf("%s: the certificate lasts for %d days", tt.name, res.CertDays)
				}
			}
		}
	}
}

func TestHeloName(t *testing.T) {
	for _, at := range loopbacks(t) {
		to := target(t, serve(t, at, block), "type=smtp")
		r := begin(t.Context(), to, false)
		c, err := r.dial(1)
		if err != nil {
			t.Fatal(err)
		}
		name, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if got := r.heloName(c); got != name {
			t.Errorf("%s, want the machine's name, %s", got, name)
		}
		want := "[127.0.0.1]"
		if at.Is6() {
			want = "[IPv6:::1]"
		}
		if got := literal(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		r.close()
	}
}

func TestTCP(t *testing.T) {
	tests := []struct {
		check, banner string
		ok            bool
		says          string
	}{
		{"type=tcp", "", true, "connected"},
		{"type=tcp; expect=SSH-2", "SSH-2.0-x\r\n", true, "banner SSH-2.0-x"},
		{"type=tcp; expect=SSH-2", "no\nSSH-2.0-x\r\n", false, `the banner "no" does not contain expect="SSH-2"`},
		{"type=tcp; expect=SSH-2", "SSH-2.0-x", false, "connection closed while waiting for the banner"},
		{"type=tcp; expect=SSH-2", strings.Repeat("x", maxLine) + "SSH-2\n", false, "a line of more than 4096 octets"},
	}
	for _, at := range loopbacks(t) {
		for _, tt := range tests {
			ap := serve(t, at, func(c net.Conn) { io.WriteString(c, tt.banner) })
			res := ask(t, target(t, ap, tt.check), plenty)
			if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) {
				t.Errorf("%s, %q: %+v", tt.check, tt.banner, res)
			}
		}
	}
}
