package zonestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

// Timers are how far a zone that came by transfer is from its primary (RFC 1034
// 4.3.5). Times are kept to the microsecond.
type Timers struct {
	Serial uint32
	// Refreshed is when a primary was last known to have nothing newer, Refresh
	// when that is to be asked again, Expire when the zone is not to be served
	// any more.
	Refreshed, Refresh, Expire time.Time
	Primary                    string // that answered last
}

// timersWait is how long timers wait for others to be written with.
const timersWait = 2 * time.Second

// waitingTimers are those that are not written yet, by apex.
type waitingTimers struct {
	mu      sync.Mutex
	all     map[string]Timers
	flush   *time.Timer // nil: nothing waits
	closed  bool
	writing map[string]Timers
	one     sync.Mutex // who writes
}

// PutTimers keeps the timers of a zone. They are written within two seconds,
// together with others, and by Close: a process that dies before loses them, which
// costs one question to the primary.
func (s *Store) PutTimers(apex []byte, t Timers) error {
	if len(t.Primary) > maxField {
		return fmt.Errorf("the primary's name of %s has %d octets; at most %d are kept", wire.NameString(apex), len(t.Primary), maxField)
	}
	w := &s.timers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("cannot write %s: it is closed", s.path)
	}
	if w.all == nil {
		w.all = map[string]Timers{}
	}
	w.all[string(apex)] = t
	if w.flush == nil {
		w.flush = time.AfterFunc(timersWait, func() { _ = s.FlushTimers() })
	}
	return nil
}

// FlushTimers writes the timers that wait. If that fails, they go on waiting.
func (s *Store) FlushTimers() error {
	w := &s.timers
	w.one.Lock()
	defer w.one.Unlock()
	list := w.take()
	if len(list) == 0 {
		return nil
	}
	err := s.commit(len(list)*perChange, func(b *batch) error {
		for apex, t := range list {
			b.put(bucketTimers, []byte(apex), encodeTimers(t))
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = nil
	if err != nil {
		// Newer ones win.
		maps.Copy(list, w.all)
		w.all = list
	}
	if len(w.all) > 0 && w.flush == nil && !w.closed {
		w.flush = time.AfterFunc(timersWait, func() { _ = s.FlushTimers() })
	}
	return err
}

// take returns the timers that wait, and stops the clock.
func (w *waitingTimers) take() map[string]Timers {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flush != nil {
		w.flush.Stop()
		w.flush = nil
	}
	w.all, w.writing = nil, w.all
	return w.writing
}

// Timers returns those of a zone; false: there are none.
func (s *Store) Timers(apex []byte) (t Timers, ok bool, err error) {
	w := &s.timers
	w.mu.Lock()
	t, ok = w.all[string(apex)]
	if !ok {
		t, ok = w.writing[string(apex)]
	}
	w.mu.Unlock()
	if ok {
		return t.kept(), true, nil
	}
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketTimers))
		if b == nil {
			return nil
		}
		blob := b.Get(apex)
		if blob == nil {
			return nil
		}
		payload, err := unseal(bucketTimers, string(apex), blob)
		if err == nil {
			t, err = decodeTimers(payload)
		}
		ok = err == nil
		return err
	})
	if errors.Is(err, ErrDamaged) {
		return Timers{}, false, s.damaged(apex, err)
	}
	return t, ok, err
}

// kept is what is left of timers when they have been written.
func (t Timers) kept() Timers {
	d := decoder{rest: appendTime(appendTime(appendTime(nil, t.Refreshed), t.Refresh), t.Expire)}
	t.Refreshed, t.Refresh, t.Expire = d.time(), d.time(), d.time()
	return t
}

// close takes no more.
func (w *waitingTimers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// forget drops those of a zone that wait.
func (w *waitingTimers) forget(apex []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, string(apex))
}

func encodeTimers(t Timers) []byte {
	b := binary.AppendUvarint(make([]byte, sealSize, 64), uint64(t.Serial))
	b = appendTime(appendTime(appendTime(b, t.Refreshed), t.Refresh), t.Expire)
	return appendText(b, t.Primary)
}

func decodeTimers(payload []byte) (Timers, error) {
	d := &decoder{rest: payload}
	t := Timers{Serial: d.number32(), Refreshed: d.time(), Refresh: d.time(), Expire: d.time(), Primary: d.text()}
	return t, d.err
}
