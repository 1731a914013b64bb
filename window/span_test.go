package window

import (
	"testing"
	"time"
)

func TestParseARange(t *testing.T) {
	for _, c := range []struct{ zone, text, now, want string }{
		{"Europe/Berlin", "1d", "2026-03-31T02:00:00+02:00", "2026-03-30T22:00:00Z..2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "30d", "2026-03-31T02:00:00+02:00", "2026-03-01T23:00:00Z..2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "2w", "2026-03-31T02:00:00+02:00", "2026-03-17T23:00:00Z..2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "1mo", "2026-03-31T02:00:00+02:00", "2026-02-28T23:00:00Z..2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "6h", "2026-03-31T02:10:00+02:00", "2026-03-30T18:00:00Z..2026-03-31T22:00:00Z"},
		{"Europe/Berlin", "2026-01-01..2026-02-01", "2026-03-31T02:00:00+02:00", "2025-12-31T23:00:00Z..2026-01-31T23:00:00Z"},
		{"Europe/Berlin", "2026-03-29..2026-03-30", "2026-03-31T02:00:00+02:00", "2026-03-28T23:00:00Z..2026-03-29T22:00:00Z"},
		{"Europe/Berlin", "2026-03-29T06:30..2026-03-30T00:00:00Z", "2026-03-31T02:00:00+02:00", "2026-03-29T04:30:00Z..2026-03-30T00:00:00Z"},
		{"Europe/Berlin", "2026-03-30..", "2026-03-31T02:00:00+02:00", "2026-03-29T22:00:00Z..2026-03-31T22:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04..2018-11-05", "2026-03-31T02:00:00Z", "2018-11-04T03:00:00Z..2018-11-05T02:00:00Z"},
	} {
		w, err := Parse(c.text, instant(t, c.now), zone(t, c.zone))
		if err != nil || w.String() != c.want {
			t.Errorf("Parse(%s) at %s in %s = %s, %v, want %s", c.text, c.now, c.zone, w, err, c.want)
		}
	}
}

func TestParseRefusesWhatIsNoRange(t *testing.T) {
	for _, text := range []string{"", "d", "30", "0d", "-3d", "30y", "..", "..2026-01-01", "2026-01-01..2026-01-01", "2026-02-01..2026-01-01",
		"2026-02-30..2026-03-01", "yesterday", "2026-01-01...2026-02-01"} {
		if w, err := Parse(text, instant(t, "2026-03-31T00:00:00Z"), time.UTC); err == nil {
			t.Errorf("Parse(%q) = %s", text, w)
		}
	}
}

