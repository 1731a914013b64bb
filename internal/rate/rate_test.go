package rate_test

import (
	"strings"
	"testing"
	"time"

	"elt/internal/rate"
	"elt/internal/yamlx"
)

func TestLess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit   rate.Limit
		reserve rate.Share
		calls   int
		per     time.Duration
	}{
		{"100/10s", "", 100, 10 * time.Second},
		{"100/s", "10%", 90, time.Second},
		{" 250_000 /d", "0%", 250_000, 24 * time.Hour},
		{"1/m", "99%", 1, time.Minute},
		{"3/s", "50%", 1, time.Second},
		{"1000/s", "0.1%", 999, time.Second},
	} {
		if calls, per := c.limit.Less(c.reserve); calls != c.calls || per != c.per {
			t.Errorf("%s without %s: %d in %s, want %d in %s", c.limit, c.reserve, calls, per, c.calls, c.per)
		}
	}
}

// What is no rate or share is refused with what was expected.
func TestWhatIsNone(t *testing.T) {
	t.Parallel()
	type keys struct {
		Rates   []rate.Limit `yaml:"rates"`
		Reserve rate.Share   `yaml:"reserve"`
	}
	for text, want := range map[string]string{
		"rates: [100/10s]": "",
		"rates: ['100']":   "CALLS/INTERVAL",
		"rates: [0/s]":     "CALLS/INTERVAL",
		"rates: [-1/s]":    "CALLS/INTERVAL",
		"rates: [5/]":      "CALLS/INTERVAL",
		"rates: [5/0s]":    "CALLS/INTERVAL",
		"rates: [5/week]":  "CALLS/INTERVAL",
		"reserve: 10%":     "",
		"reserve: 10":      "a share of the rates",
		"reserve: 100%":    "a share of the rates",
		"reserve: -1%":     "a share of the rates",
		"reserve: NaN%":    "a share of the rates",
	} {
		var into keys
		file, errs := yamlx.Parse("elt.yaml", []byte(text), nil)
		d := yamlx.Decoder{File: file, Errs: &errs}
		d.Struct(file.Root, &into)
		switch {
		case want == "" && len(errs) > 0:
			t.Errorf("%s: %v", text, errs)
		case want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Expected, want)):
			t.Errorf("%s: told %v, want that %s are expected", text, errs, want)
		}
	}
}
