package update

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"geodns/internal/publish"
	"geodns/internal/wire"
	"geodns/internal/zone"
)

// MaxWaiting is how many updates of one zone may wait, beside those that are
// being kept.
const MaxWaiting = 4096

// maxTogether is how many records of updates are kept together at most, unless one
// update alone has more: so that what waits does not add up to a World.
const maxTogether = 1 << 16

// ErrBusy: too many updates of the zone wait.
var ErrBusy = fmt.Errorf("more than %d updates of the zone wait to be kept; slow down, or put several changes into one message", MaxWaiting)

// Edit changes the zone of an apex: publish.Publisher.Edit, for updates. edit is
// called at most once.
type Edit func(apex []byte, edit func(cur *zone.Zone) []publish.Edition) error

// Failed is told, once for all of them, that so many updates of a zone were
// answered with SERVFAIL, and why.
type Failed func(apex []byte, updates int, err error)

// Updater does updates. Those of one zone are done in the order in which they
// came, each on what the one before it has made; what comes while others are being
// kept waits, and is kept together, since that takes no longer than one. Zones do
// not wait for each other.
type Updater struct {
	edit   Edit
	failed Failed // nil: nobody

	mu     sync.Mutex
	queues map[string]*queue // by apex: those that somebody works on
}

// queue are the updates of a zone that wait.
type queue struct {
	apex    []byte
	waiting []*job
	// full: one was turned away since somebody last took some.
	full bool
}

type job struct {
	req    *Request
	by     string
	grants Grants
	done   func(wire.Rcode, error)

	refusal error
	// depends: what came of it holds only if the edit that it was part of does.
	depends bool
}

// NewUpdater returns an Updater.
func NewUpdater(edit Edit, failed Failed) *Updater {
	return &Updater{edit: edit, failed: failed, queues: map[string]*queue{}}
}

// Submit has a request done to the zone of an apex (wire form, lower case), by
// somebody who may do what grants say. done hears of it, once: of NOERROR when the
// change is kept and served (RFC 2136 3.5), or else of why not; of SERVFAIL when
// that is nothing that the request could help. It must not wait for anything.
func (u *Updater) Submit(apex []byte, req *Request, by string, grants Grants, done func(wire.Rcode, error)) {
	first, ok := u.enqueue(apex, &job{req: req, by: by, grants: grants, done: done})
	if ok {
		return
	}
	if first {
		u.tell(apex, 1, ErrBusy)
	}
	done(wire.RcodeServFail, ErrBusy)
}

// enqueue lets a job wait, or reports that there is no room, and whether that is
// so since just now.
func (u *Updater) enqueue(apex []byte, j *job) (first, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	q := u.queues[string(apex)]
	if q == nil {
		q = &queue{apex: append([]byte(nil), apex...)}
		u.queues[string(apex)] = q
		go u.run(q)
	}
	if len(q.waiting) >= MaxWaiting {
		first = !q.full
		q.full = true
		return first, false
	}
	q.waiting = append(q.waiting, j)
	return false, true
}

// run does what waits until nothing does.
func (u *Updater) run(q *queue) {
	for {
		batch := u.take(q)
		if len(batch) == 0 {
			return
		}
		u.do(q.apex, batch)
	}
}

// take takes what waits, or forgets the queue if nothing does.
func (u *Updater) take(q *queue) []*job {
	u.mu.Lock()
	defer u.mu.Unlock()
	q.full = false
	if len(q.waiting) == 0 {
		delete(u.queues, string(q.apex))
		return nil
	}
	n, records := 0, 0
	for ; n < len(q.waiting); n++ {
		records += len(q.waiting[n].req.Updates)
		if n > 0 && records > maxTogether {
			break
		}
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil // the batch's memory goes with it
	}
	return batch
}

// do does updates together, and answers them. If they make the zone's steering
// invalid, halves of them are done, one after the other, until those that do it
// stand alone: only they are refused.
func (u *Updater) do(apex []byte, batch []*job) {
	err := u.together(apex, batch)
	var invalid *publish.SteeringError
	steering := errors.As(err, &invalid)
	if steering && len(batch) > 1 {
		u.do(apex, batch[:len(batch)/2])
		u.do(apex, batch[len(batch)/2:])
		return
	}
	failed := 0
	for _, j := range batch {
		switch {
		case err != nil && j.depends && steering:
			j.done(wire.RcodeRefused, refuse(wire.RcodeRefused, nil, "the zone's steering would be invalid: %v", err))
		case err != nil && j.depends:
			failed++
			j.done(wire.RcodeServFail, err)
		default:
			j.answer()
		}
	}
	if failed > 0 {
		u.tell(apex, failed, err)
	}
}

// answer says what came of a job.
func (j *job) answer() {
	var r *Refusal
	switch {
	case j.refusal == nil:
		j.done(wire.RcodeNoError, nil)
	case errors.As(j.refusal, &r):
		j.done(r.Rcode, j.refusal)
	default:
		j.done(wire.RcodeServFail, j.refusal)
	}
}

// together does updates in one edit. What a job was told depends on the edit if it
// changed something, or if one before it did: what was refused because of a record
// that another was to bring is not refused because of it if it never came.
func (u *Updater) together(apex []byte, batch []*job) (err error) {
	for _, j := range batch {
		j.refusal, j.depends = nil, true
	}
	// Whoever waits is answered, whatever happens: else the zone takes no more
	// updates.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic in an update: %v\n%s", cause, debug.Stack())
		}
	}()
	return u.edit(apex, func(cur *zone.Zone) []publish.Edition {
		var list []publish.Edition
		for _, j := range batch {
			next, changes, err := Do(cur, j.req, j.grants)
			j.refusal = err
			if err == nil && !changes.Empty() {
				list = append(list, publish.Edition{Zone: next, Changes: changes, By: j.by})
				cur = next
			}
			j.depends = len(list) > 0
		}
		return list
	})
}

func (u *Updater) tell(apex []byte, updates int, err error) {
	if u.failed != nil {
		u.failed(apex, updates, err)
	}
}
