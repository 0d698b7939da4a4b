package zonestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"slices"
)

// What bbolt's files are made of. The format has been the same since 2014, and
// has its version in it.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	metaSize    = 64 // its last 8 octets are the FNV-1a of those before
	elementSize = 16
	bucketSize  = 16 // root 8, sequence 8

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10

	bucketElement = 1

	noFreelist  = ^uint64(0)
	minPageSize = 1 << 10
	maxPageSize = 1 << 24
	maxKeySize  = 1 << 15
	// maxNesting is how deep trees and buckets may lie in each other: a few
	// levels hold more than any file.
	maxNesting = 64
)

// verify walks over the pages of a database and returns a damage if bbolt could
// be led astray by them: it maps the file into memory and follows what is there,
// so that a wrong length or page ends the process by a fault that cannot be
// caught, or sends it into an endless recursion. Values are not looked at.
func verify(f io.ReaderAt, size int64) error {
	v := &verifier{f: f, size: size}
	if err := v.findMeta(); err != nil {
		return err
	}
	v.seen = make([]uint64, v.pages/64+1)
	// The two pages of metadata.
	v.seen[0] = 3
	if err := v.tree(v.root, keyRange{}, 0); err != nil {
		return err
	}
	return v.freePages()
}

type verifier struct {
	f        io.ReaderAt
	size     int64 // of the file, in octets
	pageSize int64
	pages    uint64 // the first page number that is not in use yet
	root     uint64
	freelist uint64
	seen     []uint64 // a bit for each page that something points to
}

// keyRange is what keys may lie in: from low, below high if it is not nil.
type keyRange struct{ low, high []byte }

// findMeta reads the metadata that bbolt will take: of the two the valid one
// with the higher transaction.
func (v *verifier) findMeta() error {
	if err := v.findPageSize(); err != nil {
		return err
	}
	var best []byte
	var newest uint64
	for _, at := range []int64{0, v.pageSize} {
		if m := v.meta(at); m != nil && int64(number32(m[8:])) == v.pageSize {
			if txid := number64(m[48:]); best == nil || txid > newest {
				best, newest = m, txid
			}
		}
	}
	if best == nil {
		return damagef("both pages of metadata are wrong")
	}
	v.root, v.freelist, v.pages = number64(best[16:]), number64(best[32:]), number64(best[40:])
	if v.pages < 4 || v.pages > uint64(v.size/v.pageSize) {
		return damagef("it should have %d pages of %d octets, and has %d octets in all", v.pages, v.pageSize, v.size)
	}
	return nil
}

// findPageSize looks for it as bbolt does: in the first page, or else at every
// place where the second one may begin.
func (v *verifier) findPageSize() error {
	at := []int64{0}
	for p := int64(minPageSize); p <= maxPageSize && p < v.size; p *= 2 {
		at = append(at, p)
	}
	for _, at := range at {
		m := v.meta(at)
		if m == nil {
			continue
		}
		p := int64(number32(m[8:]))
		if p >= minPageSize && p <= maxPageSize && p&(p-1) == 0 && (at == 0 || at == p) {
			v.pageSize = p
			return nil
		}
	}
	return damagef("it is no database, or both pages of metadata are wrong")
}

// meta reads the metadata of the page at a place in the file; nil if it is not
// valid.
func (v *verifier) meta(at int64) []byte {
	m := make([]byte, metaSize)
	if _, err := v.f.ReadAt(m, at+pageHeader); err != nil {
		return nil
	}
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8])
	if number32(m) != boltMagic || number32(m[4:]) != boltVersion || number64(m[metaSize-8:]) != sum.Sum64() {
		return nil
	}
	return m
}

// page is one page with those that run over from it, or a bucket's that lies in
// the value of its element.
type page struct {
	v     *verifier
	at    int64 // in the file
	size  int64 // in octets, header included
	flags uint16
	count int
	head  []byte // the first octets
}

// page reads the page of a number, and marks it as seen with those that run over
// from it.
func (v *verifier) page(id uint64) (*page, error) {
	if id < 2 || id >= v.pages {
		return nil, damagef("page %d is pointed to, of %d", id, v.pages)
	}
	p := &page{v: v, at: int64(id) * v.pageSize, size: v.pageSize}
	if err := p.read(); err != nil {
		return nil, err
	}
	overflow := uint64(number32(p.head[12:]))
	if number64(p.head) != id || id+overflow >= v.pages {
		return nil, damagef("page %d says that it is page %d, with %d more, of %d", id, number64(p.head), overflow, v.pages)
	}
	p.size += int64(overflow) * v.pageSize
	for i := id; i <= id+overflow; i++ {
		if err := v.mark(i); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (v *verifier) mark(id uint64) error {
	if v.seen[id/64]>>(id%64)&1 != 0 {
		return damagef("page %d is pointed to twice", id)
	}
	v.seen[id/64] |= 1 << (id % 64)
	return nil
}

func (p *page) read() error {
	p.head = make([]byte, min(p.size, p.v.pageSize))
	if _, err := p.v.f.ReadAt(p.head, p.at); err != nil {
		return readError(err)
	}
	p.flags, p.count = number16(p.head[8:]), int(number16(p.head[10:]))
	return nil
}

// octets returns n octets from a place in the page.
func (p *page) octets(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > p.size || n > p.size-at {
		return nil, damagef("something in the page at %d lies outside of it", p.at)
	}
	if at+n <= int64(len(p.head)) {
		return p.head[at : at+n], nil
	}
	b := make([]byte, n)
	if _, err := p.v.f.ReadAt(b, p.at+at); err != nil {
		return nil, readError(err)
	}
	return b, nil
}

// readError takes a file that ends too early for damaged. What else is wrong
// with reading it may pass.
func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return damagef("it ends too early")
	}
	return err
}

