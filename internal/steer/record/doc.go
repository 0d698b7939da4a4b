// Package record owns the text of the steering records: the TXT records under
// _site, _node, _check, _steer and _state that say how a zone is steered. It
// turns their text into typed values and back, and knows every tag that they
// may hold.
//
// Invariant: a value that comes without an error keeps every rule that one
// record alone can decide, so that its readers check only what other records
// decide (whether a site exists, whether two records overlap). Reading is pure,
// takes time that is linear in the text, and reports every problem with its
// place, up to a bound.
package record
