package publish

import (
	"sync"

	"geodns/internal/zone"
)

// commits keeps versions of zones that files can make again: they are served
// first, and kept behind. Those of one zone are kept one after the other.
type commits struct {
	p    *Publisher
	mu   sync.Mutex
	done *sync.Cond
	// waiting are the zones that have something to be kept, in the order in which
	// they came; jobs are by apex. running is how many are being kept.
	waiting []string
	jobs    map[string][]commit
	busy    map[string]bool
	running int
}

// maxCommits is how many zones are kept at once: so that they can share what a
// disk takes for each.
const maxCommits = 32

// commit is one version to be kept.
type commit struct {
	from, to *zone.Zone // from is nil if there was none that is known
	changes  *zone.Changeset
	seed     *zone.Zone // what the file says
	source   Source
	version  Version
	// same: the version is kept already, but other files say so now, which is to be
	// known when they are read at the next start.
	same bool
}

func newCommits(p *Publisher) *commits {
	c := &commits{p: p, jobs: map[string][]commit{}, busy: map[string]bool{}}
	c.done = sync.NewCond(&c.mu)
	return c
}

// add has a version kept.
func (c *commits) add(apex []byte, job commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := string(apex)
	c.jobs[key] = append(c.jobs[key], job)
	if !c.busy[key] {
		c.busy[key] = true
		c.waiting = append(c.waiting, key)
	}
	if c.running < maxCommits {
		c.running++
		go c.run()
	}
}

// run keeps what waits until nothing does.
func (c *commits) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > 0 {
		key := c.waiting[0]
		c.waiting = c.waiting[1:]
		list := c.jobs[key]
		delete(c.jobs, key)
		c.mu.Unlock()
		for i := range list {
			c.p.commit(&list[i])
		}
		c.mu.Lock()
		if len(c.jobs[key]) > 0 {
			c.waiting = append(c.waiting, key)
			continue
		}
		delete(c.busy, key)
		c.done.Broadcast()
	}
	c.running--
	c.done.Broadcast()
}

// wait waits until all of a zone's versions are kept.
func (c *commits) wait(apex []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy[string(apex)] {
		c.done.Wait()
	}
}

// flush waits until everything is kept.
func (c *commits) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.running > 0 {
		c.done.Wait()
	}
}

// commit keeps one version, and tells of it.
func (p *Publisher) commit(job *commit) {
	v := job.version
	v.To = job.to.Serial()
	v.From = v.To
	if job.same {
		if err := p.keepSource(job, v); err != nil {
			p.unkept(job.to.Apex(), err)
		}
		return
	}
	if job.from != nil {
		v.From = job.from.Serial()
		if v.Changes = job.changes; v.Changes == nil {
			v.Changes = zone.Diff(job.from, job.to)
			v.Changes.SOAFirst()
		}
	}
	if err := p.keep(job, v); err != nil {
		p.unkept(job.to.Apex(), err)
	}
	p.committed(job.to)
}

// keep keeps a version of a file. Of zones that only files make their serials
// and changes are kept; of those that take updates all there is.
func (p *Publisher) keep(job *commit, v Version) error {
	apex := job.to.Apex()
	if !p.takes(apex) {
		return p.versions.Keep(apex, job.source, []Version{v})
	}
	var err error
	if job.from == nil {
		err = p.versions.KeepWhole(job.to, job.source, v)
	} else {
		err = p.versions.Keep(apex, job.source, []Version{v})
	}
	if err != nil {
		return err
	}
	return p.versions.KeepSeed(job.seed, job.source)
}

// keepSource notes what a version is made of by now.
func (p *Publisher) keepSource(job *commit, v Version) error {
	serial, source, ok := p.versions.Last(job.to.Apex())
	if !ok || serial != v.To || source == job.source {
		return nil
	}
	return p.versions.Keep(job.to.Apex(), job.source, []Version{v})
}

// Flush waits until every version that is served is kept, as far as that can be.
func (p *Publisher) Flush() { p.commits.flush() }

// Kept waits until every version of a zone that is served is kept, as far as that
// can be: a version that others get must not be lost, since its serial would be
// given to another one.
func (p *Publisher) Kept(apex []byte) { p.commits.wait(apex) }

// unkept tells of a version that can't be kept.
func (p *Publisher) unkept(apex []byte, err error) {
	if p.o.Unkept != nil {
		p.o.Unkept(apex, err)
	}
}

// committed tells of a version that is served, and kept if anything is.
func (p *Publisher) committed(z *zone.Zone) {
	if p.o.Committed != nil {
		p.o.Committed(z)
	}
}
