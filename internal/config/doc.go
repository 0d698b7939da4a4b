// Package config owns geodns.yaml: it turns the file into a validated value,
// or into the list of everything that is wrong with it, each with line,
// column and what would be right.
//
// Invariant: a Config that Load or Parse returned without an error is
// complete (defaults filled in, paths resolved) and within every documented
// range; nobody needs to check it again. Parse touches no file but the text
// it is given; Load also checks that the files exist which the text names.
package config
