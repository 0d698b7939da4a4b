package harness

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// digDefaults make dig send nothing but what a scenario asks for: no RD, no
// EDNS, no AD, no TCP (which ANY would take), no retry with another version. It asks again when
// nothing comes, as a machine under load may lose a datagram.
func digDefaults() []string {
	return []string{
		"+notcp", "+norec", "+noedns", "+nocookie", "+noadflag", "+ignore", "+noednsneg", "+noidnin", "+noidnout",
		"+nosplit", "+nocmd", "+tries=3", "+time=5",
	}
}

// asker is who asks a server's questions, and how.
type asker struct {
	port int
	// from is the source address; "": the system's choice.
	from string
	// key signs the questions: ALGORITHM:NAME:SECRET as dig's -y; "": none does.
	key string
}

func (a asker) args() []string {
	args := []string{"@127.0.0.1", "-p", strconv.Itoa(a.port)}
	if a.from != "" {
		args = append(args, "-b", a.from)
	}
	if a.key != "" {
		args = append(args, "-y", a.key)
	}
	return append(args, digDefaults()...)
}

// dig asks several questions, each given by dig's arguments, with one run of
// dig. The replies are in the order of the questions; one that did not come is
// a Drop.
func (a asker) dig(questions [][]string) ([]*Reply, error) {
	args := a.args()
	for i, q := range questions {
		// -q makes a name of whatever comes next; the id tells the replies apart.
		args = append(append(args, "-q"), q...)
		args = append(args, "+qid="+strconv.Itoa(i+1))
	}
	// dig exits with 9 when a server does not answer, which may be expected.
	out, err := exec.Command("dig", args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("dig: %w", err)
	}
	replies, err := parseDig(string(out), len(questions))
	if err != nil {
		return nil, fmt.Errorf("%w in the output of dig:\n%s", err, out)
	}
	return replies, nil
}

var (
	digHeader = regexp.MustCompile(`^;; ->>HEADER<<- opcode: (\S+), status: (\S+), id: (\d+)`)
	digFlags  = regexp.MustCompile(`^;; flags:([ a-z]*);(?: MBZ: (0x[0-9a-f]+);?)?`)
	digEDNS   = regexp.MustCompile(`^; EDNS: version: (\d+), flags:([ a-z]*);(?: MBZ: (0x[0-9a-f]+),?)? udp: (\d+)`)
	digSize   = regexp.MustCompile(`^;; MSG SIZE  rcvd: (\d+)`)
	digEDE    = regexp.MustCompile(`^; EDE: (\d+)`)
	digECS    = regexp.MustCompile(`^; CLIENT-SUBNET: (\S+)`)
	digKeep   = regexp.MustCompile(`^; TCP[ -]KEEPALIVE: (\d+)\.(\d)`)
	digNSID   = regexp.MustCompile(`^; NSID: ([0-9a-f ]*)`)
	digOther  = regexp.MustCompile(`^; (COOKIE|EXPIRE|PAD|OPT=\d+|[A-Z-]+):`)
)

// digParser gathers the replies from dig's output line by line.
type digParser struct {
	replies []*Reply
	now     *Reply
	section string
}

func parseDig(out string, n int) ([]*Reply, error) {
	p := &digParser{replies: make([]*Reply, n)}
	for i := range p.replies {
		p.replies[i] = &Reply{Drop: true}
	}
	sc := bufio.NewScanner(strings.NewReader(out))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if err := p.line(sc.Text()); err != nil {
			return nil, err
		}
	}
	for _, r := range p.replies {
		for _, rrs := range r.Records {
			slices.Sort(rrs)
		}
	}
	return p.replies, sc.Err()
}

func (p *digParser) line(l string) error {
	switch {
	case digHeader.MatchString(l):
		return p.header(digHeader.FindStringSubmatch(l))
	case strings.HasPrefix(l, ";; WARNING") || strings.Contains(l, "malformed") || strings.Contains(l, "Got bad packet"):
		return fmt.Errorf("dig complains: %s", l)
	case p.now == nil:
		return nil
	case strings.HasPrefix(l, ";; flags:"):
		m := digFlags.FindStringSubmatch(l)
		p.now.Flags = slices.DeleteFunc(strings.Fields(m[1]), func(f string) bool { return f == "qr" })
		if m[2] != "" {
			p.now.Flags = append(p.now.Flags, "z")
		}
		return nil
	case strings.HasSuffix(l, " SECTION:"), strings.HasSuffix(l, " PSEUDOSECTION:"):
		p.section = strings.ToLower(strings.Fields(l)[1])
		return nil
	case digSize.MatchString(l):
		n, err := strconv.Atoi(digSize.FindStringSubmatch(l)[1])
		p.now.Octets = n
		return err
	case strings.HasPrefix(l, ";;") || l == "":
		return nil
	}
	return p.content(l)
}

func (p *digParser) header(m []string) error {
	id, err := strconv.Atoi(m[3])
	if err != nil || id < 1 || id > len(p.replies) {
		return fmt.Errorf("a reply to no question: %s", m[0])
	}
	p.now = &Reply{Rcode: m[2], Records: map[string][]string{}}
	p.replies[id-1] = p.now
	p.section = ""
	return nil
}

// content takes note of a line within a section.
func (p *digParser) content(l string) error {
	switch p.section {
	case "question":
		f := strings.Fields(strings.TrimPrefix(l, ";"))
		p.now.Question = append(p.now.Question, strings.Join(f, " "))
	case sectionAnswer, sectionAuthority, sectionAdditional:
		if strings.HasPrefix(l, ";") {
			return nil
		}
		rr, err := normalRecord(l)
		if err != nil {
			return err
		}
		p.now.Records[p.section] = append(p.now.Records[p.section], rr)
	case "opt":
		p.now.EDNS = append(p.now.EDNS, digOption(l)...)
	}
	return nil
}

// digOption describes a line of dig's OPT pseudosection in the words of ednsOf.
func digOption(l string) []string {
	if m := digEDNS.FindStringSubmatch(l); m != nil {
		out := []string{"size=" + m[4]}
		if m[1] != "0" {
			out = append(out, "version="+m[1])
		}
		out = append(out, strings.Fields(m[2])...)
		if m[3] != "" {
			out = append(out, "flags="+m[3])
		}
		return out
	}
	if m := digNSID.FindStringSubmatch(l); m != nil {
		return []string{"nsid=" + hexText(strings.ReplaceAll(m[1], " ", ""))}
	}
	if m := digECS.FindStringSubmatch(l); m != nil {
		return []string{"ecs=" + m[1]}
	}
	if m := digEDE.FindStringSubmatch(l); m != nil {
		return []string{"ede=" + m[1]}
	}
	if m := digKeep.FindStringSubmatch(l); m != nil {
		return []string{"keepalive=" + strings.TrimLeft(m[1]+m[2], "0")}
	}
	if m := digOther.FindStringSubmatch(l); m != nil {
		return []string{"option:" + m[1]}
	}
	return []string{"unknown:" + l}
}

// hexText is the text that hex digits stand for.
func hexText(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil {
		return digits
	}
	return string(b)
}
