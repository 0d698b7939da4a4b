package main

import (
	"net/netip"
	"testing"
)

func TestMayProbe(t *testing.T) {
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("8.8.0.0/16")}
	tests := []struct {
		addr string
		own  bool
		want bool
	}{
		{"9.9.9.9", true, true},
		{"2620:fe::fe", true, true},
		{"9.9.9.9", false, false}, // not the zone's own
		{"8.8.8.8", false, true},  // but allowed
		{"10.1.2.3", true, true},
		{"10.2.2.3", true, false},
		{"127.0.0.1", true, true},
		{"::1", true, false},
		{"169.254.1.1", true, false},
		{"fe80::1", true, false},
		{"fd00::1", true, false},
		{"100.64.0.1", true, false},
		{"192.0.2.1", true, false},
		{"2001:db8::1", true, false},
		{"224.0.0.1", true, false},
		{"0.0.0.0", true, false},
		{"255.255.255.255", true, false},
	}
	for _, tt := range tests {
		if why := mayProbe(allowed, netip.MustParseAddr(tt.addr), tt.own); (why == "") != tt.want {
			t.Errorf("%s, own %t: %q", tt.addr, tt.own, why)
		}
	}
}
