package check

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// series makes n daily counts of one kind of business, phase shifts the week.
func series(kind string, n, phase int, rng *rand.Rand) []int64 {
	out := make([]int64, n)
	for i := range out {
		v := 10_000.0
		switch kind {
		case "noise5":
			v *= 1 + 0.05*rng.NormFloat64()
		case "noise20":
			v *= max(0.1, 1+0.2*rng.NormFloat64())
		case "weekly":
			if (i+phase)%7 >= 5 {
				v /= 4
			}
			v *= 1 + 0.05*rng.NormFloat64()
		case "growth":
			v *= math.Pow(1.02, float64(i))
		case "small":
			v = max(0, 12+math.Sqrt(12)*rng.NormFloat64())
		}
		out[i] = int64(v)
	}
	return out
}

func TestVolumeKeepsQuietOnHonestSeries(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"constant", "noise5", "noise20", "weekly", "growth", "small"} {
		judged, alarms := 0, 0
		for phase := range 7 {
			s := series(kind, 62, phase, rng)
			for n := 3; n < len(s); n++ {
				judged++
				if !Volume("t", s[n], s[:n], false).OK {
					alarms++
				}
			}
		}
		if share := float64(alarms) / float64(judged); share > 0.02 {
			t.Errorf("%s: %.1f%% of honest days alarmed", kind, share*100)
		}
	}
}

func TestVolumeCatchesZeroFromTheSecondRun(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, kind := range []string{"constant", "noise20", "weekly", "growth", "small"} {
		for n := 1; n < 40; n++ {
			if f := Volume("t", 0, series(kind, n, 0, rng), false); f.OK || f.Severity != Error {
				t.Errorf("%s: zero after %d runs gives %+v", kind, n, f)
			}
		}
	}
}

func TestVolumeCatchesHalvesAndTells(t *testing.T) {
	t.Parallel()
	history := series("constant", 28, 0, nil)
	f := Volume("shop.orders", 5_000, history, false)
	if f.OK || !strings.Contains(f.Expected, " to ") || f.Observed != "5000 rows" {
		t.Errorf("a half gives %+v", f)
	}
	if f := Volume("t", 10_001, history, false); !f.OK {
		t.Errorf("one row more gives %+v", f)
	}
	if f := Volume("t", 49, []int64{100}, true); f.OK || f.Severity != Error {
		t.Errorf("a replace that halves gives %+v", f)
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 6, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		age, within time.Duration
		ok          bool
		severity    Severity
		observed    string
	}{
		{23 * time.Hour, 0, true, Error, "23h old"},
		{17 * time.Hour, 24 * time.Hour, true, Error, "17h old"},
		{20 * time.Hour, 24 * time.Hour, false, Warn, "20h old"},
		{26 * time.Hour, 24 * time.Hour, false, Error, "26h old"},
		{50 * time.Hour, 24 * time.Hour, false, Error, "2d 2h old"},
	} {
		f := Freshness("t", now.Add(-c.age), now, c.within)
		if f.OK != c.ok || f.Severity != c.severity || f.Observed != c.observed {
			t.Errorf("age %s within %s: %+v", c.age, c.within, f)
		}
	}
	if f := Freshness("t", time.Time{}, now, time.Hour); f.OK || f.Observed != "empty" {
		t.Errorf("never loaded: %+v", f)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	f := Drift("t", []string{"id bigint", "a text"}, []string{"id bigint", "b text"})
	if f.OK || f.Observed != "+ b text, - a text" {
		t.Errorf("%+v", f)
	}
	if f := Drift("t", nil, []string{"id bigint"}); !f.OK {
		t.Errorf("a first load drifts: %+v", f)
	}
}
