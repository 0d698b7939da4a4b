package zonestore

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// child is the variable that makes the test binary one of the processes in
// crash_test.go.
const child = "GEODNS_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(child); role != "" {
		os.Exit(runChild(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
