// Package schedule says when a job is due. It reads cron specs and finds their
// slots, the instants at which a job is due, in a time zone and through every
// change of its clocks, which no common cron library does: they skip a slot in the
// hour that a zone leaves out, and give one twice in the hour that it repeats.
package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a parsed spec. Its slots are those of the zone of the time that it
// is asked with. The zero value has none.
//
// A spec that names hours (0 2 * * *) is due once for each of its times of each
// local day: a time that the clocks leave out is due at the first instant after the
// gap, one that they repeat at its first occurrence. A spec of every hour
// (*/15 * * * *) follows real time. @every counts from the Unix epoch, so that its
// slots are the same whenever it is asked.
type Schedule struct {
	every                         time.Duration // of @every; zero: the fields count
	minute, hour, dom, month, dow uint64        // bit n: the value n
	domText, dowText              string        // as written, in numbers where there is no star
	anyDOM, anyDOW                bool          // the field begins with a star
	hourly                        bool          // every hour: real time counts
}

// plain is what the parser says, without the name of what it fell over in its own code.
func plain(err error) error {
	if quoted := regexp.MustCompile(`strconv\.\w+: parsing ("[^"]*")`).FindStringSubmatch(err.Error()); quoted != nil {
		return fmt.Errorf("%s is no number", quoted[1])
	}
	return err
}

// starBit is how the parser marks a field of a bare star.
const starBit = 1 << 63

// Parse reads a cron spec of five fields or a descriptor such as @daily or
// @every 15m. 7 is Sunday, as 0 is. As in cron, a day is due when the day of the
// month or the weekday fits if both are given, and when both fit if one of them
// begins with a star. A spec that never fires, that names a zone of its own, or that
// fires more than once a second is refused.
func Parse(spec string) (s Schedule, err error) {
	defer func() {
		// The parser cuts strings without looking on some malformed specs.
		if recover() != nil {
			s, err = Schedule{}, fmt.Errorf("%q is no schedule", spec)
		}
	}()
	text := strings.TrimSpace(spec)
	if strings.Contains(strings.ToUpper(text), "TZ=") {
		return Schedule{}, errors.New("it names a time zone; the one of the project counts")
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		d, err := time.ParseDuration(strings.TrimSpace(every))
		if err != nil || d < time.Second {
			return Schedule{}, fmt.Errorf("%q is no interval of a second or more", every)
		}
		return Schedule{every: d.Truncate(time.Second)}, nil
	}
	fields := strings.Fields(text)
	if descriptor, ok := descriptors()[text]; ok {
		fields = strings.Fields(descriptor)
	} else if len(fields) != 5 && !strings.HasPrefix(text, "@") {
		return Schedule{}, fmt.Errorf("%q has %d fields", spec, len(fields))
	} else if len(fields) == 5 {
		fields[4] = sundays(fields[4])
	}
	parsed, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return Schedule{}, fmt.Errorf("%q is no schedule: %w", spec, plain(err))
	}
	bits, ok := parsed.(*cron.SpecSchedule)
	if !ok || len(fields) != 5 {
		return Schedule{}, fmt.Errorf("%q is no schedule", spec)
	}
	s = Schedule{minute: bits.Minute &^ starBit, hour: bits.Hour &^ starBit, dom: bits.Dom &^ starBit, month: bits.Month &^ starBit, dow: bits.Dow &^ starBit,
		anyDOM: starred(fields[2]), anyDOW: starred(fields[4]), domText: fields[2], dowText: fields[4]}
	s.hourly = s.hour == 1<<24-1
	if s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("%q never fires: there is no such date", spec)
	}
	return s, nil
}

// descriptors are the words that stand for five fields.
func descriptors() map[string]string {
	return map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
}

// sundays is a field of weekdays without a 7, which the parser does not know.
func sundays(field string) string {
	days := strings.Split(field, ",")
	for i, d := range days {
		if from, ok := strings.CutSuffix(d, "-7"); ok { // 5-7 is Friday to Sunday
			days[i] = from + "-6,0"
		} else if d == "7" {
			days[i] = "0"
		}
	}
	return strings.Join(days, ",")
}

func starred(field string) bool {
	return strings.HasPrefix(field, "*") || strings.HasPrefix(field, "?")
}

// IsZero reports whether s has no slots.
func (s Schedule) IsZero() bool { return s == Schedule{} }

// farthest is how many days the slots of one spec can lie apart: 29 February over
// a century that is no leap year.
const farthest = 8*366 + 2

// Next is the first slot after t, in the zone of t; zero when there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if s.IsZero() {
		return time.Time{}
	}
	if s.every > 0 {
		return epoch(t, s.every).Add(s.every).In(t.Location())
	}
	y, m, d := t.Date()
	for i := -1; i <= farthest; i++ { // a slot in a gap at the end of a day lies in the next one
		for _, slot := range s.day(y, m, d+i, t.Location()) {
			if slot.After(t) {
				return slot
			}
		}
	}
	return time.Time{}
}

// Last is the latest slot that is not after t, in the zone of t; zero when there
// is none.
func (s Schedule) Last(t time.Time) time.Time {
	if s.IsZero() {
		return time.Time{}
	}
	if s.every > 0 {
		return epoch(t, s.every).In(t.Location())
	}
	y, m, d := t.Date()
	for i := 1; i >= -farthest; i-- {
		slots := s.day(y, m, d+i, t.Location())
		for j := len(slots) - 1; j >= 0; j-- {
			if !slots[j].After(t) {
				return slots[j]
			}
		}
	}
	return time.Time{}
}

// Between lists the slots after from and before to, oldest first, and no more
// than the latest limit of them.
func (s Schedule) Between(from, to time.Time, limit int) []time.Time {
	var slots []time.Time
	for t := s.Last(to.Add(-1)); !t.IsZero() && t.After(from) && len(slots) < limit; t = s.Last(t.Add(-1)) {
		slots = append(slots, t)
	}
	for i, j := 0, len(slots)-1; i < j; i, j = i+1, j-1 {
		slots[i], slots[j] = slots[j], slots[i]
	}
	return slots
}

// epoch is the latest multiple of every since the Unix epoch that is not after t.
func epoch(t time.Time, every time.Duration) time.Time {
	seconds := int64(every / time.Second)
	at := t.Unix()
	return time.Unix(at-((at%seconds)+seconds)%seconds, 0)
}
