package zonedir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIncludes(t *testing.T) {
	f := newFolder(t)
	f.mkdir("inc")
	f.write("inc/common.txt", "www A 192.0.2.1\n")
	f.write("a.test.zone", text(1, 1, "$INCLUDE inc/common.txt"))
	f.write("b.test.zone", text(1, 1, "$INCLUDE inc/common.txt", "$INCLUDE inc/later.txt"))
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. broken include")
	f.changed()
	// What was missing comes.
	f.write("inc/later.txt", "later A 192.0.2.1\n")
	f.changed("b.test.zone b.test. 1")
	// What several include changes.
	f.write("inc/common.txt", "www A 192.0.2.2\n")
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
	f.changed()
	f.remove("inc/common.txt")
	f.changed("a.test.zone a.test. kept include", "b.test.zone b.test. kept include")
	// The whole directory goes, and comes as another one.
	f.remove("inc")
	f.changed("b.test.zone b.test. kept include include")
	f.changed()
	f.mkdir("v2")
	f.write("v2/common.txt", "www A 192.0.2.3\n")
	f.write("v2/later.txt", "later A 192.0.2.1\n")
	f.link("v2", "inc")
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
	// An include that cannot be read, but is there, is not read for ever.
	f.remove("v2/later.txt")
	f.mkdir("v2/later.txt")
	f.changed("b.test.zone b.test. kept include")
	f.changed()
}

func TestIncludesOutside(t *testing.T) {
	f := newFolder(t)
	outside := filepath.Join(filepath.Dir(f.at), "outside.txt")
	f.must(os.WriteFile(outside, []byte("secret A 192.0.2.66\n"), 0o644))
	f.mkdir("inside")
	f.must(os.Symlink(outside, f.path("link.txt")))
	f.must(os.Symlink("../../outside.txt", f.path("inside/link.txt")))
	f.must(os.Symlink("..", f.path("up")))
	f.write("inside/fine.txt", "www A 192.0.2.1\n")
	f.must(os.Symlink("inside/fine.txt", f.path("fine.txt")))

	for name, include := range map[string]string{
		"up": "../outside.txt", "dots": "inside/../../outside.txt", "absolute": outside,
		"link": "link.txt", "deeplink": "inside/link.txt", "uplink": "up/outside.txt", "passwd": "/etc/passwd",
	} {
		f.write(name+".zone", text(1, 1, "$INCLUDE "+include))
		if got := f.scan(ScanOptions{}); got != name+".zone "+name+". broken include" {
			t.Errorf("$INCLUDE %s: %s", include, got)
		}
	}
	// What leads inside, by whatever way, is fine.
	for name, include := range map[string]string{
		"plain": "inside/fine.txt", "dots2": "inside/../inside/fine.txt", "absolute2": f.path("inside/fine.txt"), "link2": "fine.txt",
	} {
		f.write(name+".zone", text(1, 1, "$INCLUDE "+include))
		if got := f.scan(ScanOptions{}); got != name+".zone "+name+". 1" {
			t.Errorf("$INCLUDE %s: %s", include, got)
		}
	}
	for _, st := range f.dir.States() {
		if !st.Broken.IsZero() && !strings.Contains(st.First.Message, "only files in the zones directory") {
			t.Errorf("%s: %s", st.File, st.First)
		}
	}
}

// A zone file may be a symbolic link, to anywhere: whoever may write into the
// directory chose it.
func TestLinkedZones(t *testing.T) {
	f := newFolder(t)
	outside := t.TempDir()
	target := filepath.Join(outside, "target")
	f.must(os.WriteFile(target, []byte(text(1, 1)), 0o644))
	f.link(target, "a.test.zone")
	f.changed("a.test.zone a.test. 1")
	f.must(os.WriteFile(target, []byte(text(2, 1)), 0o644))
	f.changed("a.test.zone a.test. 2")
	f.must(os.WriteFile(target+"2", []byte(text(3, 1)), 0o644))
	f.link(target+"2", "a.test.zone")
	f.changed("a.test.zone a.test. 3")
	f.remove("a.test.zone")
	f.changed("a.test.zone a.test. gone")
}

// As Kubernetes mounts a ConfigMap: all files are links through ..data, which
// is exchanged.
func TestConfigMap(t *testing.T) {
	f := newFolder(t)
	version := func(name string, serial int, zones ...string) {
		f.mkdir(name)
		f.write(name+"/common.txt", text(0, 0)[:len("$TTL 300\n")])
		for _, z := range zones {
			f.write(name+"/"+z, text(serial, 1, "$INCLUDE common.txt"))
		}
		f.link(name, "..data")
	}
	version("..2026_1", 1, "a.test.zone", "b.test.zone")
	for _, name := range []string{"a.test.zone", "b.test.zone", "common.txt"} {
		f.must(os.Symlink("..data/"+name, f.path(name)))
	}
	f.changed("a.test.zone a.test. 1", "b.test.zone b.test. 1")
	f.changed()
	version("..2026_2", 2, "a.test.zone", "c.test.zone")
	f.must(os.Symlink("..data/c.test.zone", f.path("c.test.zone")))
	f.remove("b.test.zone")
	f.remove("..2026_1")
	f.changed("a.test.zone a.test. 2", "b.test.zone b.test. gone", "c.test.zone c.test. 2")
	f.changed()
}
