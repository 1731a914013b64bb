// Command elt extracts, loads, transforms, checks and activates: the whole loop
// of a data team's night in one binary. See docs/guide.md.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"time"
	_ "time/tzdata" // zones also where the machine has none

	"elt/internal/retry"
)

func main() {
	log.SetOutput(io.Discard) // net/http notes there what a server sends unasked; what matters comes as an error
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, wrap: failpoint(os.LookupEnv),
		backoff: retry.Backoff{Base: time.Second, Max: time.Minute}}
	os.Exit(a.main(context.Background(), os.Args[1:]))
}
