// Package check judges data: freshness, row counts, keys, contracts and drift,
// each as a Finding with what was observed and what was expected.
package check

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
)

// Severity is what a failed check does.
type Severity string

// The severities. An error before publish keeps the old data.
const (
	Warn  Severity = "warn"
	Error Severity = "error"
)

// Querier runs one SELECT; the caller releases the reader.
type Querier interface {
	Query(ctx context.Context, q string, args ...any) (array.RecordReader, error)
}

// Relation is the table that a check reads, as SQL, and as people call it.
type Relation struct {
	SQL     string // quoted; the staged table for row checks
	Name    string // schema.table
	Dialect string // duckdb or postgres
}

// Check judges one relation.
type Check interface {
	// Name is unique within a relation: unique(id), range(amount).
	Name() string
	// Eval looks at rel as of now, the run's clock. A failed check is a Finding;
	// an error means that it could not be evaluated.
	Eval(ctx context.Context, q Querier, rel Relation, now time.Time) (Finding, error)
}

// Finding is the outcome of one check.
type Finding struct {
	Check    string   `json:"check"`
	Relation string   `json:"relation"`
	Severity Severity `json:"severity"`
	OK       bool     `json:"ok"`
	// Observed and Expected are short texts with their numbers:
	// "3 rows" against "none", "26h" against "at most 24h".
	Observed string `json:"observed"`
	Expected string `json:"expected"`
	// Failed is the number of offending rows; 0 for checks of a whole table.
	Failed int64 `json:"failed,omitempty"`
	// Samples are up to five offending rows as JSON objects.
	Samples []string `json:"samples,omitempty"`
}
