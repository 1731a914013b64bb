package extracttest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"elt/extract"
	"elt/internal/scan"
)

func discovery(s *suite) {
	s.world.Put(s, some(3))
	source := s.open(s.config(false))
	defer s.close(source)
	streams, err := source.Streams(s.Context())
	if err != nil {
		s.Fatalf("Streams(): %v", err)
	}
	var names []string
	for _, st := range streams {
		names = append(names, st.Spec().Name)
	}
	if !slices.Contains(names, Stream) || !slices.IsSorted(names) {
		s.Errorf("Streams() = %v, want %q among them, sorted", names, Stream)
	}
	spec := s.stream(source).Spec()
	if !slices.Equal(spec.Key, []string{"id"}) {
		s.Errorf("Spec().Key = %v, want [id]", spec.Key)
	}
}

func unknownStream(s *suite) {
	s.world.Put(s, some(1))
	source := s.open(s.config(false))
	defer s.close(source)
	_, err := source.Streams(s.Context(), "itens")
	if err == nil || !strings.Contains(err.Error(), "itens") || !strings.Contains(err.Error(), Stream) {
		s.Errorf("Streams(itens) = %v, want an error that names it and %q", err, Stream)
	}
}

func emptyStream(s *suite) {
	s.world.Put(s, nil)
	out := s.mustRead(s.config(false), "")
	if len(out.ids) != 0 || s.properties.Cursors && out.cursor != "" {
		s.Errorf("an empty stream gave ids %v and cursor %q", out.ids, out.cursor)
	}
}

func everyRowOnce(s *suite) {
	for _, n := range []int{1, s.properties.BatchRows, 2*s.properties.BatchRows + 1} {
		s.world.Put(s, some(n))
		out := s.mustRead(s.config(false), "")
		s.same("rows", out.ids, ids(1, int64(n)))
	}
}

// everyFault breaks the source before the first row, at both edges of a batch,
// inside one, and at the last row.
func everyFault(s *suite) {
	batch := s.properties.BatchRows
	total := 2 * batch
	for _, at := range []int{0, 1, batch - 1, batch, batch + batch/2, total - 1} {
		s.world.Put(s, some(total))
		s.world.Break(s, at)
		if out, err := s.read(s.config(false), ""); err == nil {
			s.Errorf("a fault at row %d of %d: no error after %d rows", at, total, len(out.ids))
		}
	}
}

func cancellation(s *suite) {
	s.world.Put(s, some(3*s.properties.BatchRows))
	source := s.open(s.config(false))
	defer s.close(source)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	sc, err := s.stream(source).Open(ctx, extract.Request{})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	defer s.close(sc)
	cancel()
	var out result
	if err := s.drain(ctx, sc, &out); err == nil {
		s.Errorf("a cancelled read returned no error after %d rows", len(out.ids))
	}
}

// abandoned drops a reader after its first batch, as a failed load does.
func abandoned(s *suite) {
	s.world.Put(s, some(3*s.properties.BatchRows))
	source := s.open(s.config(false))
	defer s.close(source)
	sc, err := s.stream(source).Open(s.Context(), extract.Request{})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	defer s.close(sc)
	reader, err := s.reader(s.Context(), sc.Parts()[0])
	if err != nil {
		s.Fatalf("open the part: %v", err)
	}
	if !reader.Next() {
		s.Errorf("no first batch: %v", reader.Err())
	}
	reader.Release()
}

func schemaChange(s *suite) {
	s.world.Put(s, some(3))
	if out := s.mustRead(s.config(false), ""); slices.Contains(out.columns, "extra") {
		s.Fatalf("columns before the change: %v", out.columns)
	}
	s.world.Widen(s)
	out := s.mustRead(s.config(false), "")
	if !slices.Contains(out.columns, "extra") {
		s.Errorf("columns after the change: %v, want extra among them", out.columns)
	}
	s.same("rows", out.ids, ids(1, 3))
}

func sideBySide(s *suite) {
	n := s.properties.BatchRows + 1
	s.world.Put(s, some(n))
	source := s.open(s.config(false))
	defer s.close(source)
	stream := s.stream(source)
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- s.whole(stream, n) }()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		s.Error(err)
	}
}

func (s *suite) whole(stream extract.Stream, n int) error {
	sc, err := stream.Open(s.Context(), extract.Request{})
	if err != nil {
		return err
	}
	var out result
	err = errors.Join(s.drain(s.Context(), sc, &out), sc.Close())
	if err == nil && len(out.ids) != n {
		return errors.New(difference(out.ids, ids(1, int64(n))))
	}
	return err
}

func cursorResumes(s *suite) {
	all := some(10)
	s.world.Put(s, all[:6])
	first := s.mustRead(s.config(true), "")
	s.same("first run", first.ids, ids(1, 6))
	s.world.Put(s, all)
	second := s.mustRead(s.config(true), first.cursor)
	s.same("second run", second.ids, ids(7, 10))
	if second.cursor == "" || second.cursor == first.cursor {
		s.Errorf("the cursor of the second run is %q", second.cursor)
	}
}

// ties adds rows at exactly the value where the first run stopped.
func ties(s *suite) {
	all := some(9)
	for i := 3; i < 8; i++ {
		all[i].Updated = instant(100)
	}
	all[8].Updated = instant(101)
	s.world.Put(s, all[:5])
	first := s.mustRead(s.config(true), "")
	s.same("first run", first.ids, ids(1, 5))
	s.world.Put(s, all[:8])
	second := s.mustRead(s.config(true), first.cursor)
	s.same("second run, inside the tie", second.ids, ids(6, 8))
	s.world.Put(s, all)
	third := s.mustRead(s.config(true), second.cursor)
	s.same("third run, past the tie", third.ids, ids(9, 9))
}

func zeroRows(s *suite) {
	s.world.Put(s, some(4))
	first := s.mustRead(s.config(true), "")
	second := s.mustRead(s.config(true), first.cursor)
	if len(second.ids) != 0 || second.cursor != "" {
		s.Errorf("nothing new gave ids %v and cursor %q, want none and \"\"", second.ids, second.cursor)
	}
}

func withBad() []Row {
	all := some(5)
	all[2].Bad = true
	return all
}

func rejects(s *suite) {
	s.world.Put(s, withBad())
	out := s.mustRead(s.config(false), "")
	s.same("good rows", out.ids, []int64{1, 2, 4, 5})
	if len(out.rejects) != 1 {
		s.Fatalf("%d rejects, want 1", len(out.rejects))
	}
	if r := out.rejects[0]; r.Locator == "" || r.Reason == "" || r.Payload == "" {
		s.Errorf("a reject without locator, reason or payload: %+v", r)
	}
}

func rejectError(s *suite) {
	s.world.Put(s, withBad())
	source := s.open(s.config(false))
	defer s.close(source)
	full := errors.New("the quarantine is full")
	for _, reject := range []func(scan.Reject) error{nil, func(scan.Reject) error { return full }} {
		sc, err := s.stream(source).Open(s.Context(), extract.Request{Reject: reject})
		if err != nil {
			s.Fatalf("open: %v", err)
		}
		var out result
		err = s.drain(s.Context(), sc, &out)
		if err == nil || reject != nil && !errors.Is(err, full) {
			s.Errorf("a reject that nobody takes gave %v", err)
		}
		s.close(sc)
	}
}
