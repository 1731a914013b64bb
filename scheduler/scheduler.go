// Package scheduler runs the steps of a run: in the order of their needs, side
// by side within limits, with retries, recorded as they end.
package scheduler

import (
	"context"
	"time"

	"elt/internal/event"
	"elt/window"
)

// Step is one unit of a run.
type Step struct {
	Name     string   // unique: shop.orders, marts.daily_revenue, crm_contacts
	Kind     string   // extract, model, sync
	Needs    []string // names of steps that must end well first
	Windowed bool     // a backfill runs it once per window
	Pool     string   // steps of one pool share its limit; "": no pool
	Timeout  time.Duration
	Run      func(ctx context.Context, w window.Window) (event.Result, error)
}