// element is what a page says of one of its keys.
type element struct {
	flags uint32
	key   []byte
	child uint64 // in branches: the page
	// in leaves: where the value is in the page.
	value, valueSize int64
}

func (p *page) element(i int) (e element, err error) {
	at := int64(pageHeader + i*elementSize)
	b, err := p.octets(at, elementSize)
	if err != nil {
		return e, err
	}
	var pos, keySize int64
	if p.flags == pageBranch {
		pos, keySize, e.child = int64(number32(b)), int64(number32(b[4:])), number64(b[8:])
	} else {
		e.flags, pos, keySize, e.valueSize = number32(b), int64(number32(b[4:])), int64(number32(b[8:])), int64(number32(b[12:]))
	}
	if keySize == 0 || keySize > maxKeySize || at+pos < int64(pageHeader+p.count*elementSize) || e.flags&^bucketElement != 0 {
		return e, damagef("element %d of the page at %d is wrong", i, p.at)
	}
	if e.key, err = p.octets(at+pos, keySize); err != nil {
		return e, err
	}
	e.value = at + pos + keySize
	if p.flags == pageLeaf && (e.value > p.size || e.valueSize > p.size-e.value) {
		return e, damagef("a value in the page at %d lies outside of it", p.at)
	}
	return e, nil
}

// elements reads all of them. Their keys must ascend, within a range.
func (p *page) elements(keys keyRange) ([]element, error) {
	var all []element
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return nil, err
		}
		if bytes.Compare(e.key, keys.low) < 0 || keys.high != nil && bytes.Compare(e.key, keys.high) >= 0 ||
			i > 0 && bytes.Compare(all[i-1].key, e.key) >= 0 {
			return nil, damagef("the keys of the page at %d are not in order", p.at)
		}
		e.key = slices.Clone(e.key)
		all = append(all, e)
	}
	return all, nil
}

// tree walks from a page down to its leaves, and into the buckets in them.
func (v *verifier) tree(id uint64, keys keyRange, depth int) error {
	if depth > maxNesting {
		return damagef("pages lie more than %d deep", maxNesting)
	}
	p, err := v.page(id)
	if err != nil {
		return err
	}
	if p.flags != pageLeaf && (p.flags != pageBranch || p.count == 0) {
		return damagef("page %d is of kind %#x, with %d elements", id, p.flags, p.count)
	}
	all, err := p.elements(keys)
	if err != nil {
		return err
	}
	for i, e := range all {
		if p.flags == pageBranch {
			below := keyRange{e.key, keys.high}
			if i+1 < len(all) {
				below.high = all[i+1].key
			}
			err = v.tree(e.child, below, depth+1)
		} else if e.flags == bucketElement {
			err = v.bucket(p, e, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket walks over a bucket, which has pages of its own, or lies in its
// element's value.
func (v *verifier) bucket(p *page, e element, depth int) error {
	if e.valueSize < bucketSize {
		return damagef("a bucket in the page at %d is too short", p.at)
	}
	head, err := p.octets(e.value, bucketSize)
	if err != nil {
		return err
	}
	if root := number64(head); root != 0 {
		return v.tree(root, keyRange{}, depth)
	}
	in := &page{v: v, at: p.at + e.value + bucketSize, size: e.valueSize - bucketSize}
	if in.size < pageHeader {
		return damagef("a bucket in the page at %d is too short", p.at)
	}
	if err := in.read(); err != nil {
		return err
	}
	if in.flags != pageLeaf || number32(in.head[12:]) != 0 {
		return damagef("a bucket in the page at %d is of kind %#x", p.at, in.flags)
	}
	all, err := in.elements(keyRange{})
	if err != nil {
		return err
	}
	// Only buckets with pages of their own hold others.
	if slices.ContainsFunc(all, func(e element) bool { return e.flags != 0 }) {
		return damagef("a bucket in the page at %d lies too deep", p.at)
	}
	return nil
}

// freePages reads which pages may be written to: nothing must point to them.
func (v *verifier) freePages() error {
	if v.freelist == noFreelist {
		return nil
	}
	p, err := v.page(v.freelist)
	if err != nil {
		return err
	}
	if p.flags != pageFreelist {
		return damagef("page %d is of kind %#x instead of the list of free pages", v.freelist, p.flags)
	}
	at, count := int64(pageHeader), uint64(p.count)
	if p.count == 0xFFFF {
		b, err := p.octets(at, 8)
		if err != nil {
			return err
		}
		at, count = at+8, number64(b)
	}
	if count > v.pages {
		return damagef("%d of %d pages are free", count, v.pages)
	}
	ids, err := p.octets(at, int64(count)*8)
	if err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		id := number64(ids)
		if id < 2 || id >= v.pages {
			return damagef("page %d is free, of %d", id, v.pages)
		}
		if err := v.mark(id); err != nil {
			return err
		}
	}
	return nil
}

// bbolt writes numbers as the machine has them.

func number16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func number32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func number64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }
