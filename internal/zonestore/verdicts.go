package zonestore

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Verdict is what the checks had made of one target: an address under a check.
type Verdict struct {
	Addr netip.Addr
	// Check is the check in canonical form.
	Check string
	// State is a number of health.State: 0 unknown, 1 up, 2 down.
	State uint8
	// Since is when the state was taken, Seen when the last result came, Turned
	// when the state last went from up to down or back; the zero time: never.
	// They are kept to the microsecond.
	Since, Seen, Turned time.Time
	// Damping is how often the successes that a return takes were doubled.
	Damping uint8
}

const (
	// maxVerdicts and maxVerdictsSize bound what is kept: ten times the targets
	// that one server can probe.
	maxVerdicts     = 1 << 18
	maxVerdictsSize = 32 << 20 // octets
)

// Verdicts returns those of the last SetVerdicts, in the same order; none if
// there was none.
func (s *Store) Verdicts() (all []Verdict, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		payload, err := get(tx, bucketVerdicts, keyAll)
		if err == nil {
			all, err = decodeVerdicts(payload)
		}
		return err
	})
	return all, err
}

// SetVerdicts keeps these verdicts instead of those before.
func (s *Store) SetVerdicts(all []Verdict) error {
	payload, err := encodeVerdicts(all)
	if err != nil {
		return err
	}
	return s.update(func(tx *bolt.Tx) error { return put(tx, bucketVerdicts, keyAll, payload) })
}

// encodeVerdicts packs verdicts. The checks, of which there are few, stand once,
// before them.
func encodeVerdicts(all []Verdict) ([]byte, error) {
	if len(all) > maxVerdicts {
		return nil, fmt.Errorf("there are %d verdicts; at most %d can be kept", len(all), maxVerdicts)
	}
	index := map[string]uint64{}
	var checks, verdicts, entry []byte
	for i := range all {
		v := &all[i]
		if !v.Addr.IsValid() || v.Addr.Zone() != "" {
			return nil, fmt.Errorf("the verdict of %s cannot be kept: it needs an address without a zone", v.Addr)
		}
		n, ok := index[v.Check]
		if !ok {
			n = uint64(len(index))
			index[v.Check] = n
			checks = appendText(checks, v.Check)
		}
		entry = append(entry[:0], byte(v.Addr.BitLen()/8))
		entry = append(entry, v.Addr.AsSlice()...)
		entry = binary.AppendUvarint(entry, n)
		entry = append(entry, v.State)
		entry = appendTime(appendTime(appendTime(entry, v.Since), v.Seen), v.Turned)
		entry = append(entry, v.Damping)
		verdicts = append(binary.AppendUvarint(verdicts, uint64(len(entry))), entry...)
		if len(checks)+len(verdicts) > maxVerdictsSize {
			return nil, fmt.Errorf("the verdicts take more than %d octets; that is more than can be kept", maxVerdictsSize)
		}
	}
	out := append(binary.AppendUvarint(nil, uint64(len(index))), checks...)
	return append(binary.AppendUvarint(out, uint64(len(all))), verdicts...), nil
}

func decodeVerdicts(payload []byte) ([]Verdict, error) {
	d := &decoder{rest: payload}
	var checks []string
	for range d.count() {
		checks = append(checks, d.text())
	}
	var all []Verdict
	for range d.count() {
		v, err := decodeVerdict(d.entry(), checks)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if d.err == nil && len(d.rest) > 0 {
		return nil, damagef("something stands behind the verdicts")
	}
	return all, d.err
}

func decodeVerdict(e *decoder, checks []string) (v Verdict, err error) {
	n := int(e.octet())
	if n > len(e.rest) {
		e.fail()
		n = 0
	}
	addr, ok := netip.AddrFromSlice(e.rest[:n])
	if e.err == nil && !ok {
		return v, damagef("a verdict's address has %d octets", n)
	}
	e.rest = e.rest[n:]
	check := e.uvarint()
	v = Verdict{Addr: addr, State: e.octet(), Since: e.time(), Seen: e.time(), Turned: e.time(), Damping: e.octet()}
	switch {
	case e.err != nil:
		return Verdict{}, e.err
	case check >= uint64(len(checks)):
		return Verdict{}, damagef("a verdict's check is not there")
	}
	v.Check = checks[check]
	return v, nil
}
