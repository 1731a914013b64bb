//go:build !unix

package file

import "os"

// lock makes a file beside f that must not exist yet. After a crash a person
// has to delete it.
func lock(f *os.File) (unlock func() error, err error) {
	name := f.Name() + ".lock"
	held, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := held.Close(); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(name) }, nil
}
