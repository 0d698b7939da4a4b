package zonestore

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Key names a command: there is one of a kind for a thing at most.
type Key struct {
	// Zone is the zone's name as it is shown; "": every zone.
	Zone string
	// Subject says what Name is of, such as "site", "node" or "rule", and Name
	// which one it is: a label, an address, or the owner of a rule.
	Subject, Name string
	// Kind is what is commanded, such as "drain", "failback" or "active".
	Kind string
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Zone, o.Zone), cmp.Compare(k.Subject, o.Subject), cmp.Compare(k.Name, o.Name), cmp.Compare(k.Kind, o.Kind))
}

// State is a command that an operator gave, and that is in force until it is
// lifted or runs out. Whether it has run out is for the caller to know.
type State struct {
	Key
	// Value is what is commanded beyond the kind, such as the active side.
	Value string
	// From is when it begins, Until when it ends; the zero time: at once, and
	// never. They are kept to the microsecond.
	From, Until time.Time
	// Reason is why, and By who gave it.
	Reason, By string

	// newer are fields that a newer release wrote.
	newer []byte
}

const (
	// maxStates, and maxField, in octets, bound what is kept.
	maxStates = 10_000
	maxField  = 1024
)

// States returns the commands that are in force, in the order of their keys.
func (s *Store) States() (all []State, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		all, err = readStates(tx)
		return err
	})
	return all, err
}

// PutState keeps a command, instead of that with the same key if there is one.
func (s *Store) PutState(state State) error {
	if err := state.check(); err != nil {
		return err
	}
	// Only readStates knows what the fields of newer releases are.
	state.newer = nil
	return s.changeStates(func(all []State) ([]State, error) {
		i, found := find(all, state.Key)
		switch {
		case found:
			all[i] = state
		case len(all) >= maxStates:
			return nil, fmt.Errorf("there are %d drains and other commands in force; lift some before giving more", maxStates)
		default:
			all = slices.Insert(all, i, state)
		}
		return all, nil
	})
}

// ReplaceStates keeps some commands, instead of those with the same keys, and
// forgets others, all at once.
func (s *Store) ReplaceStates(keep []State, forget []Key) error {
	for i := range keep {
		if err := keep[i].check(); err != nil {
			return err
		}
	}
	return s.changeStates(func(all []State) ([]State, error) {
		for _, k := range forget {
			if i, found := find(all, k); found {
				all = slices.Delete(all, i, i+1)
			}
		}
		for _, state := range keep {
			state.newer = nil
			i, found := find(all, state.Key)
			if found {
				all[i] = state
			} else {
				all = slices.Insert(all, i, state)
			}
		}
		if len(all) > maxStates {
			return nil, fmt.Errorf("there would be %d drains and other commands in force, more than %d", len(all), maxStates)
		}
		return all, nil
	})
}

// DeleteState forgets a command; that there is none is no error.
func (s *Store) DeleteState(k Key) error {
	return s.changeStates(func(all []State) ([]State, error) {
		if i, found := find(all, k); found {
			all = slices.Delete(all, i, i+1)
		}
		return all, nil
	})
}

func find(all []State, k Key) (int, bool) {
	return slices.BinarySearchFunc(all, k, func(s State, k Key) int { return s.compare(k) })
}

func (s *State) check() error {
	if s.Name == "" || s.Kind == "" || s.Subject == "" {
		return fmt.Errorf("a command needs a name, what it is of, and a kind: %+v", s.Key)
	}
	for _, text := range s.texts() {
		if len(*text) > maxField {
			return fmt.Errorf("a text of %d octets is too long for a command; shorten it to %d", len(*text), maxField)
		}
	}
	return nil
}

// texts are the fields that are texts, in the order in which they are kept.
func (s *State) texts() []*string {
	return []*string{&s.Zone, &s.Subject, &s.Name, &s.Kind, &s.Value, &s.Reason, &s.By}
}

func (s *Store) changeStates(change func([]State) ([]State, error)) error {
	return s.update(func(tx *bolt.Tx) error {
		all, err := readStates(tx)
		if err != nil {
			return err
		}
		if all, err = change(all); err != nil {
			return err
		}
		return put(tx, bucketState, keyAll, encodeStates(all))
	})
}

func readStates(tx *bolt.Tx) ([]State, error) {
	payload, err := get(tx, bucketState, keyAll)
	if err != nil {
		return nil, err
	}
	return decodeStates(payload)
}

func encodeStates(all []State) []byte {
	out := binary.AppendUvarint(nil, uint64(len(all)))
	var entry []byte
	for i := range all {
		s := &all[i]
		entry = appendTime(appendTime(entry[:0], s.From), s.Until)
		for _, text := range s.texts() {
			entry = appendText(entry, *text)
		}
		entry = append(entry, s.newer...)
		out = append(binary.AppendUvarint(out, uint64(len(entry))), entry...)
	}
	return out
}

func decodeStates(payload []byte) ([]State, error) {
	d := &decoder{rest: payload}
	var all []State
	for range d.count() {
		e := d.entry()
		s := State{From: e.time(), Until: e.time()}
		for _, text := range s.texts() {
			*text = e.text()
		}
		if e.err != nil {
			return nil, e.err
		}
		if len(e.rest) > 0 {
			s.newer = slices.Clone(e.rest)
		}
		if n := len(all); n > 0 && all[n-1].compare(s.Key) >= 0 {
			return nil, damagef("the commands are not in order")
		}
		all = append(all, s)
	}
	if d.err == nil && len(d.rest) > 0 {
		return nil, damagef("something stands behind the commands")
	}
	return all, d.err
}
