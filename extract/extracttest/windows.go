package extracttest

import (
	"slices"

	"elt/extract"
	"elt/internal/scan"
	"elt/window"
)

// windowed reads the rows of the seconds [from, to) of the suite's times.
func (s *suite) windowed(from, to int64, until scan.Cursor) result {
	s.Helper()
	c := s.config(true)
	c.Time = "updated"
	out, err := s.request(c, extract.Request{From: "not looked at", Window: window.Window{Start: instant(from), End: instant(to)}, Until: until})
	if err != nil {
		s.Fatalf("read a window: %v", err)
	}
	if s.properties.Read != nil { // files are read whole: which rows lie in the window, the load decides
		out.ids = slices.DeleteFunc(out.ids, func(id int64) bool { return id <= from || id > to })
	}
	return out
}

func windowRows(s *suite) {
	s.world.Put(s, some(10))
	s.same("a window", s.windowed(3, 6, "").ids, ids(4, 6))
	s.same("a window beyond the rows", s.windowed(10, 20, "").ids, nil)
}

// windowUntil adds rows to a window that was read up to a tie: a window and the
// next read together give each row once.
func windowUntil(s *suite) {
	all := some(9)
	for i := 4; i < 8; i++ {
		all[i].Updated = instant(4)
	}
	s.world.Put(s, all[:6])
	cursor := s.mustRead(s.config(true), "").cursor
	s.same("nothing new", s.windowed(2, 9, cursor).ids, ids(3, 6))
	s.world.Put(s, all)
	got := append(s.windowed(2, 9, cursor).ids, slices.DeleteFunc(s.mustRead(s.config(true), cursor).ids, func(id int64) bool { return id <= 2 })...)
	slices.Sort(got)
	s.same("a window and the next read", got, ids(3, 9))
}
