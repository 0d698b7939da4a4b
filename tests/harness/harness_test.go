package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// good is a reply that the expectation of goodLines describes.
func good() *Reply {
	return &Reply{
		Rcode: "NOERROR", Flags: []string{"aa"}, Question: []string{"wWw.example. IN A"}, Octets: 60,
		Records: map[string][]string{"answer": {"www.example. 60 A 192.0.2.1", "www.example. 60 A 192.0.2.2"}},
		EDNS:    []string{"size=1232", "nsid=x"},
	}
}

const goodLines = `NOERROR aa
answer www.example. 60 A 192.0.2.2
answer WWW.example. 60 IN A 192.0.2.1
edns nsid=x
octets 12-60`

// TestExpectNoticesEverything holds that each single change of a good reply is
// found: an expectation that lets something pass proves nothing.
func TestExpectNoticesEverything(t *testing.T) {
	e, err := parseExpect(strings.Split(goodLines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	const question = "wWw.example. IN A"
	if d := e.differences(good(), question); len(d) > 0 {
		t.Fatalf("the good reply is not accepted: %v", d)
	}
	changes := map[string]func(*Reply){
		"no reply":          func(r *Reply) { r.Drop = true },
		"another RCODE":     func(r *Reply) { r.Rcode = "NXDOMAIN" },
		"a flag more":       func(r *Reply) { r.Flags = append(r.Flags, "ad") },
		"a flag less":       func(r *Reply) { r.Flags = nil },
		"no question":       func(r *Reply) { r.Question = nil },
		"a question twice":  func(r *Reply) { r.Question = append(r.Question, r.Question[0]) },
		"case of question":  func(r *Reply) { r.Question[0] = strings.ToLower(r.Question[0]) },
		"a record less":     func(r *Reply) { r.Records["answer"] = r.Records["answer"][:1] },
		"a record twice":    func(r *Reply) { a := r.Records["answer"]; r.Records["answer"] = []string{a[0], a[1], a[1]} },
		"another TTL":       func(r *Reply) { r.Records["answer"][0] = "www.example. 61 A 192.0.2.1" },
		"another section":   func(r *Reply) { r.Records["authority"] = r.Records["answer"]; r.Records["answer"] = nil },
		"additional data":   func(r *Reply) { r.Records["additional"] = []string{"x. 1 A 192.0.2.3"} },
		"no OPT":            func(r *Reply) { r.EDNS = nil },
		"another size":      func(r *Reply) { r.EDNS[0] = "size=4096" },
		"an option more":    func(r *Reply) { r.EDNS = append(r.EDNS, "ede=20") },
		"an option less":    func(r *Reply) { r.EDNS = r.EDNS[:1] },
		"a TSIG":            func(r *Reply) { r.TSIG = "key. BADKEY" },
		"an octet too many": func(r *Reply) { r.Octets = 61 },
	}
	for name, change := range changes {
		r := good()
		change(r)
		if len(e.differences(r, question)) == 0 {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestExpectAlternatives(t *testing.T) {
	blocks, err := readBlocksOf(t, "? www.example. A\nNXDOMAIN aa\nor\n"+goodLines+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if w := blocks[0].check(good(), "wWw.example. IN A"); w != "" {
		t.Error(w)
	}
	other := good()
	other.Rcode = "SERVFAIL"
	if w := blocks[0].check(other, "wWw.example. IN A"); !strings.Contains(w, "SERVFAIL") {
		t.Errorf("a reply that is none of the alternatives: %q", w)
	}
}

func readBlocksOf(t *testing.T, text string) ([]*block, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "questions")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return readBlocks(path, "questions")
}

// TestBlockErrors holds that a slip of the pen is an error with its line, and
// not a question that is left out.
func TestBlockErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "no questions",
		"\n\n? www.example.\n":      "questions:3: no reply is expected",
		"www.example. A\nNOERROR\n": "a block begins with ?",
		"> raw\nquestion www.example. A\nNOERROR\n":   "needs a line =",
		"? www.example. A\nNOERROR zz\n":              "no flag",
		"? www.example. A\nNOERROR aa\nanswr x\n":     "nothing that a reply has",
		"? www.example. A\nNOERROR\n$nothing\n":       "nothing that a reply has",
		"? www.example. A\nNOERROR\nanswer x. 60\n":   "no record",
		"? www.example. A\nNOERROR\nor\n":             "no reply is expected",
		"# differs: knott\n? x. A\nNOERROR\n":         "no server",
		"? www.example. A\nNOERROR\noctets many\n":    "octets takes",
		"? www.example. A\nNOERROR\nanswer count x\n": "invalid syntax",
	} {
		if _, err := readBlocksOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %q", text, err, want)
		}
	}
}

// TestSane holds that broken replies are noticed: wrong id or opcode, octets
// left over, and compression where it is not allowed.
func TestSane(t *testing.T) {
	m := new(dns.Msg)
	m.SetQuestion("example.", dns.TypeSRV)
	m.Response, m.Compress = true, true
	srv, err := dns.NewRR("example. 60 SRV 1 2 3 target.example.")
	if err != nil {
		t.Fatal(err)
	}
	m.Answer = []dns.RR{srv}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := sane(raw, m.Id, 0); err != nil {
		t.Fatalf("a good reply: %v", err)
	}
	if sane(raw, m.Id+1, 0) == nil {
		t.Error("another id is not noticed")
	}
	if sane(raw, m.Id, 4<<11) == nil {
		t.Error("another opcode is not noticed")
	}
	if sane(append(raw, 0), m.Id, 0) == nil {
		t.Error("an octet after the message is not noticed")
	}
	if sane(raw[:len(raw)-1], m.Id, 0) == nil {
		t.Error("an octet that is missing is not noticed")
	}
	// The last label and root of the target, "example" and its length and the
	// root, give way to a pointer to the question.
	const tail = len("example") + 2
	compressed := append(raw[:len(raw)-tail:len(raw)-tail], 0xc0, 12)
	at := len(raw) - len("target.example.") - 1 - 6 - 2 // RDLENGTH
	compressed[at+1] -= byte(tail - 2)
	if err := sane(compressed, m.Id, 0); err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("compressed RDATA of SRV: %v", err)
	}
}

func TestCrash(t *testing.T) {
	for text, want := range map[string]bool{
		"panic: runtime error: index out of range": true,
		"fatal error: concurrent map writes":       true,
		"\ngoroutine 1 [running]:\n":               true,
		"WARNING: DATA RACE":                       true,
		`level=ERROR msg="recovered from a panic"`: true,
		`level=INFO msg=serving zones=1`:           false,
		`level=INFO panics=0`:                      false,
	} {
		if got := crash.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
