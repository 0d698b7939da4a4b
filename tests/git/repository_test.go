package git

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is a clone whose work tree is served, with what it is cloned from.
type repository struct {
	t       *testing.T
	rng     *rand.Rand
	origin  string
	tree    string
	history *history

	main   []versions // of the commits on main
	topics []topic
	now    versions // what the work tree holds
	head   int      // the commit on main that is checked out; -1: another
	edits  int      // how often the work tree changed
}

// topic is a branch of some commits.
type topic struct {
	base  int        // the commit on main that it leaves from
	steps []versions // of its commits: only the topic's zones count
}

const topicSteps = 3

// newRepository makes a history of some commits and checks out the first.
func newRepository(t *testing.T, rng *rand.Rand, commits, topics int) *repository {
	t.Helper()
	top := t.TempDir()
	r := &repository{t: t, rng: rng, origin: filepath.Join(top, "origin.git"), tree: filepath.Join(top, "tree"), history: &history{}}
	r.git(top, "init", "-q", "--bare", "--initial-branch=main", r.origin)
	cmd := r.command(r.origin, "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(r.write(commits, topics))
	r.run(cmd)
	r.git(top, "clone", "-q", r.origin, r.tree)
	// What the server writes beside the zones is no matter of git's.
	if err := os.WriteFile(filepath.Join(r.tree, ".git", "info", "exclude"), []byte("/*\n!/zones\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.history.add(&r.main[0])
	r.git(r.tree, "checkout", "-q", "--detach", "m0")
	r.now = r.main[0]
	r.verify()
	return r
}

// write makes the commits, as git fast-import reads them. Commits are tagged m0,
// m1, .. and the ends of topics t0, t1, ..
func (r *repository) write(commits, topics int) string {
	var b strings.Builder
	marks := 0
	commit := func(ref, tag string, from int, was, is *versions) {
		marks++
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\ncommitter T <t@test> %d +0000\ndata 1\nx", ref, marks, 1_700_000_000+marks)
		if from > 0 {
			fmt.Fprintf(&b, "\nfrom :%d", from)
		}
		for k := range zones {
			switch {
			case was != nil && was[k] == is[k]:
			case is[k] == absent && was != nil:
				fmt.Fprintf(&b, "\nD %s\nD %s", zonePath(k), includePath(k))
			case is[k] != absent:
				z, inc := zoneText(k, is[k]), includeText(is[k])
				fmt.Fprintf(&b, "\nM 644 inline %s\ndata %d\n%s\nM 644 inline %s\ndata %d\n%s", zonePath(k), len(z), z, includePath(k), len(inc), inc)
			}
		}
		fmt.Fprintf(&b, "\n\nreset refs/tags/%s\nfrom :%d\n\n", tag, marks)
	}
	var v versions
	for k := range v {
		v[k] = 1
	}
	next := 1
	for i := range commits {
		was := v
		if i == 0 {
			commit("main", "m0", 0, nil, &v)
		} else {
			next++
			r.change(&v, next)
			commit("main", fmt.Sprint("m", i), i, &was, &v)
		}
		r.main = append(r.main, v)
	}
	for i := range topics {
		t := topic{base: r.rng.IntN(commits)}
		v, from := r.main[t.base], t.base+1
		for range topicSteps {
			was := v
			next++
			v[firstTopic+r.rng.IntN(firstToggle-firstTopic)] = next
			commit(fmt.Sprint("topic", i), fmt.Sprint("t", i), from, &was, &v)
			t.steps = append(t.steps, v)
			from = marks
		}
		r.topics = append(r.topics, t)
	}
	if next > maxVers {
		panic("too many versions for two octets")
	}
	return b.String()
}

// change makes a commit's difference: mostly a few zones, sometimes all.
func (r *repository) change(v *versions, version int) {
	n := 1 + r.rng.IntN(5)
	if r.rng.IntN(10) == 0 {
		n = firstTopic
	}
	for _, k := range r.rng.Perm(firstTopic)[:n] {
		v[k] = version
	}
	if k := firstToggle + r.rng.IntN(zones-firstToggle); r.rng.IntN(4) == 0 {
		if v[k] == absent {
			v[k] = version
		} else {
			v[k] = absent
		}
	}
}

// edit does one thing that people do with git, which is one edit or several.
func (r *repository) edit() {
	switch r.rng.IntN(8) {
	case 0, 1, 2:
		r.checkout(r.another())
	case 3, 4:
		r.forcePull(r.another())
	case 5:
		r.revert()
	case 6:
		r.rebase()
	case 7:
		r.stash()
	}
}

// another is a commit on main that is not checked out.
func (r *repository) another() int {
	for {
		if i := r.rng.IntN(len(r.main)); i != r.head && r.main[i] != r.now {
			return i
		}
	}
}

// becomes notes what the work tree will hold next.
func (r *repository) becomes(v versions, head int) {
	r.history.add(&v)
	r.now, r.head = v, head
	r.edits++
}

func (r *repository) checkout(i int) {
	r.becomes(r.main[i], i)
	r.git(r.tree, "checkout", "-q", "--detach", fmt.Sprint("m", i))
}

// forcePull follows a branch whose history was rewritten.
func (r *repository) forcePull(i int) {
	r.git(r.origin, "update-ref", "refs/heads/live", fmt.Sprint("m", i))
	r.git(r.tree, "fetch", "-q", "--force", "origin", "live")
	r.becomes(r.main[i], i)
	r.git(r.tree, "reset", "-q", "--hard", "FETCH_HEAD")
}

func (r *repository) revert() {
	if r.head < 1 {
		r.checkout(1 + r.rng.IntN(len(r.main)-1))
	}
	r.becomes(r.main[r.head-1], -1)
	r.git(r.tree, "revert", "--no-edit", "HEAD")
}

// rebase moves a topic to another commit: the work tree becomes that, and then
// each step of the topic on it.
func (r *repository) rebase() {
	i := r.rng.IntN(len(r.topics))
	t := &r.topics[i]
	r.becomes(t.steps[topicSteps-1], -1)
	r.git(r.tree, "checkout", "-q", "--detach", fmt.Sprint("t", i))
	onto := r.another()
	for onto == t.base {
		onto = r.another()
	}
	v := r.main[onto]
	r.becomes(v, -1)
	for _, step := range t.steps {
		for k := firstTopic; k < firstToggle; k++ {
			v[k] = step[k]
		}
		r.becomes(v, -1)
	}
	r.git(r.tree, "rebase", "-q", "--onto", fmt.Sprint("m", onto), fmt.Sprint("m", t.base))
}

// stash takes some zones from another commit, puts that away, brings it back,
// and gives it up.
func (r *repository) stash() {
	from := r.another()
	clean, dirty := r.now, r.now
	paths := []string{}
	for k := range firstTopic {
		if clean[k] != r.main[from][k] && len(paths) < 6 {
			dirty[k] = r.main[from][k]
			paths = append(paths, zonePath(k), includePath(k))
		}
	}
	if len(paths) == 0 {
		r.checkout(from)
		return
	}
	head := r.head
	r.becomes(dirty, head)
	r.git(r.tree, append([]string{"checkout", "-q", fmt.Sprint("m", from), "--"}, paths...)...)
	r.becomes(clean, head)
	r.git(r.tree, "stash", "-q")
	r.becomes(dirty, head)
	r.git(r.tree, "stash", "pop", "-q")
	r.becomes(clean, head)
	r.git(r.tree, "reset", "-q", "--hard")
}

// verify holds that the work tree is what the test believes.
func (r *repository) verify() {
	r.t.Helper()
	for k := range zones {
		for path, want := range map[string]string{zonePath(k): zoneText(k, r.now[k]), includePath(k): includeText(r.now[k])} {
			got, err := os.ReadFile(filepath.Join(r.tree, path))
			if r.now[k] == absent && errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil || string(got) != want {
				r.t.Fatalf("%s is not what it should be (version %d): %v\n%.200s", path, r.now[k], err, got)
			}
		}
	}
}

// command is git with nobody's configuration.
func (r *repository) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "advice.detachedHead=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true",
		"GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@test", "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@test", "LC_ALL=C")
	return cmd
}

func (r *repository) git(dir string, args ...string) { r.run(r.command(dir, args...)) }

func (r *repository) run(cmd *exec.Cmd) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%v: %v\n%s", cmd.Args, err, &out)
	}
}
