// Package check owns what is said about zones before they are served: it reads
// zone files once, as serve would, and looks at each zone as a whole and at the
// zones of one run beside each other.
//
// Invariant: a file that serve would refuse has at least one finding of
// severity Error here, in the same words; every finding of a rule of this
// package bears the place of a record, and a rule of the table (Rules); no
// input makes the work grow faster than the input. Memory is bounded by the
// records of all files of the run, at about a hundred octets each.
package check
