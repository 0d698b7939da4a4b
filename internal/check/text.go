package check

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"geodns/internal/wire"
)

// joined is a TXT record's strings behind each other, as SPF, DKIM and DMARC
// read them (RFC 7208 3.3, RFC 6376 3.6.2.2).
func joined(data []byte) []byte {
	var out []byte
	for len(data) > 0 && len(data) > int(data[0]) {
		out = append(out, data[1:1+int(data[0])]...)
		data = data[1+int(data[0]):]
	}
	return out
}

// texts looks at the TXT records that mail depends on.
func (c *checker) texts(n *node) {
	if recs := n.get(typeSPF); recs != nil {
		c.at(spfType, recs[0], "mail servers no longer ask for the type SPF", "write the same text as TXT, and remove this record (RFC 7208 3.1)")
	}
	recs := n.get(wire.TypeTXT)
	if recs == nil {
		return
	}
	spf, dmarc := 0, 0
	isDMARC := wire.EqualFold(labelAt(n.owner, 0), []byte("_dmarc"))
	isDKIM := wire.EqualFold(labelAt(n.owner, 1), []byte("_domainkey"))
	for _, r := range recs {
		t := joined(c.z.data(r))
		// RFC 7208 4.5: the version ends the text, or a space follows.
		if v := lowered(t); bytes.Equal(v, []byte("v=spf1")) || bytes.HasPrefix(v, []byte("v=spf1 ")) {
			if spf++; spf == 2 {
				c.at(spfTwice, r, "there is a second SPF text at "+text(n.owner)+", and with two of them every check fails", "join them into one text that begins with v=spf1 (RFC 7208 4.5)")
			}
		}
		if isDMARC && bytes.HasPrefix(t, []byte("v=DMARC1")) {
			if dmarc++; dmarc == 2 {
				c.at(dmarcTwice, r, "there is a second DMARC policy at "+text(n.owner)+", and with two of them there is none", "keep one (RFC 7489 6.6.3)")
			}
		}
		if isDKIM {
			c.dkim(r, string(t))
		}
	}
}

// dkim looks at a DKIM key record (RFC 6376 3.6.1).
func (c *checker) dkim(r recID, record string) {
	tags := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		if k, v, ok := strings.Cut(part, "="); ok {
			tags[strings.TrimSpace(k)] = strings.Join(strings.Fields(v), "")
		}
	}
	key, ok := tags["p"]
	if !ok && tags["v"] != "DKIM1" || key == "" && ok {
		return // something else, or a key that was revoked
	}
	damage := keyDamage(tags["k"], key)
	if damage == "" {
		return
	}
	c.at(dkimKey, r, "the DKIM key is damaged: "+damage, "publish it again, as a whole; a long text is split into strings of at most 255 octets, in order")
}

// keyDamage says what is wrong with a public key; empty: nothing, or its kind
// is not known here.
func keyDamage(kind, key string) string {
	if key == "" {
		return "it has no p="
	}
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return "its p= is no base64"
	}
	switch kind {
	case "", "rsa":
		_, err := x509.ParsePKIXPublicKey(raw)
		if err == nil {
			return ""
		}
		// RFC 6376 3.6.1 names RSAPublicKey; practice is the other form.
		if _, err = x509.ParsePKCS1PublicKey(raw); err != nil {
			return "its p= is no RSA key, or only a part of one"
		}
	case "ed25519": // RFC 8463
		if len(raw) != ed25519.PublicKeySize {
			return fmt.Sprintf("its p= has %d octets, an Ed25519 key has %d", len(raw), ed25519.PublicKeySize)
		}
	}
	return ""
}