func TestParseSpan(t *testing.T) {
	for _, text := range []string{"1d", "12h", "2w", "1mo"} {
		if s, err := ParseSpan(text); err != nil || s.String() != text {
			t.Errorf("ParseSpan(%q) = %s, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "1", "d", "0d", "1m", "1.5d", "999999d"} {
		if s, err := ParseSpan(text); err == nil {
			t.Errorf("ParseSpan(%q) = %s", text, s)
		}
	}
}

func TestCutDaysWithTheirHours(t *testing.T) {
	for _, c := range []struct {
		zone, text, chunk string
		hours             []float64
	}{
		{"Europe/Berlin", "2026-03-28..2026-03-31", "1d", []float64{24, 23, 24}},
		{"Europe/Berlin", "2026-10-24..2026-10-27", "1d", []float64{24, 25, 24}},
		{"Europe/Berlin", "2026-10-24..2026-10-27", "2d", []float64{49, 24}},
		{"Europe/Berlin", "2026-10-25..2026-10-26", "12h", []float64{12, 12, 1}},
		{"Europe/Berlin", "2026-03-29..2026-03-30", "12h", []float64{12, 11}},
		{"Europe/Berlin", "2026-03-28T12:00..2026-03-30", "1d", []float64{12, 23}},
		{"Europe/Berlin", "2026-01-15..2026-03-10", "1mo", []float64{17 * 24, 28 * 24, 9 * 24}},
		{"America/Sao_Paulo", "2018-11-03..2018-11-06", "1d", []float64{24, 23, 24}}, // midnight does not exist
		{"America/Sao_Paulo", "2018-02-17..2018-02-19", "1d", []float64{25, 24}},
		{"Africa/Cairo", "2023-04-27..2023-04-30", "1d", []float64{24, 23, 24}}, // neither does it here
		{"America/Havana", "2025-11-01..2025-11-04", "1d", []float64{24, 25, 24}},
		{"Asia/Kathmandu", "2026-05-05..2026-05-06", "6h", []float64{6, 6, 6, 6}},
		{"Pacific/Apia", "2011-12-28..2012-01-01", "1d", []float64{24, 24, 24}}, // 30 December does not exist
	} {
		w, err := Parse(c.text, instant(t, "2026-03-31T00:00:00Z"), zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		span, err := ParseSpan(c.chunk)
		if err != nil {
			t.Fatal(err)
		}
		cut := span.Cut(w, zone(t, c.zone))
		if len(cut) != len(c.hours) {
			t.Errorf("%s in %s by %s: %v", c.text, c.zone, c.chunk, cut)
			continue
		}
		at := w.Start
		for i, part := range cut {
			if !part.Start.Equal(at) || part.End.Sub(part.Start).Hours() != c.hours[i] {
				t.Errorf("%s in %s by %s: window %d is %s, want %g hours from %s", c.text, c.zone, c.chunk, i, part, c.hours[i], at)
			}
			at = part.End
		}
		if !at.Equal(w.End) {
			t.Errorf("%s in %s by %s ends at %s", c.text, c.zone, c.chunk, at)
		}
	}
}

// Windows tile their range, whatever it and its chunk are, in zones with every
// kind of jump.
func FuzzCutTiles(f *testing.F) {
	f.Add(int64(1774742400), int64(40*24*3600), 1, uint8(1), uint8(0))
	f.Add(int64(1540000000), int64(30*24*3600), 5, uint8(0), uint8(1))
	f.Add(int64(1540000000), int64(400*24*3600), 1, uint8(3), uint8(2))
	f.Fuzz(func(t *testing.T, from, length int64, n int, unit, where uint8) {
		loc := zone(t, []string{"Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "America/Havana", "Asia/Kathmandu"}[where%5])
		if from < 0 || from > 4e9 || length <= 0 || length > 800*24*3600 || n < 1 || n > 400 {
			return // outside of what is asked for
		}
		w := Window{Start: time.Unix(from, 0).UTC(), End: time.Unix(from+length, 0).UTC()}
		at := w.Start
		for _, part := range (Span{N: n, Unit: []string{"h", "d", "w", "mo"}[unit%4]}).Cut(w, loc) {
			if !part.Start.Equal(at) || !part.End.After(part.Start) {
				t.Fatalf("%s comes after %s", part, at)
			}
			at = part.End
			if days := part.WholeDays(loc); days.Start.After(part.Start) || days.End.Before(part.End) || !days.Start.Equal(StartOfDay(days.Start, loc)) || !days.End.Equal(StartOfDay(days.End, loc)) {
				t.Fatalf("%s touches the days %s", part, days)
			}
		}
		if !at.Equal(w.End) {
			t.Fatalf("%s is covered to %s", w, at)
		}
	})
}

func TestOverlaps(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		a, b Window
		want bool
	}{
		{Window{at(1), at(3)}, Window{at(2), at(4)}, true},
		{Window{at(1), at(3)}, Window{at(3), at(4)}, false},
		{Window{at(1), at(9)}, Window{at(3), at(4)}, true},
		{Window{}, Window{at(3), at(4)}, true},
		{Window{End: at(3)}, Window{at(3), at(4)}, false},
	} {
		if c.a.Overlaps(c.b) != c.want || c.b.Overlaps(c.a) != c.want {
			t.Errorf("%s and %s: overlap is not %t", c.a, c.b, c.want)
		}
	}
}
