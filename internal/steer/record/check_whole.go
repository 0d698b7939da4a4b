package record

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"geodns/internal/wire"
)

// checkWhole looks at what several tags decide together, and sets the defaults
// that depend on others.
func (p *parser) checkWhole(c *Check) {
	if c.Port == 0 && p.tag("port") == nil {
		c.Port = defaultPort(c)
		if c.Port == 0 && slices.Contains(portChecks, c.Type) {
			p.lacks(p.tag("type").At, "port", "type="+string(c.Type)+" has no port=", "add the port that is probed: it has no default")
		}
	}
	if c.Use == "" && p.tag("use") == nil && slices.Contains(useChecks, c.Type) {
		p.lacks(p.tag("type").At, "use", "type="+string(c.Type)+" has no use=", "name the entry of checks: in geodns.yaml that holds the command, the file or the credentials")
	}
	if t := p.tag("body"); t != nil && c.Method == "HEAD" {
		p.clash(t.ValueAt, t.Key, "body= stands beside method=HEAD, whose responses have no body", "remove one of them")
	}
	if t := p.tag("lag"); t != nil && c.Role == RoleWritable {
		p.clash(t.ValueAt, t.Key, "lag= stands beside role=writable", "remove it: only a replica lags behind")
	}
	p.wholeTLS(c)
	p.wholeDNS(c)
	p.wholeTiming(c)
}

func (p *parser) wholeTLS(c *Check) {
	if c.TLS == TLSNone {
		for _, key := range []string{"sni", "verify", "cert-days"} {
			if t := p.tag(key); t != nil {
				p.clash(t.At, key, key+"= stands in a check without TLS", "add tls=yes, or remove it")
			}
		}
		return
	}
	if c.SNI == "" {
		c.SNI = c.Host
	}
	if t := p.tag("verify"); t != nil && c.Verify && c.SNI == "" && p.tag("sni") == nil && p.tag("host") == nil {
		remedy := "add sni=NAME"
		if slices.Contains(hostChecks, c.Type) {
			remedy = "add host=NAME"
		}
		p.clash(t.ValueAt, t.Key, "verify=yes has no name to verify the certificate for", remedy)
	}
}

func (p *parser) wholeDNS(c *Check) {
	for i := range p.tags {
		t := &p.tags[i]
		if t.Key != "answer" {
			continue
		}
		a, err := netip.ParseAddr(t.Value)
		switch {
		case c.Rcode != wire.RcodeNoError:
			p.clash(t.At, t.Key, "answer= stands beside an rcode= that has no answer", "remove one of them")
		case c.QType == wire.TypeA && (err != nil || !a.Is4()):
			p.clash(t.ValueAt, t.Key, "answer="+quote(t.Value)+" is not an IPv4 address, as qtype=A answers", "correct it, or qtype=")
		case c.QType == wire.TypeAAAA && (err != nil || !a.Is6() || a.Zone() != ""):
			p.clash(t.ValueAt, t.Key, "answer="+quote(t.Value)+" is not an IPv6 address, as qtype=AAAA answers", "correct it, or qtype=")
		}
	}
}

func (p *parser) wholeTiming(c *Check) {
	t := p.tag("timeout")
	switch {
	case t == nil:
		c.Timeout = min(defaultTimeout, c.Every)
	case c.Timeout > c.Every:
		// One probe a node at a time: the next one would find it still at work.
		p.clash(t.ValueAt, t.Key, fmt.Sprintf("timeout=%s is longer than every=%s", t.Value, durationText(c.Every)), "lower timeout=, or raise every=")
	}
	// What is said of a check with errors in it would only confuse.
	if p.errors == 0 {
		p.warnLoss(c)
	}
}

// The network that the arithmetic of loss assumes, and what is too often.
const (
	lossRate        = 0.01 // of packets, each way
	falseTurnsADay  = 1.0
	retransmitAfter = time.Second // a lost SYN is sent again (RFC 6298 2.1)
)

// warnLoss warns of a check that takes live nodes for down, because the network
// loses a packet now and then.
func (p *parser) warnLoss(c *Check) {
	failed := probeFails(c)
	turns := falseTurns(c.Every, failed, c.Fall)
	if turns < falseTurnsADay {
		return
	}
	fall := c.Fall
	for fall < maxTurns && falseTurns(c.Every, failed, fall) >= falseTurnsADay {
		fall++
	}
	remedy := fmt.Sprintf("write fall=%d", fall)
	if overTCP(c) && c.Timeout <= retransmitAfter && c.Every > retransmitAfter {
		remedy += ", or a timeout= over 1s, so that TCP can send a lost packet again"
	}
	at := &p.tags[0]
	for _, key := range []string{"timeout", "fall", "every"} {
		if t := p.tag(key); t != nil {
			at = t
		}
	}
	p.warn(RuleLoss, at, "where one packet in a hundred is lost, every="+durationText(c.Every)+" with fall="+strconv.Itoa(c.Fall)+
		fmt.Sprintf(" takes a live node for down about %.0f times a day", math.Ceil(turns)), remedy)
}

// falseTurns is how often a day fall probes fail in a row by chance alone.
func falseTurns(every time.Duration, failed float64, fall int) float64 {
	return float64(day) / float64(every) * math.Pow(failed, float64(fall))
}

// probeFails is the chance that one probe of a live node fails: one of its
// packets is lost, and if there is time for TCP to send it again, lost twice.
func probeFails(c *Check) float64 {
	loss := lossRate
	if overTCP(c) && c.Timeout > retransmitAfter {
		loss *= lossRate
	}
	return 1 - math.Pow(1-loss, float64(packets(c)))
}

func overTCP(c *Check) bool {
	return c.Type != CheckICMP && (c.Type != CheckDNS || c.TCP)
}

// packets is about how many packets must arrive for a probe to succeed.
func packets(c *Check) int {
	n := 0
	switch c.Type {
	case CheckTCP, CheckICMP:
		n = 2
	case CheckDNS:
		n = 2
		if c.TCP {
			n = 4
		}
	case CheckHTTP, CheckHTTPS, CheckAgent, CheckIMAP, CheckPOP3:
		n = 4
	case CheckSMTP, CheckMySQL, CheckPostgres, CheckGRPC:
		n = 6
	}
	if c.TLS != TLSNone {
		n += 4
	}
	return n
}
