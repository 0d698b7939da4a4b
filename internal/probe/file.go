package probe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxFile is how much of a file is read, in octets.
const maxFile = 4096

// file reads the entry's file: it must be there, and may say in its first line
// what an agent would say. An empty one says up.
func (r *attempt) file() (string, error) {
	e, err := r.entry()
	if err != nil {
		return "", err
	}
	if e.File == "" {
		return "", local("the entry %q of checks: in geodns.yaml names no file:", r.c.Use)
	}
	if !e.reading.CompareAndSwap(false, true) {
		return "", local("the file of %q is still being read since an earlier probe; is it on a server that is gone?", r.c.Use)
	}
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	// Nothing can interrupt a read from a file system that hangs: it is left
	// behind, once at most.
	go func() {
		defer e.reading.Store(false)
		text, err := readFile(e.File)
		done <- read{text, err}
	}()
	select {
	case <-r.ctx.Done():
		return "", r.failed("reading the file", r.ctx.Err())
	case got := <-done:
		if got.err != nil {
			return "", got.err
		}
		return r.fileSays(got.text)
	}
}

func readFile(name string) (string, error) {
	// A pipe without a writer would block.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("the file does not exist")
	case err != nil:
		return "", local("%v", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", local("%v", err)
	}
	if !st.Mode().IsRegular() {
		return "", local("%s is no ordinary file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return "", local("%v", err)
	}
	return string(data), nil
}

func (r *attempt) fileSays(text string) (string, error) {
	line, _, _ := strings.Cut(strings.TrimLeft(text, " \t\r\n"), "\n")
	if strings.TrimSpace(line) == "" {
		return "the file exists", nil
	}
	reason, err := r.obey(strings.TrimRight(line, "\r"))
	if err != nil {
		return "", fmt.Errorf("the file: %w", err)
	}
	return "the file: " + reason, nil
}
