//go:build unix

package file

import (
	"os"
	"syscall"
)

// lock takes the file for this process; the kernel gives it back when the
// process ends, however it ends.
func lock(f *os.File) (unlock func() error, err error) {
	fd := int(f.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, err
	}
	return func() error { return syscall.Flock(fd, syscall.LOCK_UN) }, nil
}
