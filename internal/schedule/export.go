package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// years is how far ahead the clocks of a zone are looked at.
const years = 2

// Crontab is s as lines of five fields for a cron that goes by the clocks of
// machine, while s goes by those of loc. exact reports whether such a cron starts
// the job at its slots alone. Otherwise the lines name every time at which a slot
// can come, on every day, and who is started has to see whether one is due. An
// interval below a minute is refused: no cron is that fine.
func (s Schedule) Crontab(loc, machine *time.Location, now time.Time) (lines []string, exact bool, err error) {
	if s.every > 0 && s.every < time.Minute {
		return nil, false, fmt.Errorf("cron starts nothing more than once a minute, and the job is due every %s", s.every)
	}
	if s.every == 0 && sameClocks(loc, machine, now) {
		minute, hour := list(s.minute, 0, 59, "-", number), list(s.hour, 0, 23, "-", number)
		dom, dow := s.domText, s.dowText
		if !s.anyDOM {
			dom = list(s.dom, 1, 31, "-", number)
		}
		if !s.anyDOW {
			dow = list(s.dow, 0, 6, "-", number)
		}
		star := strings.NewReplacer("?", "*")
		return []string{strings.Join([]string{minute, hour, star.Replace(dom), list(s.month, 1, 12, "-", number), star.Replace(dow)}, " ")}, true, nil
	}
	for _, t := range s.times(loc, machine, now) {
		lines = append(lines, fmt.Sprintf("%s %s * * *", list(t.minutes, 0, 59, "-", number), list(t.hours, 0, 23, "-", number)))
	}
	return lines, false, nil
}

// OnCalendar is s, which goes by the clocks of loc, as values of OnCalendar= of a
// systemd timer. Some may name an instant at which no slot is, so who is started has
// to see whether one is due: systemd skips a time that the clocks leave out, and
// real time goes by UTC because it skips the hour that they repeat.
func (s Schedule) OnCalendar(loc *time.Location, now time.Time) ([]string, error) {
	switch {
	case s.every > 0 && s.every < time.Minute && time.Minute%s.every != 0:
		return nil, fmt.Errorf("a timer cannot say every %s: choose an interval that divides a minute", s.every)
	case s.every > 0 && s.every < time.Minute:
		return []string{fmt.Sprintf("*-*-* *:*:00/%d UTC", int(s.every/time.Second))}, nil
	case s.every > 0, s.hourly:
		var values []string
		for _, t := range s.times(loc, time.UTC, now) {
			values = append(values, t.calendar(time.UTC))
		}
		return values, nil
	}
	clock := fmt.Sprintf("%s:%s:00 %s", list(s.hour, 0, 23, "..", two), list(s.minute, 0, 59, "..", two), loc)
	month, dom, dow := list(s.month, 1, 12, "..", two), list(s.dom, 1, 31, "..", two), list(s.dow, 0, 6, "..", weekday)
	if dow == "*" {
		dow = ""
	} else {
		dow += " "
	}
	var values []string
	if !s.anyDOM && !s.anyDOW { // cron takes a day that fits either
		values = []string{fmt.Sprintf("*-%s-%s %s", month, dom, clock), fmt.Sprintf("%s*-%s-* %s", dow, month, clock)}
	} else {
		values = []string{fmt.Sprintf("%s*-%s-%s %s", dow, month, dom, clock)}
	}
	for _, t := range s.times(loc, loc, now) {
		if t.hours &^= s.hour; t.hours != 0 { // behind a gap
			values = append(values, t.calendar(loc))
		}
	}
	return values, nil
}

// times are hours that share their minutes.
type times struct{ hours, minutes uint64 }

func (t times) calendar(loc *time.Location) string {
	return fmt.Sprintf("*-*-* %s:%s:00 %s", list(t.hours, 0, 23, "..", two), list(t.minutes, 0, 59, "..", two), loc)
}

// times are all times of day on the clocks of shown at which a slot of s can come,
// whatever the day: a change of clocks may fall on any.
func (s Schedule) times(loc, shown *time.Location, now time.Time) []times {
	daily := s
	daily.dom, daily.month, daily.dow, daily.anyDOM, daily.anyDOW = ^uint64(0), ^uint64(0), ^uint64(0), true, true
	var minutes [24]uint64
	left := 24 * 60
	note := func(slot time.Time) {
		t := slot.In(shown)
		if bit := uint64(1) << t.Minute(); minutes[t.Hour()]&bit == 0 {
			minutes[t.Hour()] |= bit
			left--
		}
	}
	end := now.AddDate(years, 0, 0)
	if s.every > 0 {
		for slot := s.Next(now); slot.Before(end) && left > 0; slot = s.Next(slot) {
			note(slot)
		}
	} else {
		for d := now.In(loc); d.Before(end) && left > 0; d = d.AddDate(0, 0, 1) {
			for _, slot := range daily.day(d.Year(), d.Month(), d.Day(), loc) {
				note(slot)
			}
		}
	}
	var out []times
	for hour, m := range minutes {
		if m == 0 {
			continue
		}
		i := slices.IndexFunc(out, func(t times) bool { return t.minutes == m })
		if i < 0 {
			i, out = len(out), append(out, times{minutes: m})
		}
		out[i].hours |= 1 << hour
	}
	return out
}

// sameClocks reports whether two zones show the same time in all the years ahead
// that are looked at.
func sameClocks(a, b *time.Location, now time.Time) bool {
	for t := now; t.Before(now.AddDate(years, 0, 0)); t = t.Add(time.Hour) {
		_, x := t.In(a).Zone()
		_, y := t.In(b).Zone()
		if x != y {
			return false
		}
	}
	return true
}

// list writes the values whose bits are set: * for all from low to high, else
// single ones and ranges.
func list(set uint64, low, high int, to string, name func(int) string) string {
	set &= (1<<(high+1) - 1) &^ (1<<low - 1)
	if bits.OnesCount64(set) == high-low+1 {
		return "*"
	}
	var parts []string
	for v := low; v <= high; v++ {
		if set>>v&1 == 0 {
			continue
		}
		last := v
		for last < high && set>>(last+1)&1 == 1 {
			last++
		}
		switch last - v {
		case 0:
			parts = append(parts, name(v))
		case 1:
			parts = append(parts, name(v), name(last))
		default:
			parts = append(parts, name(v)+to+name(last))
		}
		v = last
	}
	return strings.Join(parts, ",")
}

func number(n int) string { return fmt.Sprint(n) }

func two(n int) string { return fmt.Sprintf("%02d", n) }

func weekday(n int) string { return time.Weekday(n).String()[:3] }
