package probe

import (
	"context"
	"fmt"
	"net/netip"

	"geodns/internal/steer/record"
	"geodns/internal/wire"
)

// Reach asks whether something far away can be reached: over record.CheckDNS any
// response to a query over UDP will do, whatever it says; over record.CheckTCP
// that a connection is made, over record.CheckICMP the reply to an echo request
// (the port is not looked at). The context is the only deadline.
func Reach(ctx context.Context, how record.CheckType, at netip.AddrPort) Result {
	check := &record.Check{Type: how, Port: at.Port(), Name: record.Name("\x00"), QType: wire.TypeSOA}
	r := begin(ctx, Target{Addr: at.Addr(), Check: check}, false)
	defer r.close()
	r.anyAnswer = how == record.CheckDNS
	return r.do()
}

// answers asks a question and takes every response.
func (r *attempt) answers() (string, error) {
	q, wire, err := r.question()
	if err != nil {
		return "", err
	}
	in, err := r.dnsUDP(q, wire)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("answered %s", rcodeName(in.Rcode)), nil
}
