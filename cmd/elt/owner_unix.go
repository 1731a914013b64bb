//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"syscall"
)

// ownerLine is the line of a unit that makes it run as the owner of a folder.
func ownerLine(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("User=%d\n", st.Uid)
	}
	return ""
}
