package main

import (
	"os"
	"strconv"
	"syscall"

	"elt/internal/fault"
	"elt/internal/warehouse"
)

// failpoint lets a test kill this process at one of its calls to the warehouse:
// ELT_FAILPOINT=12 before call 12 is made, ELT_FAILPOINT=-12 after it was. nil
// when the variable is not set.
func failpoint(env func(string) (string, bool)) func(warehouse.Driver) warehouse.Driver {
	text, ok := env("ELT_FAILPOINT")
	at, err := strconv.Atoi(text)
	if !ok || err != nil || at == 0 {
		return nil
	}
	return func(d warehouse.Driver) warehouse.Driver {
		return fault.Driver(d, func(call int, _ string, before bool) error {
			if before && call == at || !before && call == -at {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		})
	}
}
