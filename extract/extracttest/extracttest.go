// Package extracttest holds what every source must do, whatever it reads from,
// as one suite that a source runs over a world of its own.
package extracttest

import (
	"context"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/extract"
	"elt/internal/scan"
)

// Stream is the name of the stream that a [World] holds.
const Stream = "items"

// Row is a row of the stream, which has the columns id (an integer), name (text)
// and updated (a timestamp).
type Row struct {
	ID      int64
	Name    string
	Updated time.Time
	// Bad rows cannot be turned into the schema. Worlds with Properties.Rejects
	// make such a row, in a way of their own.
	Bad bool
}

// World is a place that a source reads from, and the means to change it.
type World interface {
	// Open opens the source with the declared streams.
	Open(ctx context.Context, alloc memory.Allocator, streams ...extract.StreamConfig) (extract.Source, error)
	// Put makes the stream hold exactly these rows, in this order; none: the
	// stream exists and is empty. It undoes Widen and Break.
	Put(t testing.TB, rows []Row)
	// Widen gives the stream one more column, named extra.
	Widen(t testing.TB)
	// Break makes every later reading fail when it comes to row n, counted from
	// 0; a reading that stops before does not fail.
	Break(t testing.TB, n int)
}

// Properties says, as data, what a source can do.
type Properties struct {
	// Cursors: the source reads on from a cursor column.
	Cursors bool
	// Rejects: the world can hold bad rows, which the source hands to Reject.
	Rejects bool
	// BatchRows is the number of rows after which a batch ends, for faults
	// exactly at its edge.
	BatchRows int
	// Parts is how many parts a full read of three batches and more has; 0 or 1
	// where the tests of several parts have nothing to look at.
	Parts int
	// Read opens a part of plain files as the warehouse would; nil where the
	// source has none.
	Read func(ctx context.Context, alloc memory.Allocator, f *scan.Files) (array.RecordReader, error)
}

// Factory makes a fresh world for one test.
type Factory func(t *testing.T) World

// Run runs the suite over worlds that factory makes.
func Run(t *testing.T, p Properties, factory Factory) {
	tests := []struct {
		name string
		skip bool
		test func(*suite)
	}{
		{"Discovery", false, discovery},
		{"UnknownStreamIsNamed", false, unknownStream},
		{"EmptyStream", false, emptyStream},
		{"EveryRowOnce", false, everyRowOnce},
		{"EveryFaultIsAnError", false, everyFault},
		{"CancellationEndsEverything", false, cancellation},
		{"AbandonedReaderEndsEverything", false, abandoned},
		{"SchemaChangeBetweenRuns", false, schemaChange},
		{"TwoScansSideBySide", false, sideBySide},
		{"CursorResumes", !p.Cursors, cursorResumes},
		{"TiesAreNeitherLostNorDoubled", !p.Cursors, ties},
		{"ZeroRowsKeepTheCursor", !p.Cursors, zeroRows},
		{"WindowGivesItsRows", !p.Cursors, windowRows},
		{"WindowLeavesTheNextReadItsRows", !p.Cursors, windowUntil},
		{"RejectsAreToldAndCounted", !p.Rejects, rejects},
		{"RejectErrorEndsTheScan", !p.Rejects, rejectError},
		{"PartsHoldEveryRowOnce", p.Parts < 2, partsHoldEveryRowOnce},
		{"FaultInOnePartFailsTheScan", p.Parts < 2, partFault},
		{"CancellationEndsEveryPart", p.Parts < 2, partsCancelled},
		{"PartsMayStayUnread", p.Parts < 2, partUnread},
	}
	for _, test := range tests {
		if test.skip {
			continue // the property says that the source has no such thing
		}
		t.Run(test.name, func(t *testing.T) { test.test(newSuite(t, p, factory(t))) })
	}
}
