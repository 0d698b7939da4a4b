package probe

import "fmt"

// tcp connects, and reads the banner if something is expected of it.
func (r *attempt) tcp() (string, error) {
	d, err := r.converse()
	if err != nil {
		return "", err
	}
	if r.c.Expect == "" {
		return "connected", nil
	}
	banner, err := d.line("waiting for the banner")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("banner %s", banner), d.expect(banner)
}
