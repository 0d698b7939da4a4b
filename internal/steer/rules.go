package steer

import "fmt"

// The kinds of problems that need more than a record's text; those of the text
// are in package record. They are stable: people name them to leave warnings
// out.
const (
	RuleSigned       = "steer-signed"
	RuleName         = "steer-name"
	RuleSeveral      = "steer-several"
	RuleShared       = "steer-shared"
	RuleDelegated    = "steer-delegated"
	RuleNoRecords    = "steer-no-records"
	RuleCNAMEOwner   = "steer-cname-owner"
	RuleOverlap      = "steer-overlap"
	RuleType         = "steer-type"
	RuleTooMany      = "steer-too-many"
	RuleNetTwice     = "steer-net-twice"
	RuleAddressTwice = "steer-address-twice"
	RuleSiteUnknown  = "steer-site-unknown"
	RuleCheckUnknown = "steer-check-unknown"
	RuleStepUnknown  = "steer-step-unknown"
	RuleWith         = "steer-with"
	RuleNoSite       = "steer-no-site"
	RuleLastResort   = "steer-last-resort"

	// Warnings of Compile.
	RuleOtherType = "steer-other-type"
	RuleWeight    = "steer-weight"
	RuleSiteEmpty = "steer-site-empty"
	RuleStray     = "steer-stray"

	// Warnings of Advise.
	RuleTTL         = "steer-ttl"
	RuleFloor       = "steer-floor"
	RuleOneFamily   = "steer-one-family"
	RuleOneCountry  = "steer-one-country"
	RuleSiteNowhere = "steer-site-nowhere"
	RuleUnused      = "steer-unused"
)

// missing reports whether a kind of problem is that something is not there.
func missing(rule string) bool {
	switch rule {
	case RuleSiteUnknown, RuleCheckUnknown, RuleStepUnknown, RuleNoSite, RuleWeight, RuleSiteEmpty, RuleStray:
		return true
	}
	return false
}

// some begins a sentence about one or several things: "a is", "a and 2 more
// are".
func some(list []string) string {
	if len(list) == 1 {
		return list[0] + " is"
	}
	return fmt.Sprintf("%s and %d more are", list[0], len(list)-1)
}
