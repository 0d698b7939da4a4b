package positions

import (
	"strings"
	"testing"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

const file = `$ORIGIN example.
$TTL 300
www       A     192.0.2.1
lon._site TXT   "v=site1; " "net=192.0.2.0/24" ; one
          A     192.0.2.2
nyc._site TXT ( "v=site1; \; net="
   "x" )
lon._site TXT   "v=site1; " "net=192.0.2.0/24"
$GENERATE 1-1 a$._site TXT "v=site1; net=y"
`

// A problem stands at its octet, at its record, at its owner's first one, or
// nowhere.
func TestFinding(t *testing.T) {
	p := In("f")
	owners := map[string][]byte{}
	datas := map[string][]byte{}
	_, err := zonefile.Parse(strings.NewReader(file), zonefile.Options{File: "f", Strings: p.Strings()}, func(rr *wire.RR, pos zonefile.Pos) error {
		p.Note(rr, pos)
		owner := wire.NameString(rr.Owner)
		owners[owner] = []byte(string(rr.Owner))
		datas[owner+zonefile.TypeString(rr.Type)] = []byte(string(rr.Data))
		return nil
	}, func(f zonefile.Finding) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		owner, typ string
		at         int
		want       string
	}{
		{"lon._site.example.", "TXT", 0, "f:4:18"},
		{"lon._site.example.", "TXT", 8, "f:4:26"},
		{"lon._site.example.", "TXT", 9, "f:4:30"},
		{"lon._site.example.", "TXT", 13, "f:4:34"},
		{"lon._site.example.", "A", 0, "f:5:11"},
		{"lon._site.example.", "", 7, "f:4:1"},
		{"nyc._site.example.", "TXT", 10, "f:6:29"},
		{"nyc._site.example.", "TXT", 11, "f:6:30"},
		{"nyc._site.example.", "TXT", 15, "f:7:5"},
		{"a1._site.example.", "TXT", 14, "f:9:1"},
		{"www.example.", "A", 0, "f:1:1"},
	}
	for _, tt := range tests {
		pr := steer.Problem{Owner: owners[tt.owner], Data: datas[tt.owner+tt.typ], At: tt.at, Rule: "r", Text: "text", Warning: true}
		f := p.Finding(&pr)
		if got := f.Pos.String(); got != tt.want || f.Rule != "r" || f.Severity != zonefile.Warning || f.Message != tt.owner+": text" {
			t.Errorf("%s %s at %d: %+v, want %s", tt.owner, tt.typ, tt.at, f, tt.want)
		}
		if p.Knows(pr.Owner) != (tt.owner != "www.example.") {
			t.Errorf("%s: known %v", tt.owner, p.Knows(pr.Owner))
		}
	}
	var none *Places
	if f := none.Finding(&steer.Problem{Owner: []byte{0}}); none.Knows([]byte{0}) || f.Pos.Line != 1 {
		t.Errorf("of no places: %+v", f)
	}
}
