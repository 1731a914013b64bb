package check

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Whole judges how many rows a table has that a load replaced as a whole, against
// what the loads before put there, newest last; the first load is not judged.
//
// The rules are hard on zero and on halves, and robust otherwise: log counts,
// median and MAD with a floor for small counts (Poisson).
func Whole(relation string, observed int64, history []int64) Finding {
	f := Finding{Check: "volume", Relation: relation, Severity: Warn, OK: true, Observed: plural(observed, "row") + " in the whole table", Expected: "any number"}
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
		return alarm(f, Error, fmt.Sprintf("about %.0f, as after the %s before", mid, plural(int64(len(history)), "load")))
	case last > 0 && observed*2 < last:
		return alarm(f, Error, fmt.Sprintf("at least half of the %d that the last load left", last))
	case len(history) < 7:
		if v := float64(observed); mid > 0 && (v < mid/10 || v > mid*10) {
			return alarm(f, Warn, fmt.Sprintf("%.0f to %.0f, as after the %s before", mid/10, mid*10, plural(int64(len(history)), "load")))
		}
		return f
	}
	var points []point
	for i, n := range history {
		points = append(points, point{x: float64(i - len(history)), y: math.Log1p(float64(n))})
	}
	points = detrended(points)
	b := banded(points, points)
	return b.judge(f, observed, fmt.Sprintf("as after the %d loads before", len(history)))
}

func alarm(f Finding, s Severity, expected string) Finding {
	f.OK, f.Severity, f.Expected = false, s, expected
	return f
}

// point is the log of a count at a distance from what is judged, in days or loads.
type point struct{ x, y float64 }

// detrended is points without their slope, as of x = 0.
func detrended(points []point) []point {
	var slopes []float64 // Theil and Sen: the median over all pairs
	for i, a := range points {
		for _, b := range points[i+1:] {
			if b.x != a.x {
				slopes = append(slopes, (b.y-a.y)/(b.x-a.x))
			}
		}
	}
	slope := median(slopes)
	out := make([]point, len(points))
	for i, p := range points {
		out[i] = point{p.x, p.y - slope*p.x}
	}
	return out
}

// band is what is expected, as logs of counts.
type band struct{ centre, half float64 }

// banded is the band around the median of like; all tell how much counts of this
// table differ from the centre of their like.
func banded(like, all []point) band {
	centre := median(ys(like))
	residuals := make([]float64, len(all))
	for i, p := range all {
		residuals[i] = math.Abs(p.y - centre)
	}
	return spread(centre, residuals, len(like))
}

// spread is the band around centre for residuals. Few values of a kind say less,
// and a count is never more regular than chance allows (Poisson).
func spread(centre float64, residuals []float64, n int) band {
	scale := 1.4826 * median(residuals) * (1 + 1.6/float64(n))
	scale = max(scale, 1/math.Sqrt(max(1, math.Expm1(centre))))
	return band{centre, max(4.5*scale, math.Log(1.2))}
}

// judge finishes f: an error far below the band, a warning outside it.
func (b band) judge(f Finding, observed int64, since string) Finding {
	f.Expected = fmt.Sprintf("%.0f to %.0f, %s", max(0, math.Expm1(b.centre-b.half)), math.Expm1(b.centre+b.half), since)
	off := math.Log1p(float64(observed)) - b.centre
	switch {
	case math.Abs(off) <= b.half:
		return f
	case off < 0 && (-off > 2*b.half || -off > math.Log(10)):
		return alarm(f, Error, f.Expected)
	}
	return alarm(f, Warn, f.Expected)
}

func ys(points []point) []float64 {
	out := make([]float64, len(points))
	for i, p := range points {
		out[i] = p.y
	}
	return out
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
		if within < time.Minute {
			f.Expected = "at most " + within.String()
		}
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
