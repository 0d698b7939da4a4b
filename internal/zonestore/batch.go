package zonestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What waits while a transaction is under way shares the next one: a disk takes
// as long for many changes as for one.

// maxBatch bounds, in octets, what shares a transaction.
const maxBatch = 8 << 20

// request is one change of the store, to be done as a whole or not at all.
type request struct {
	// do reads and checks all that it needs before it changes anything, and may
	// be called more than once: an error of its own means that it changed
	// nothing.
	do   func(*batch) error
	size int // octets, about
	err  error
	// wake gets true when the request is to lead, false when it is done.
	wake chan bool
}

// commits are the requests that wait.
type commits struct {
	mu      sync.Mutex
	waiting []*request
	busy    bool
}

// take removes the requests of the next transaction.
func (c *commits) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && (n == 0 || size+c.waiting[n].size <= maxBatch) {
		size += c.waiting[n].size
		n++
	}
	list := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return list
}

// pass hands over to who waits longest.
func (c *commits) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy = len(c.waiting) > 0; c.busy {
		c.waiting[0].wake <- true
	}
}

// commit does something, together with what others want done, and returns when
// it is on the disk.
func (s *Store) commit(size int, do func(*batch) error) error {
	r := &request{do: do, size: size, wake: make(chan bool, 1)}
	c := &s.commits
	c.mu.Lock()
	c.waiting = append(c.waiting, r)
	lead := !c.busy
	c.busy = true
	c.mu.Unlock()
	if !lead && !<-r.wake {
		return r.err
	}
	list := c.take()
	dead := s.run(list)
	c.pass()
	for _, other := range list {
		if other != r {
			other.wake <- false
		}
	}
	s.bury(dead)
	return r.err
}

// run does requests in one transaction, and returns the generations that are of no
// use any more. If it takes history to be cut off to make room, that is done, once.
func (s *Store) run(list []*request) []uint64 {
	size := 0
	for _, r := range list {
		size += r.size
	}
	dead, err := s.transact(list)
	if errors.Is(err, bolterrors.ErrMaxSizeReached) && s.shed(int64(size)) {
		dead, err = s.transact(list)
	}
	if err != nil {
		err = s.cannotWrite(err)
		for _, r := range list {
			r.err = err
		}
		return nil
	}
	return dead
}

// transact does requests in one transaction.
func (s *Store) transact(list []*request) (dead []uint64, err error) {
	err = s.write(func(tx *bolt.Tx) error {
		b := &batch{s: s, tx: tx, heads: map[string]*head{}}
		for _, r := range list {
			if r.err = r.do(b); b.err != nil {
				return b.err
			}
		}
		dead = b.dead
		return b.finish()
	})
	return dead, err
}

// batch is a transaction that several requests share.
type batch struct {
	s     *Store
	tx    *bolt.Tx
	heads map[string]*head // those that changed
	dead  []uint64
	more  int   // zones that something leads to, than before
	err   error // something went wrong with the transaction
}

// head returns a copy of what leads to a zone.
func (b *batch) head(apex []byte) (head, error) {
	if h := b.heads[string(apex)]; h != nil {
		return *h, nil
	}
	h, err := readHead(b.tx, apex)
	switch {
	case err == nil:
		return *h, nil
	case isDamage(err):
		return head{}, b.s.damaged(apex, err)
	}
	return head{}, err
}

// headOrNew is head for a zone of which nothing need be kept yet.
func (b *batch) headOrNew(apex []byte) (head, error) {
	h, err := b.head(apex)
	if errors.Is(err, ErrNotThere) {
		err = nil
	}
	return h, err
}

func (b *batch) setHead(apex []byte, h *head) { b.heads[string(apex)] = h }

// put writes a blob that has room for its checksum.
func (b *batch) put(bucket string, key, blob []byte) {
	if b.err != nil {
		return
	}
	in := b.tx.Bucket([]byte(bucket))
	if in == nil {
		if in, b.err = b.tx.CreateBucket([]byte(bucket)); b.err != nil {
			return
		}
	}
	if bucket == bucketContents || bucket == bucketChanges {
		// Most keys come behind all others.
		in.FillPercent = 0.9
	}
	b.err = in.Put(key, sealed(bucket, string(key), blob))
}

func (b *batch) delete(bucket string, key []byte) {
	if in := b.tx.Bucket([]byte(bucket)); in != nil && b.err == nil {
		b.err = in.Delete(key)
	}
}

