package drains

import (
	"fmt"
	"slices"
	"strings"

	"geodns/internal/publish"
)

// maxTold is how many names an error lists.
const maxTold = 8

// find returns the sites and nodes of a name, of a zone if one is given. The
// error says which names were perhaps meant, and which zones have them.
func find(places []publish.Place, zone, name string) (found []publish.Place, err error) {
	zone = canonical(zone)
	var elsewhere, near []string
	for i := range places {
		switch p := &places[i]; {
		case p.Name == name && (zone == "" || p.Zone == zone):
			found = append(found, *p)
		case p.Name == name:
			elsewhere = add(elsewhere, p.Zone)
		case distance(p.Name, name) <= max(1, len(name)/3):
			near = add(near, p.Name+" ("+p.Zone+")")
		}
	}
	what := fmt.Sprintf("no site or node %q that a policy uses", name)
	switch {
	case len(found) > 0:
		return found, nil
	case len(elsewhere) > 0:
		return nil, fmt.Errorf("the zone %s has %s; %s has it", zone, what, list(elsewhere))
	case len(near) > 0:
		return nil, fmt.Errorf("there is %s; did you mean %s?", what, list(near))
	case len(places) == 0:
		return nil, fmt.Errorf("there is %s: no zone that is served has policies with sites or nodes", what)
	}
	var all []string
	for i := range places {
		all = add(all, places[i].Name+" ("+places[i].Zone+")")
	}
	return nil, fmt.Errorf("there is %s; there are %s", what, list(all))
}

func add(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func list(names []string) string {
	if n := len(names); n > maxTold {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxTold], ", "), n-maxTold)
	}
	return strings.Join(names, ", ")
}

// canonical is a zone's name as it is shown: in lower case, with its final dot.
func canonical(zone string) string {
	if zone == "" || strings.HasSuffix(zone, ".") {
		return strings.ToLower(zone)
	}
	return strings.ToLower(zone) + "."
}

// distance is how many octets have to be put in, left out or changed to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
