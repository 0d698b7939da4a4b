package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// NoteSources looks at every source file below root (a path from the test's own
// folder) that geodns is built of, and at the variables that choose the server.
// go test notes what a test looks at, and takes a cached result only if nothing
// of it has changed; without this it would not know that geodns is under test.
// Call it from within a test.
func NoteSources(root string) error {
	_, _, _ = os.Getenv(EnvServer), os.Getenv(EnvBuildFlags), os.Getenv(EnvBinary)
	for _, dir := range []string{"cmd", "internal", "go.mod", "go.sum"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if strings.HasSuffix(path, ".go") || strings.HasPrefix(filepath.Base(path), "go.") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