// finish writes what leads to the zones that changed.
func (b *batch) finish() error {
	for apex, h := range b.heads {
		if !b.keeps([]byte(apex)) {
			b.more++
		}
		b.put(bucketZones, []byte(apex), append(make([]byte, sealSize), encodeHead(h)...))
	}
	if b.err != nil || b.more == 0 {
		return b.err
	}
	n, err := countOfZones(b.tx)
	if err != nil {
		return err
	}
	return putCountOfZones(b.tx, n+b.more)
}

// keeps reports whether something leads to a zone in the transaction.
func (b *batch) keeps(apex []byte) bool {
	in := b.tx.Bucket([]byte(bucketZones))
	return in != nil && in.Get(apex) != nil
}

// What a zone's contents and changes consist of is kept under generations:
// numbers that are given once, in keys of
//
//	contents   generation, number of the blob
//	changes    generation, number of the change, number of the blob
//
// most significant octet first.

func contentKey(gen uint64, blob uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, 12), gen), blob)
}

func changeKey(gen, n uint64, blob uint32) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 20), gen)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(key, n), blob)
}

// generations has those that are of no use any more dropped when nobody reads
// them.
type generations struct {
	mu   sync.Mutex
	last uint64         // that was given
	held map[uint64]int // how many read it
	dead map[uint64]bool
}

func (s *Store) newGeneration() uint64 {
	g := &s.gens
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	return g.last
}

// hold reads what leads to a zone, all of which stays until release.
func (s *Store) hold(apex []byte) (*head, error) {
	// Whatever is replaced after it was read is buried after this lock is free.
	s.gens.mu.Lock()
	defer s.gens.mu.Unlock()
	var h *head
	err := s.guard(func() error {
		return s.db.View(func(tx *bolt.Tx) (err error) {
			h, err = readHead(tx, apex)
			return err
		})
	})
	if err != nil {
		return nil, s.cannotRead(apex, err)
	}
	for _, gen := range h.generations() {
		s.gens.held[gen]++
	}
	return h, nil
}

func (s *Store) release(h *head) {
	s.gens.mu.Lock()
	buried := false
	for _, gen := range h.generations() {
		if s.gens.held[gen]--; s.gens.held[gen] <= 0 {
			delete(s.gens.held, gen)
			buried = buried || s.gens.dead[gen]
		}
	}
	s.gens.mu.Unlock()
	if buried {
		s.bury(nil)
	}
}

// isHeld reports whether a generation is being read.
func (s *Store) isHeld(gen uint64) bool {
	s.gens.mu.Lock()
	defer s.gens.mu.Unlock()
	return s.gens.held[gen] > 0
}

// bury drops generations, those that are being read when that ends. What can't be
// dropped now is dropped later, at the latest when the store is opened.
func (s *Store) bury(dead []uint64) {
	g := &s.gens
	g.mu.Lock()
	for _, gen := range dead {
		g.dead[gen] = true
	}
	var list []uint64
	for gen := range g.dead {
		if g.held[gen] == 0 {
			list = append(list, gen)
			delete(g.dead, gen)
		}
	}
	g.mu.Unlock()
	for i, gen := range list {
		if err := s.drop(gen); err != nil {
			g.mu.Lock()
			for _, gen := range list[i:] {
				g.dead[gen] = true
			}
			g.mu.Unlock()
			return
		}
	}
}

// dropAtOnce is how many blobs are dropped in one transaction, so that others
// need not wait for long.
const dropAtOnce = 2048

// drop deletes all of a generation.
func (s *Store) drop(gen uint64) error {
	prefix := binary.BigEndian.AppendUint64(nil, gen)
	for _, name := range []string{bucketContents, bucketChanges} {
		for more := true; more; {
			var keys [][]byte
			read := func(tx *bolt.Tx) error {
				keys = keysOf(tx.Bucket([]byte(name)), prefix, dropAtOnce)
				return nil
			}
			if err := s.view(read); err != nil {
				return err
			}
			if more = len(keys) == dropAtOnce; len(keys) == 0 {
				break
			}
			err := s.commit(len(keys)*perChange, func(b *batch) error {
				for _, key := range keys {
					b.delete(name, key)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func keysOf(b *bolt.Bucket, prefix []byte, most int) (keys [][]byte) {
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(keys) < most; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}
