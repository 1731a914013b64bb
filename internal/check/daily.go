package check

import (
	"fmt"
	"math"
	"time"
)

// Day is how many rows one closed day of a table has.
type Day struct {
	At   time.Time // any moment of it, in the zone of the project
	Rows int64     // now, by the time column
	// Seen is what the run saw that judged it, when it had just closed; -1: none did.
	Seen int64
}

// Daily judges the last of days, which follow each other, against the days of the
// same weekday. What counts is what earlier runs saw when those days had just
// closed: a source may always come days late. Where runs have seen days complete,
// the rows that the table has by now stand for days that no run saw.
//
// A first load is not judged, nor is a weekday that nobody knows. Zero is an
// error where that weekday has rows, at least twice and on more than two days of
// three: a holiday or an outage before makes no empty day ordinary. From three days of
// the weekday on, the count is held against their median and spread.
func Daily(relation string, days []Day) Finding {
	today := days[len(days)-1]
	weekday := today.At.Format("Monday")
	f := Finding{Check: "volume", Relation: relation, Severity: Warn, OK: true,
		Observed: fmt.Sprintf("%s on %s %s", plural(today.Rows, "row"), weekday, today.At.Format(time.DateOnly)), Expected: "any number"}
	known := comparable(days[:len(days)-1])
	var like []point
	var empty int // of those that are alike
	byWeekday := map[int][]point{}
	least, most := int64(math.MaxInt64), int64(0)
	for _, d := range known {
		p := point{x: float64(d.ago), y: math.Log1p(float64(d.rows))}
		byWeekday[d.ago%7] = append(byWeekday[d.ago%7], p)
		if d.ago%7 == 0 {
			like, least, most = append(like, p), min(least, d.rows), max(most, d.rows)
			if d.rows == 0 {
				empty++
			}
		}
	}
	since := fmt.Sprintf("as on the %d %ss before (%d to %d)", len(like), weekday, least, most)
	if len(like) == 1 {
		since = fmt.Sprintf("as on the %s before (%d)", weekday, most)
	}
	switch {
	case len(like) == 0:
		f.Expected = "any number: no " + weekday + " before is known"
		return f
	case today.Rows == 0 && empty*3 >= len(like):
		f.Expected = "0 to " + fmt.Sprint(most) + ", " + since
		return f
	case today.Rows == 0 && len(like) >= 2:
		if empty > 0 {
			since = fmt.Sprintf("as on %d of the %d %ss before (up to %d)", len(like)-empty, len(like), weekday, most)
		}
		return alarm(f, Error, "some, "+since)
	case len(like) < 3:
		f.Expected = fmt.Sprintf("%d to %d, %s", least/10, most*10, since)
		if today.Rows < least/10 || today.Rows > max(most, 1)*10 || today.Rows == 0 {
			return alarm(f, Warn, f.Expected)
		}
		return f
	}
	return weekly(byWeekday).judge(f, today.Rows, since)
}

// weekly is the band of the weekday that is judged, 0: its own days tell the
// centre, all days how much they differ from that of their weekday.
func weekly(byWeekday map[int][]point) band {
	// Growth shows between days of one weekday; between weekdays it is the week.
	var slopes []float64
	for _, points := range byWeekday {
		for i, a := range points {
			for _, b := range points[i+1:] {
				slopes = append(slopes, (b.y-a.y)/(b.x-a.x))
			}
		}
	}
	slope, centre := median(slopes), 0.0
	var residuals []float64
	for weekday, points := range byWeekday {
		flat := make([]float64, len(points))
		for i, p := range points {
			flat[i] = p.y - slope*p.x
		}
		mid := median(flat)
		if weekday == 0 {
			centre = mid
		}
		for _, y := range flat {
			residuals = append(residuals, math.Abs(y-mid))
		}
	}
	return spread(centre, residuals, len(byWeekday[0]))
}

// known is a day that another can be compared with.
type known struct {
	ago  int // days before the one that is judged
	rows int64
}

// comparable are the days whose rows tell what to expect when a day has just
// closed.
func comparable(days []Day) []known {
	var complete, seen int
	for _, d := range days {
		if d.Seen < 0 {
			continue
		}
		seen++
		if d.Seen > 0 && d.Seen*10 >= d.Rows*9 {
			complete++
		}
		if d.Seen == 0 && d.Rows == 0 {
			seen-- // says nothing
		}
	}
	settled := complete >= 3 && complete == seen
	first := len(days)
	for i, d := range days {
		if d.Rows > 0 || d.Seen > 0 {
			first = i
			break
		}
	}
	var out []known
	for i, d := range days {
		switch ago := len(days) - i; {
		case d.Seen >= 0:
			out = append(out, known{ago, d.Seen})
		case settled && i >= first:
			out = append(out, known{ago, d.Rows})
		}
	}
	return out
}
