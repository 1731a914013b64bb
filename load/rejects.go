package load

import (
	"fmt"
	"slices"
	"sync"

	"elt/internal/scan"
)

const defaultMaxRejects = 100_000

// Rejects collects the rows that a load sets aside. It is safe for concurrent
// use. Its hard cap bounds the memory of a load whose every row is bad.
type Rejects struct {
	mu   sync.Mutex
	max  int
	rows []scan.Reject
}

// NewRejects returns a collector that holds at most limit rows; 0 or less means 100,000.
func NewRejects(limit int) *Rejects {
	if limit <= 0 {
		limit = defaultMaxRejects
	}
	return &Rejects{max: limit}
}

// Add takes in one row. It fails once the cap is reached, which ends the load.
func (r *Rejects) Add(row scan.Reject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) >= r.max {
		return fmt.Errorf("more than %d rows were rejected, the last one at %s: %s", r.max, row.Locator, row.Reason)
	}
	r.rows = append(r.rows, row)
	return nil
}

// Rows returns a copy of what was collected, in the order of arrival.
func (r *Rejects) Rows() []scan.Reject {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.rows)
}

// Len is how many rows were collected.
func (r *Rejects) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows)
}
