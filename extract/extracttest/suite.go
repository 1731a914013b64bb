package extracttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"elt/extract"
	"elt/internal/rows"
	"elt/internal/scan"
)

// suite is one test: a world, and what must be gone when the test ends.
type suite struct {
	*testing.T
	properties Properties
	world      World
	alloc      *memory.CheckedAllocator
}

func newSuite(t *testing.T, p Properties, w World) *suite {
	s := &suite{T: t, properties: p, world: w, alloc: memory.NewCheckedAllocator(memory.NewGoAllocator())}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		s.alloc.AssertSize(t, 0)
		goleak.VerifyNone(t, before)
	})
	return s
}

// config declares the stream; with a cursor if the test needs one.
func (s *suite) config(cursor bool) extract.StreamConfig {
	c := extract.StreamConfig{Name: Stream, Key: []string{"id"}}
	if cursor {
		c.Cursor = "updated"
	}
	return c
}

func (s *suite) open(c extract.StreamConfig) extract.Source {
	s.Helper()
	source, err := s.world.Open(s.Context(), s.alloc, c)
	if err != nil {
		s.Fatalf("open the source: %v", err)
	}
	return source
}

func (s *suite) stream(source extract.Source) extract.Stream {
	s.Helper()
	streams, err := source.Streams(s.Context(), Stream)
	if err != nil {
		s.Fatalf("Streams(%q): %v", Stream, err)
	}
	if len(streams) != 1 || streams[0].Spec().Name != Stream {
		s.Fatalf("Streams(%q) returned %d streams", Stream, len(streams))
	}
	return streams[0]
}

// result is what one reading of the stream gave.
type result struct {
	ids     []int64
	cursor  scan.Cursor
	rejects []scan.Reject
	columns []string
}

// read opens the source, reads the stream to its end, and closes both.
func (s *suite) read(c extract.StreamConfig, from scan.Cursor) (result, error) {
	s.Helper()
	return s.request(c, extract.Request{From: from})
}

// request is read for any request.
func (s *suite) request(c extract.StreamConfig, request extract.Request) (result, error) {
	s.Helper()
	source := s.open(c)
	defer s.close(source)
	var out result
	request.Reject = func(r scan.Reject) error {
		out.rejects = append(out.rejects, r)
		return nil
	}
	streams, err := source.Streams(s.Context(), Stream)
	if err != nil {
		return out, err
	}
	sc, err := streams[0].Open(s.Context(), request)
	if err != nil {
		return out, err
	}
	defer s.close(sc)
	if err := s.drain(s.Context(), sc, &out); err != nil {
		return out, err
	}
	out.cursor = sc.Cursor()
	if n, known := sc.Counted(); known && n != int64(len(out.ids)+len(out.rejects)) {
		return out, fmt.Errorf("the source counted %d rows, but handed out %d and rejected %d", n, len(out.ids), len(out.rejects))
	}
	slices.Sort(out.ids)
	return out, nil
}

func (s *suite) mustRead(c extract.StreamConfig, from scan.Cursor) result {
	s.Helper()
	out, err := s.read(c, from)
	if err != nil {
		s.Fatalf("read: %v", err)
	}
	return out
}

func (s *suite) close(c interface{ Close() error }) {
	s.Helper()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		s.Errorf("close, twice: %v", err)
	}
}

func (s *suite) drain(ctx context.Context, sc scan.Scan, out *result) error {
	for _, part := range sc.Parts() {
		if err := s.drainPart(ctx, part, out); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) drainPart(ctx context.Context, part scan.Part, out *result) error {
	reader, err := s.reader(ctx, part)
	if err != nil {
		return err
	}
	out.columns = nil
	id := -1
	for i, f := range reader.Schema().Fields() {
		out.columns = append(out.columns, f.Name)
		if f.Name == "id" {
			id = i
		}
	}
	return rows.Each(reader, func(r rows.Row) error {
		out.ids = append(out.ids, r.Int(id))
		return nil
	})
}

func (s *suite) reader(ctx context.Context, p scan.Part) (array.RecordReader, error) {
	if p.Files != nil {
		return s.properties.Read(ctx, s.alloc, p.Files)
	}
	return p.Open(ctx)
}

// instant is where the update times of the suite begin.
func instant(seconds int64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// some makes n rows with ids from 1, a second apart.
func some(n int) []Row {
	out := make([]Row, n)
	for i := range out {
		out[i] = Row{ID: int64(i + 1), Name: fmt.Sprintf("item %d", i+1), Updated: instant(int64(i))}
	}
	return out
}

func ids(from, to int64) []int64 {
	var out []int64
	for i := from; i <= to; i++ {
		out = append(out, i)
	}
	return out
}

func (s *suite) same(what string, got, want []int64) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: %s", what, difference(got, want))
	}
}

func difference(got, want []int64) string {
	if len(got)+len(want) < 40 {
		return fmt.Sprintf("got ids %v, want %v", got, want)
	}
	return fmt.Sprintf("got %d ids, want %d", len(got), len(want))
}
