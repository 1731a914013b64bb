package check

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Volume judges how many rows came, against the accepted history of the same
// measure, newest last. The measure is rows of a closed interval for loads with a
// time column, and all rows of the table for replace, so that a rerun that finds
// nothing new is no anomaly. full tells that observed is the whole table.
//
// The rules are hard on zero and on halves, and robust otherwise: log counts,
// median and MAD with a floor for small counts (Poisson), a weekly phase once
// three weeks are known. They were tuned on simulated daily series.
func Volume(relation string, observed int64, history []int64, full bool) Finding {
	f := Finding{Check: "volume", Relation: relation, Severity: Warn, OK: true, Observed: plural(observed, "row"), Expected: "any number"}
	if len(history) > 28 {
		history = history[len(history)-28:]
	}
	if len(history) == 0 {
		return f
	}
	mid := median(floats(history))
	last := history[len(history)-1]
	switch {
	case observed == 0 && mid >= 5:
		return alarm(f, Error, fmt.Sprintf("about %.0f", mid))
	case full && last > 0 && observed*2 < last:
		return alarm(f, Error, fmt.Sprintf("at least half of the last %d", last))
	case len(history) < 7:
		f.Expected = fmt.Sprintf("%.0f to %.0f", mid/10, mid*10)
		if v := float64(observed); mid > 0 && (v < mid/10 || v > mid*10) {
			return alarm(f, Warn, f.Expected)
		}
		return f
	}
	return banded(f, observed, history)
}

func alarm(f Finding, s Severity, expected string) Finding {
	f.OK, f.Severity, f.Expected = false, s, expected
	return f
}

// banded compares with the centre of seven or more values and their spread.
func banded(f Finding, observed int64, history []int64) Finding {
	logs := make([]float64, len(history))
	for i, n := range history {
		logs[i] = math.Log1p(float64(n))
	}
	slope := theilSen(logs)
	for i := range logs {
		logs[i] += slope * float64(len(logs)-i)
	}
	centre, effective := median(logs), float64(len(logs))
	residuals := deviations(logs, centre)
	if len(logs) >= 21 {
		phase := phaseMedians(logs, 7)
		seasonal := make([]float64, len(logs))
		for i := range logs {
			seasonal[i] = math.Abs(logs[i] - phase[(len(logs)-i)%7])
		}
		if mean(seasonal) < mean(residuals)/2 {
			centre, residuals, effective = phase[0], seasonal, effective/7
		}
	}
	scale := 1.4826 * median(residuals) * (1 + 1.6/effective)
	scale = max(scale, 1/math.Sqrt(max(1, math.Expm1(centre))))
	band := max(4.5*scale, math.Log(1.2))
	f.Expected = fmt.Sprintf("%.0f to %.0f", max(0, math.Expm1(centre-band)), math.Expm1(centre+band))
	off := math.Abs(math.Log1p(float64(observed)) - centre)
	weekAgo := len(history) - 7
	excused := len(history) < 21 && weekAgo >= 0 &&
		math.Abs(math.Log1p(float64(observed))-math.Log1p(float64(history[weekAgo]))) <= max(1.41*band, math.Log(1.5))
	switch {
	case off <= band || excused:
		return f
	case math.Log1p(float64(observed)) < centre && (off > 2*band || off > math.Log(10)):
		return alarm(f, Error, f.Expected)
	default:
		return alarm(f, Warn, f.Expected)
	}
}

// phaseMedians returns the median by distance to the coming value modulo period;
// index 0 is the phase of the value that is judged.
func phaseMedians(v []float64, period int) []float64 {
	by := make([][]float64, period)
	for i := range v {
		p := (len(v) - i) % period
		by[p] = append(by[p], v[i])
	}
	out := make([]float64, period)
	for p := range by {
		out[p] = median(by[p])
	}
	return out
}

// theilSen is the median slope over all pairs.
func theilSen(v []float64) float64 {
	var slopes []float64
	for i := range v {
		for j := i + 1; j < len(v); j++ {
			slopes = append(slopes, (v[j]-v[i])/float64(j-i))
		}
	}
	return median(slopes)
}

func deviations(v []float64, centre float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = math.Abs(v[i] - centre)
	}
	return out
}

func mean(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func floats(v []int64) []float64 {
	out := make([]float64, len(v))
	for i, n := range v {
		out[i] = float64(n)
	}
	return out
}

// Freshness judges how old the data of relation is as of now. highWater is the
// latest event time in the data, or of the stalest table upstream; the zero time
// means that nothing was ever loaded. within is the decision window; 0: none, and
// the finding only reports the age. It warns at three quarters of the window.
func Freshness(relation string, highWater, now time.Time, within time.Duration) Finding {
	f := Finding{Check: "freshness", Relation: relation, Severity: Error, OK: true, Expected: "any age"}
	if within > 0 {
		f.Expected = "at most " + short(within)
	}
	if highWater.IsZero() {
		f.Observed, f.OK, f.Severity = "empty", within == 0, Warn
		return f
	}
	age := max(0, now.Sub(highWater))
	f.Observed = short(age) + " old"
	switch {
	case within == 0:
	case age > within:
		f.OK = false
	case age > within*3/4:
		f.OK, f.Severity = false, Warn
	}
	return f
}

// short prints a duration in the two units that matter.
func short(d time.Duration) string {
	d = d.Round(time.Minute)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 1 && hours == 0:
		return fmt.Sprintf("%dd", days)
	case days > 1:
		return fmt.Sprintf("%dd %dh", days, hours)
	case days*24+hours == 0:
		return fmt.Sprintf("%dm", minutes)
	case minutes == 0:
		return fmt.Sprintf("%dh", days*24+hours)
	default:
		return fmt.Sprintf("%dh %dm", days*24+hours, minutes)
	}
}

// Drift tells what changed between the columns that a relation had and has.
// Both are lists of "name type".
func Drift(relation string, before, after []string) Finding {
	f := Finding{Check: "schema", Relation: relation, Severity: Warn, OK: true, Observed: "no change", Expected: "no change"}
	var changes []string
	for _, c := range after {
		if !slices.Contains(before, c) {
			changes = append(changes, "+ "+c)
		}
	}
	for _, c := range before {
		if !slices.Contains(after, c) {
			changes = append(changes, "- "+c)
		}
	}
	if len(before) == 0 || len(changes) == 0 {
		return f
	}
	f.OK, f.Observed = false, strings.Join(changes, ", ")
	return f
}
