package activatetest

import (
	"flag"
	"fmt"
	"testing"

	"elt/internal/testdb"
)

// Main is the body of a TestMain of a package with histories: n of each test,
// unless -rapid.checks says another number, and the same ones each time unless
// -rapid.seed says others: make test judges a change, make soak looks for what no
// change has brought in. It prints both.
func Main(m *testing.M, n int) int {
	if err := flag.Set("rapid.checks", fmt.Sprint(n)); err != nil {
		panic(err)
	}
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == "0" {
		if err := seed.Value.Set("1"); err != nil {
			panic(err)
		}
	}
	fmt.Printf("histories: -rapid.checks=%s -rapid.seed=%s\n", flag.Lookup("rapid.checks").Value, flag.Lookup("rapid.seed").Value)
	return testdb.Run(m)
}
