//go:build !unix

package main

import "io/fs"

// ownerLine is empty where folders have no owner that systemd knows.
func ownerLine(fs.FileInfo) string { return "" }
