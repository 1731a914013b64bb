package schedule_test

import (
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestCrontab(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec, zone, machine, want string
		exact                     bool
	}{
		{"0 2 * * *", "Europe/Berlin", "Europe/Berlin", "0 2 * * *", true},
		{"0 2 * * *", "Europe/Berlin", "Europe/Paris", "0 2 * * *", true}, // the same clocks
		{"*/15 8-17 * * mon-fri", "UTC", "UTC", "0,15,30,45 8-17 * * 1-5", true},
		{"0 2 */2 * 7", "UTC", "UTC", "0 2 */2 * 0", true}, // the star decides whether both must fit
		{"@weekly", "UTC", "UTC", "0 0 * * 0", true},
		{"0 2 * * *", "Europe/Berlin", "UTC", "0 0,1 * * *", false},
		{"30 0 1 * *", "Europe/Berlin", "UTC", "30 22,23 * * *", false},
		{"0 2 * * *", "Asia/Kolkata", "UTC", "30 20 * * *", false},
		{"*/15 * * * *", "Europe/Berlin", "UTC", "0,15,30,45 * * * *", false},
		{"@every 6h", "Europe/Berlin", "UTC", "0 0,6,12,18 * * *", false},
		{"@every 7m", "UTC", "UTC", "* * * * *", false},
	} {
		lines, exact, err := parse(t, c.spec).Crontab(zone(t, c.zone), zone(t, c.machine), now)
		if got := strings.Join(lines, " | "); err != nil || got != c.want || exact != c.exact {
			t.Errorf("%s of %s on %s: %s, exact %t, %v; want %s", c.spec, c.zone, c.machine, got, exact, err, c.want)
		}
	}
	if _, _, err := parse(t, "@every 30s").Crontab(time.UTC, time.UTC, now); err == nil {
		t.Error("cron is said to be able to start twice a minute")
	}
}

func TestOnCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ spec, zone, want string }{
		{"0 4 * * *", "Europe/Berlin", "*-*-* 04:00:00 Europe/Berlin"},
		{"30 2 * * *", "Europe/Berlin", "*-*-* 02:30:00 Europe/Berlin | *-*-* 03:00:00 Europe/Berlin"}, // systemd skips 02:30 in March
		{"*/20 6-8,12 * 3,4 mon-fri", "UTC", "Mon..Fri *-03,04-* 06..08,12:00,20,40:00 UTC"},
		{"0 6 1,15 * 1", "UTC", "*-*-01,15 06:00:00 UTC | Mon *-*-* 06:00:00 UTC"},
		{"0 6 */10 * 1", "UTC", "Mon *-*-01,11,21,31 06:00:00 UTC"},
		{"0,30 * * * *", "Europe/Berlin", "*-*-* *:00,30:00 UTC"},
		{"@every 90m", "Europe/Berlin", "*-*-* 00,03,06,09,12,15,18,21:00:00 UTC | *-*-* 01,04,07,10,13,16,19,22:30:00 UTC"},
		{"@every 15s", "UTC", "*-*-* *:*:00/15 UTC"},
	} {
		values, err := parse(t, c.spec).OnCalendar(zone(t, c.zone), now)
		if got := strings.Join(values, " | "); err != nil || got != c.want {
			t.Errorf("%s of %s: %s, %v; want %s", c.spec, c.zone, got, err, c.want)
		}
		for _, v := range values {
			wellFormed(t, v)
		}
	}
	if _, err := parse(t, "@every 7s").OnCalendar(time.UTC, now); err == nil {
		t.Error("a timer is said to know every 7 seconds")
	}
}

// wellFormed holds a value against the syntax of systemd.time(7), and against
// systemd itself on a machine that has it.
func wellFormed(t *testing.T, value string) {
	t.Helper()
	syntax := regexp.MustCompile(`^([A-Z][a-z]{2}((,|\.\.)[A-Z][a-z]{2})* )?\*-(\*|[\d,.]+)-(\*|[\d,.]+) (\*|[\d,.]+):(\*|[\d,.]+):00(/\d+)? [\w/+-]+$`)
	if !syntax.MatchString(value) {
		t.Errorf("OnCalendar=%s is malformed", value)
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		if out, err := exec.CommandContext(t.Context(), path, "calendar", value).CombinedOutput(); err != nil {
			t.Errorf("OnCalendar=%s: %v\n%s", value, err, out)
		}
	}
}

// A cron that knows nothing of zones or of changes of clocks, started by the lines
// for a machine of another zone, finds every slot due once and in its minute.
func TestCrontabOfAnotherZoneMissesNoSlot(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC", "Asia/Kolkata"}
	for range 12 {
		loc, machine := zone(t, zones[r.IntN(4)]), zone(t, zones[4+r.IntN(2)])
		spec, _ := random(r)
		s := parse(t, spec)
		lines, exact, err := s.Crontab(loc, machine, now)
		if err != nil || exact {
			t.Fatalf("%s of %s on %s: exact %t, %v", spec, loc, machine, exact, err)
		}
		from := time.Date(2026, []time.Month{3, 4, 10}[r.IntN(3)], 1, 0, 0, 0, 0, time.UTC)
		to := from.AddDate(0, 1, 10)
		taken := s.Last(from.Add(-1).In(loc))
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			if !fires(t, lines, at.In(machine)) {
				continue
			}
			if due := s.Last(at.In(loc)); due.After(taken) {
				if want := s.Next(taken); !due.Equal(want) || !due.Equal(at) {
					t.Fatalf("%s of %s on %s by %v: at %s the slot %s is due, want %s", spec, loc, machine, lines, at, due, want)
				}
				taken = due
			}
		}
		if next := s.Next(taken); next.Before(to) {
			t.Fatalf("%s of %s on %s by %v: nothing was started for %s", spec, loc, machine, lines, next)
		}
	}
}

// fires is what a simple cron makes of lines whose days are all stars.
func fires(t *testing.T, lines []string, at time.Time) bool {
	t.Helper()
	for _, line := range lines {
		f := strings.Fields(line)
		if holds(t, f[0], at.Minute()) && holds(t, f[1], at.Hour()) {
			return true
		}
	}
	return false
}

func holds(t *testing.T, field string, value int) bool {
	t.Helper()
	for _, part := range strings.Split(field, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		if part == "*" {
			return true
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err != nil || err2 != nil {
			t.Fatalf("field %q", field)
		}
		if value >= from && value <= to {
			return true
		}
	}
	return false
}
