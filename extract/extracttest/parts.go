package extracttest

import (
	"context"
	"errors"
	"slices"

	"elt/extract"
	"elt/internal/scan"
)

// several opens a scan that must have several parts.
func (s *suite) several(ctx context.Context, source extract.Source) scan.Scan {
	s.Helper()
	streams, err := source.Streams(ctx, Stream)
	if err != nil {
		s.Fatalf("Streams(%q): %v", Stream, err)
	}
	sc, err := streams[0].Open(ctx, extract.Request{})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	if n := len(sc.Parts()); n != s.properties.Parts {
		s.close(sc)
		s.Fatalf("%d parts, want %d", n, s.properties.Parts)
	}
	return sc
}

// each runs fn for all parts side by side and returns what became of each.
func (s *suite) each(sc scan.Scan, fn func(int, scan.Part) error) []error {
	parts := sc.Parts()
	errs := make([]error, len(parts))
	done := make(chan struct{})
	for i, p := range parts {
		go func() {
			defer func() { done <- struct{}{} }()
			errs[i] = fn(i, p)
		}()
	}
	for range parts {
		<-done
	}
	return errs
}

// partsHoldEveryRowOnce reads the parts side by side, and one after the other
// from the last to the first. The cursor counts only when all have ended.
func partsHoldEveryRowOnce(s *suite) {
	n := 3*s.properties.BatchRows + 1
	s.world.Put(s, some(n))
	for _, together := range []bool{true, false} {
		source := s.open(s.config(s.properties.Cursors))
		sc := s.several(s.Context(), source)
		results := make([]result, len(sc.Parts()))
		if together {
			err := errors.Join(s.each(sc, func(i int, p scan.Part) error { return s.drainPart(s.Context(), p, &results[i]) })...)
			if err != nil {
				s.Errorf("side by side: %v", err)
			}
		}
		for i, p := range slices.Backward(sc.Parts()) {
			if together {
				break
			}
			if got := sc.Cursor(); got != "" {
				s.Errorf("before the last part has ended the cursor is %q", got)
			}
			if err := s.drainPart(s.Context(), p, &results[i]); err != nil {
				s.Errorf("part %d: %v", i, err)
			}
		}
		var all []int64
		for i, r := range results {
			if len(r.ids) == 0 {
				s.Errorf("part %d has no rows", i)
			}
			all = append(all, r.ids...)
		}
		slices.Sort(all)
		s.same("rows of all parts", all, ids(1, int64(n)))
		if counted, known := sc.Counted(); known && counted != int64(n) {
			s.Errorf("the source counted %d rows, want %d", counted, n)
		}
		cursor := sc.Cursor()
		s.close(sc)
		s.close(source)
		if !s.properties.Cursors {
			continue
		}
		if out := s.mustRead(s.config(true), cursor); cursor == "" || len(out.ids) != 0 {
			s.Errorf("behind the cursor %q there are %d rows", cursor, len(out.ids))
		}
	}
}

// partFault breaks the first, a middle and the last row: the part that has it
// fails, and no cursor results.
func partFault(s *suite) {
	n := 3 * s.properties.BatchRows
	for _, at := range []int{0, n / 2, n - 1} {
		s.world.Put(s, some(n))
		s.world.Break(s, at)
		source := s.open(s.config(s.properties.Cursors))
		sc := s.several(s.Context(), source)
		results := make([]result, len(sc.Parts()))
		errs := s.each(sc, func(i int, p scan.Part) error { return s.drainPart(s.Context(), p, &results[i]) })
		failed := 0
		for i, err := range errs {
			if err != nil {
				failed++
			} else if slices.Contains(results[i].ids, int64(at+1)) {
				s.Errorf("a fault at row %d: part %d gave it and no error", at, i)
			}
		}
		if failed == 0 || sc.Cursor() != "" {
			s.Errorf("a fault at row %d: %d parts failed, and the cursor is %q", at, failed, sc.Cursor())
		}
		s.close(sc)
		s.close(source)
	}
}

// partsCancelled ends the context, and in a second round closes the scan, while
// every part is being read.
func partsCancelled(s *suite) {
	s.world.Put(s, some(6*s.properties.BatchRows*s.properties.Parts))
	for _, closed := range []bool{false, true} {
		source := s.open(s.config(false))
		ctx, cancel := context.WithCancel(s.Context())
		sc := s.several(ctx, source)
		begun, ended := make(chan struct{}), make(chan struct{})
		go func() {
			for range sc.Parts() {
				<-begun
			}
			if cancel(); closed {
				s.close(sc)
			}
			close(ended)
		}()
		errs := s.each(sc, func(_ int, p scan.Part) error {
			r, err := s.reader(ctx, p)
			if err != nil {
				begun <- struct{}{}
				return err
			}
			defer r.Release()
			first := r.Next()
			begun <- struct{}{}
			<-ended
			for first && r.Next() {
			}
			return r.Err()
		})
		for i, err := range errs {
			if err == nil {
				s.Errorf("part %d of a scan that was cancelled (closed: %t) ended without error", i, closed)
			}
		}
		if sc.Cursor() != "" {
			s.Errorf("a cancelled scan has the cursor %q", sc.Cursor())
		}
		s.close(sc)
		s.close(source)
	}
}

// partUnread leaves parts unopened, as a load does whose first part failed.
func partUnread(s *suite) {
	s.world.Put(s, some(3*s.properties.BatchRows))
	source := s.open(s.config(s.properties.Cursors))
	defer s.close(source)
	sc := s.several(s.Context(), source)
	var out result
	if err := s.drainPart(s.Context(), sc.Parts()[0], &out); err != nil {
		s.Errorf("the first part: %v", err)
	}
	if got := sc.Cursor(); got != "" {
		s.Errorf("with parts unread the cursor is %q", got)
	}
	s.close(sc)
	if r, err := s.reader(s.Context(), sc.Parts()[1]); err == nil {
		r.Release()
		s.Error("a part of a closed scan opened")
	}
}
