package zonefile

import (
	"bytes"
	"slices"

	"geodns/internal/wire"
)

// The keys of SVCB and HTTPS that depend on others (RFC 9460 14.3.2).
const (
	keyMandatory     = 0
	keyALPN          = 1
	keyNoDefaultALPN = 2
	keyReserved      = 65535
)

// checkService says what is wrong with the RDATA of SVCB or HTTPS, beyond what
// its form shows (RFC 9460 2.2, 7.1, 8); an empty message: nothing.
func checkService(data []byte) (message, remedy string) {
	n := 0
	if len(data) > 2 {
		n = wire.NameLen(data[2:])
	}
	if n == 0 {
		return "the record has no priority or target", "write a priority, a target and keys"
	}
	params := data[2+n:]
	// RFC 9460 2.2: keys come once each, in increasing order.
	last := -1
	var mandatory []byte
	var seen [3]bool
	for rest := params; len(rest) > 0; {
		if len(rest) < 4 || len(rest) < 4+int(rest[2])<<8+int(rest[3]) {
			return "the keys are cut short", "correct their lengths"
		}
		key, length := int(rest[0])<<8|int(rest[1]), int(rest[2])<<8|int(rest[3])
		value := rest[4 : 4+length]
		if key <= last {
			return "the keys are not in order, or one comes twice", "write each key once"
		}
		if key == keyReserved {
			return "the key 65535 is reserved", "write another"
		}
		if key < len(seen) {
			seen[key] = true
		}
		if key == keyMandatory {
			mandatory = value
		}
		if key == keyALPN && length == 0 {
			return "alpn names no protocol", `write at least one, such as alpn="h2"`
		}
		last, rest = key, rest[4+length:]
	}
	if seen[keyNoDefaultALPN] && !seen[keyALPN] {
		return "there is no-default-alpn without alpn", "write alpn as well, or remove it (RFC 9460 7.1.1)"
	}
	if seen[keyMandatory] {
		return checkMandatory(mandatory, params)
	}
	return "", ""
}

// aliasWithKeys reports whether valid RDATA of SVCB or HTTPS is an alias with
// keys. They should not be there, and are ignored (RFC 9460 2.4.2).
func aliasWithKeys(data []byte) bool {
	return data[0] == 0 && data[1] == 0 && len(data) > 2+wire.NameLen(data[2:])
}

// checkMandatory is RFC 9460 8: the list is not empty, in order, does not name
// itself and names only keys that are there.
func checkMandatory(list, params []byte) (message, remedy string) {
	if len(list) == 0 || len(list)%2 != 0 {
		return "mandatory lists no key", "list at least one, or remove it"
	}
	last := -1
	for ; len(list) > 0; list = list[2:] {
		key := int(list[0])<<8 | int(list[1])
		switch {
		case key == keyMandatory:
			return "mandatory lists itself", "remove it from its list"
		case key == keyReserved:
			return "mandatory lists something that is no key", "correct its name"
		case key <= last:
			return "mandatory lists a key twice", "list each key once"
		case !hasKey(params, key):
			return "mandatory lists a key that is not there", "add the key, or remove it from the list (RFC 9460 8)"
		}
		last = key
	}
	return "", ""
}

// hasKey looks for a key in well-formed parameters.
func hasKey(params []byte, key int) bool {
	for len(params) >= 4 {
		if int(params[0])<<8|int(params[1]) == key {
			return true
		}
		params = params[4+(int(params[2])<<8|int(params[3])):]
	}
	return false
}

// The library takes the value of a known key in that key's own form only, even
// where the key is written as a number, and the value as plain octets (RFC 9460
// 2.1). For it such keys are written as private ones, standIn further on
// (RFC 9460 14.3.1), and put right in the RDATA.
const (
	standIn   = 65280
	knownKeys = 9 // 0 to 8 have names
)

// standInKey returns the key that stands in for one that a token, such as
// key3=, names by number; ok is false for all others.
func standInKey(text []byte) (key, length int, ok bool) {
	if len(text) < 4 || string(text[:3]) != "key" || text[3] < '0' || text[3] >= '0'+knownKeys || len(text) > 4 && text[4] != '=' {
		return 0, 0, false
	}
	return standIn + int(text[3]-'0'), 4, true
}

// realKeys puts the keys right that others stand in for, by the bits of which,
// and all keys in order (RFC 9460 2.2). data is valid RDATA of SVCB or HTTPS.
func realKeys(data []byte, which uint16) []byte {
	at := 2 + wire.NameLen(data[2:])
	var params [][]byte
	for rest := data[at:]; len(rest) >= 4; {
		end := min(4+(int(rest[2])<<8|int(rest[3])), len(rest))
		if key := int(rest[0])<<8 | int(rest[1]); key >= standIn && key < standIn+knownKeys && which>>(key-standIn)&1 != 0 {
			rest[0], rest[1] = 0, byte(key-standIn)
		}
		params, rest = append(params, bytes.Clone(rest[:end])), rest[end:]
	}
	slices.SortStableFunc(params, func(a, b []byte) int { return bytes.Compare(a[:2], b[:2]) })
	return append(data[:at], slices.Concat(params...)...)
}
