package record

import (
	"strings"
	"testing"
)

func TestCheckProblems(t *testing.T) {
	testProblems(t, Origin{Apex: apex}, []problemCase{
		{
			`v=check1`,
			`0 type: the _check record has no type=; add type=http (values: tcp|http|https|smtp|imap|pop3|dns|icmp|mysql|postgres|grpc|exec|agent|file)`,
		},
		{
			`v=check1; port=80`,
			`0 type: the _check record has no type=; add type=http (values: tcp|http|https|smtp|imap|pop3|dns|icmp|mysql|postgres|grpc|exec|agent|file)`,
		},
		{
			`v=check1; type=ftp`,
			`15 type: type="ftp" is not known; the values are tcp, http, https, smtp, imap, pop3, dns, icmp, mysql, postgres, grpc, exec, agent, file`,
		},
		{
			`v=check1; type=htp`,
			`15 type: type="htp" is not known; did you mean http? The values are tcp, http, https, smtp, imap, pop3, dns, icmp, mysql, postgres, grpc, exec, agent, file`,
		},
		{
			`v=check1; type=icmp; port=80`,
			`21 port: port= is not for type=icmp; remove it; it is for tcp, http, https, smtp, imap, pop3, dns, mysql, postgres, grpc, agent`,
		},
		{
			`v=check1; type=tcp`,
			`10 port: type=tcp has no port=; add the port that is probed: it has no default`,
		},
		{
			`v=check1; type=grpc`,
			`10 port: type=grpc has no port=; add the port that is probed: it has no default`,
		},
		{
			`v=check1; type=agent`,
			`10 port: type=agent has no port=; add the port that is probed: it has no default`,
		},
		{
			`v=check1; type=tcp; port=0`,
			`25 port: port="0" is not a number from 1 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=check1; type=tcp; port=65536`,
			`25 port: port="65536" is not a number from 1 to 65535; write a whole number, without sign and unit`,
		},
		{
			`v=check1; type=http; every=5`,
			`27 every: every="5" is not a duration; add the unit, as in every=5s`,
		},
		{
			`v=check1; type=http; every=fast`,
			`27 every: every="fast" is not a duration; write a whole number and its unit: 200ms, 5s, 1m, 2h or 1d`,
		},
		{
			`v=check1; type=http; every=1.5s`,
			`27 every: every="1.5s" is not a duration; write a whole number and its unit: 200ms, 5s, 1m, 2h or 1d`,
		},
		{
			`v=check1; type=http; every=100ms`,
			`27 every: every=100ms is not from 200ms to 1d; choose a duration in this range`,
		},
		{
			`v=check1; type=http; every=2d`,
			`27 every: every=2d is not from 200ms to 1d; choose a duration in this range`,
		},
		{
			`v=check1; type=http; timeout=1ms`,
			`29 timeout: timeout=1ms is not from 10ms to 1d; choose a duration in this range`,
		},
		{
			`v=check1; type=http; every=1s; timeout=2s`,
			`39 timeout: timeout=2s is longer than every=1s; lower timeout=, or raise every=`,
		},
		{
			`v=check1; type=http; timeout=11s`,
			`29 timeout: timeout=11s is longer than every=10s; lower timeout=, or raise every=`,
		},
		{
			`v=check1; type=http; fall=0`,
			`26 fall: fall="0" is not a number from 1 to 100; write a whole number, without sign and unit`,
		},
		{
			`v=check1; type=http; rise=101`,
			`26 rise: rise="101" is not a number from 1 to 100; write a whole number, without sign and unit`,
		},
		{
			`v=check1; type=dns; hold=yes`,
			`20 hold: hold= is not for type=dns; remove it; it is for tcp, http, https, smtp, imap, pop3, mysql, postgres, grpc`,
		},
		{
			`v=check1; type=http; path=healthz`,
			`26 path: path="healthz" does not begin with /; write the path from the / on, without scheme and host`,
		},
		{
			`v=check1; type=http; path=/a b`,
			`26 path: path="/a b" has a character that a request cannot have; write blanks and characters outside of ASCII as %20 and the like, and remove what # begins`,
		},
		{
			`v=check1; type=http; path=/a;b=c`,
			`29 b: there is no tag b= in _check records; remove it (a ";" in a value is written %3B); the tags are v, type, port, every, timeout, fall, rise, hold, path, host, method, status, body, http2, tls, sni, verify, cert-days, expect, helo, name, qtype, rcode, answer, transport, use, role, lag, service, must`,
		},
		{
			`v=check1; type=http; path=/a#b`,
			`26 path: path="/a#b" has a character that a request cannot have; write blanks and characters outside of ASCII as %20 and the like, and remove what # begins`,
		},
		{
			`v=check1; type=http; path=/` + strings.Repeat("x", 1024),
			`26 path: path= has 1025 octets; shorten it to 1024`,
		},
		{
			`v=check1; type=http; host=www.cluster.example`,
			`warning 26 host: "www.cluster.example" is below the apex, since it has no final dot; write www.cluster.example. if that is the whole name`,
		},
		{
			`v=check1; type=http; host=192.0.2.1`,
			`26 host: "192.0.2.1" is not a host name; write a name without port, or remove the tag: the address that is probed is the default`,
		},
		{
			`v=check1; type=http; host=www:8080`,
			`26 host: "www:8080" is not a host name; write a name without port, or remove the tag: the address that is probed is the default`,
		},
		{
			`v=check1; type=http; host=w!w`,
			`26 host: "w!w" is not a host name; use letters, digits, - and _ only`,
		},
		{
			`v=check1; type=http; host=w w`,
			`26 host: "w w" is not a domain name: blanks and characters outside of ASCII are not allowed; write labels with dots in between, as in www, or www.example. with a final dot if it is not below the apex`,
		},
		{
			`v=check1; type=http; method=POST`,
			`28 method: method="POST" is not known; the values are GET, HEAD`,
		},
		{
			`v=check1; type=http; status=20x`,
			`28 status: "20x" is not a status code; write three digits from 100 to 599, or two such with - in between, as in status=200-299,404`,
		},
		{
			`v=check1; type=http; status=200-`,
			`28 status: "200-" is not a status code; write three digits from 100 to 599, or two such with - in between, as in status=200-299,404`,
		},
		{
			`v=check1; type=http; status=200,600`,
			`32 status: "600" is not a status code; write three digits from 100 to 599, or two such with - in between, as in status=200-299,404`,
		},
		{
			`v=check1; type=http; status=299-200`,
			`28 status: the range 299-200 is empty; write the lower code first`,
		},
		{
			`v=check1; type=http; body=ok; method=HEAD`,
			`26 body: body= stands beside method=HEAD, whose responses have no body; remove one of them`,
		},
		{
			`v=check1; type=http; http2=yes`,
			`21 http2: http2= is not for type=http; remove it; it is for https`,
		},
		{
			`v=check1; type=http; tls=yes`,
			`21 tls: tls= is not for type=http; remove it; it is for tcp, smtp, imap, pop3, grpc`,
		},
		{
			`v=check1; type=tcp; port=1; tls=starttls`,
			`32 tls: tls="starttls" is not known; the values are no, yes`,
		},
		{
			`v=check1; type=smtp; sni=mx1`,
			`21 sni: sni= stands in a check without TLS; add tls=yes, or remove it`,
		},
		{
			`v=check1; type=smtp; tls=no; verify=yes`,
			`29 verify: verify= stands in a check without TLS; add tls=yes, or remove it`,
		},
		{
			`v=check1; type=https; verify=yes`,
			`29 verify: verify=yes has no name to verify the certificate for; add host=NAME`,
		},
		{
			`v=check1; type=smtp; tls=starttls; verify=yes`,
			`42 verify: verify=yes has no name to verify the certificate for; add sni=NAME`,
		},
		{
			`v=check1; type=https; cert-days=0`,
			`32 cert-days: cert-days="0" is not a number from 1 to 3650; write a whole number, without sign and unit`,
		},
		{
			`v=check1; type=dns; name=a..b`,
			`25 name: "a..b" is not a domain name: a label is empty; write labels with dots in between, as in www, or www.example. with a final dot if it is not below the apex`,
		},
		{
			`v=check1; type=dns; qtype=ANY`,
			`26 qtype: "ANY" is not a type that can be asked for; write A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT, or TYPE and the number of another, as in TYPE257`,
		},
		{
			`v=check1; type=dns; qtype=TYPE255`,
			`26 qtype: "TYPE255" is not a type that can be asked for; write A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT, or TYPE and the number of another, as in TYPE257`,
		},
		{
			`v=check1; type=dns; rcode=YES`,
			`26 rcode: rcode="YES" is not known; the values are NOERROR, NXDOMAIN, REFUSED, SERVFAIL`,
		},
		{
			`v=check1; type=dns; qtype=A; answer=www`,
			`36 answer: answer="www" is not an IPv4 address, as qtype=A answers; correct it, or qtype=`,
		},
		{
			`v=check1; type=dns; qtype=AAAA; answer=192.0.2.1`,
			`39 answer: answer="192.0.2.1" is not an IPv6 address, as qtype=AAAA answers; correct it, or qtype=`,
		},
		{
			`v=check1; type=dns; rcode=NXDOMAIN; answer=x`,
			`36 answer: answer= stands beside an rcode= that has no answer; remove one of them`,
		},
		{
			`v=check1; type=dns; answer=x; answer=x`,
			`37 answer: answer="x" stands twice; keep one of them`,
		},
		{
			`v=check1; type=dns; transport=tls`,
			`30 transport: transport="tls" is not known; the values are udp, tcp`,
		},
		{
			`v=check1; type=mysql`,
			`10 use: type=mysql has no use=; name the entry of checks: in geodns.yaml that holds the command, the file or the credentials`,
		},
		{
			`v=check1; type=exec; use=/bin/sh`,
			`25 use: use="/bin/sh" is not the name of an entry of checks:; write the name alone, of letters, digits, -, _ and .; what it runs, reads or logs in with stands in geodns.yaml`,
		},
		{
			`v=check1; type=mysql; use=app; role=writer`,
			`36 role: role="writer" is not known; the values are any, writable, replica`,
		},
		{
			`v=check1; type=mysql; use=app; role=writable; lag=5s`,
			`50 lag: lag= stands beside role=writable; remove it: only a replica lags behind`,
		},
		{
			`v=check1; type=postgres; use=app; lag=1ms`,
			`38 lag: lag=1ms is not from 1s to 1d; choose a duration in this range`,
		},
		{
			`v=check1; type=tcp; port=80; every=200ms; timeout=150ms; fall=2`,
			`warning 35 every: where one packet in a hundred is lost, every=200ms with fall=2 takes a live node for down about 172 times a day; write fall=4`,
		},
		{
			`v=check1; type=icmp; every=1s; fall=1`,
			`warning 27 every: where one packet in a hundred is lost, every=1s with fall=1 takes a live node for down about 1720 times a day; write fall=3`,
		},
		{
			`v=check1; type=http; every=5s; timeout=1s; fall=1`,
			`warning 27 every: where one packet in a hundred is lost, every=5s with fall=1 takes a live node for down about 681 times a day; write fall=4, or a timeout= over 1s, so that TCP can send a lost packet again`,
		},
	})
}
