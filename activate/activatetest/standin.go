package activatetest

import (
	"context"
	"fmt"
	"os"
	"slices"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/activate/fake"
)

// StandIn is the place that stands in for a destination with push: fake; it keeps
// its rows in a folder of its own. outages are those that may be switched on.
func StandIn(at At, kind activate.Kind, c activate.Config, dir string, outages []fake.Outage) *Place {
	limits, err := kind.Limits(c)
	if err != nil {
		at.T.Fatal(err)
	}
	mind := func(err error) {
		if err != nil {
			at.T.Fatal(err)
		}
	}
	// Rows that are refused are so whatever else is switched on.
	var refused []string
	if rapid.Bool().Draw(at.T, "rows are refused") {
		refused = []string{"reject=30%"}
	}
	o := fake.Options{Dir: dir}
	broken := func(switches []string, seed int) {
		o.Faults, err = fake.ParseFaults(append(slices.Clone(refused), switches...), uint64(seed)) //nolint:gosec // no number of importance
		mind(err)
	}
	broken(nil, 0)
	path := o.Path(c.Object)
	return &Place{
		Open:   func() (activate.Connector, error) { return fake.Open(context.Background(), kind, c, o) },
		Rows:   func() ([]Row, error) { return ReadRows(path) },
		Put:    func(r Row) { mind(WriteRow(path, r)) },
		Died:   func() { mind(Tear(path)) },
		Close:  func() { mind(os.RemoveAll(dir)) },
		Replay: limits.Replay, Alone: true,
		Break: func(s *Script) {
			var switches []string
			for range 3 {
				if n := s.Pick("", len(outages)); n > 0 {
					switches = append(switches, fmt.Sprintf("%s=%d%%", outages[n], 10+s.Pick("", 20)))
				}
			}
			broken(switches, s.Pick("", 1<<10))
		},
		Heal: func() { broken(nil, 0) },
		Mend: func() {
			refused = nil
			broken(nil, 0)
		},
	}
}
