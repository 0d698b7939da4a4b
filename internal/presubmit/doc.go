// Package presubmit holds the house: its tests check the tree itself, not what
// the programs do. They are run with all tests, and by make lint.
//
// Invariant: every rule is written once, in a table of one of the tests, and
// every checker has a test that shows that it can fail.
package presubmit
