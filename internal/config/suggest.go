package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// suggest says which key was probably meant by name, which fields under
// prefix do not have: the nearest of them, else a key of this name elsewhere,
// else which there are.
func suggest(prefix, name string, fields []field) string {
	best, least := "", max(1, utf8.RuneCountInString(name)/3)+1
	for _, f := range fields {
		if d := distance(name, f.name, least); d < least {
			best, least = f.name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if key := elsewhere("", name, schema(Default())); key != "" {
		return fmt.Sprintf("did you mean %s?", key)
	}
	if prefix == "" {
		return "docs/geodns.yaml shows every key"
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return fmt.Sprintf("%s has %s", prefix, strings.Join(names, ", "))
}

// elsewhere finds the dotted name of the first key that is called name.
func elsewhere(prefix, name string, fields []field) string {
	for _, f := range fields {
		key := join(prefix, f.name)
		if f.name == name {
			return key
		}
		if k := elsewhere(key, name, f.keys); k != "" {
			return k
		}
	}
	return ""
}

// distance is how many letters have to be put in, left out, changed or swapped
// with their neighbour to make b of a; at most most.
func distance(a, b string, most int) int {
	s, t := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if abs(len(s)-len(t)) >= most {
		return most
	}
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			change := last[j-1]
			if s[i-1] != t[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(t)], most)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// shorten keeps a key that somebody made up from filling the screen, and from
// more than one line.
func shorten(key string) string {
	const most = 80
	if r := []rune(key); len(r) > most {
		key = string(r[:most]) + ".."
	}
	if strings.ContainsFunc(key, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return strconv.Quote(key)
	}
	return key
}
