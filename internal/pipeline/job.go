package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"elt/internal/warehouse"
	"elt/scheduler"
)

// LateError is the cause of a run that was cancelled because it took too long.
type LateError struct {
	Job     string
	Timeout time.Duration
}

func (e *LateError) Error() string {
	return fmt.Sprintf("timeout of job %s: the run was not done after %s and was cancelled", e.Job, short(e.Timeout))
}

// ErrOverlap says that a run of a job was not made because another one is on.
var ErrOverlap = errors.New("another run of the job is on")

// Turn waits for the turn of a run of job among those that overlap, as overlap says,
// and holds it until release is called. [ErrOverlap] says that the run is to be
// skipped. Where one process owns the warehouse, as on DuckDB, it comes at once.
//
// A turn that is lost with its connection ends nothing: what must not be done side by
// side has locks of its own.
func (p *Pipeline) Turn(ctx context.Context, job, overlap string) (release func(), err error) {
	switch overlap {
	case "queue_all":
		_, release, err = p.lock(ctx, "job "+job)
	case "queue_one": // who waits holds the one place in the queue
		leave, err := p.tryLock(ctx, "queue of job "+job)
		if err != nil {
			return nil, err
		}
		defer leave()
		if _, release, err = p.lock(ctx, "job "+job); err != nil {
			return nil, err
		}
	default:
		release, err = p.tryLock(ctx, "job "+job)
	}
	return release, err
}

func (p *Pipeline) tryLock(ctx context.Context, name string) (func(), error) {
	_, release, err := p.DB.Lock(ctx, p.lockName(name))
	if warehouse.KindOf(err) == warehouse.KindLocked {
		return nil, ErrOverlap
	}
	return release, err
}

func (p *Pipeline) lockName(name string) string {
	return "elt:" + p.Project.Name + ":" + p.Target.Name + ":" + name
}

// Fingerprints are the names of steps, each with what tells that its text has
// changed; "" where it has none, as a stream and a sync.
func (p *Pipeline) Fingerprints(steps []scheduler.Step) map[string]string {
	out := map[string]string{}
	for _, s := range steps {
		out[s.Name] = ""
		if m := p.Graph.Model(s.Name); m != nil && s.Kind == Model {
			out[s.Name] = fingerprint(m)
		}
	}
	return out
}
