package harness

import "fmt"

// Probe is a raw message that is sent to a server on its own, outside of a
// scenario.
type Probe struct {
	Name string
	// Lines assemble the message, in the notation of the scenarios.
	Lines []string
}

// Send sends the probe's message over UDP and returns the header of what comes,
// nil if nothing does.
func (p Probe) Send(s *Server) (*Reply, error) {
	m, err := assemble(p.Lines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	r, err := m.exchange(s.Addr())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}

// Summary is the reply on one line, as in the reference of the edge probes:
// RCODE, flags, and how many records each section has. Flags that must not be
// set at all (Z, AD, CD) are one word.
func (r *Reply) Summary() string {
	if r.Drop {
		return "drop"
	}
	s, reserved := r.Rcode, false
	for _, f := range r.Flags {
		switch f {
		case "aa":
			s += " AA"
		case "tc":
			s += " TC"
		case "rd":
			s += " RD"
		case "z", "ad", "cd":
			reserved = true
		}
	}
	if reserved {
		s += " Z/AD/CD"
	}
	additional := len(r.Records[sectionAdditional])
	if r.EDNS != nil {
		additional++
	}
	if r.TSIG != "" {
		additional++
	}
	return fmt.Sprintf("%s q%d a%d n%d x%d", s, len(r.Question), len(r.Records[sectionAnswer]), len(r.Records[sectionAuthority]), additional)
}
