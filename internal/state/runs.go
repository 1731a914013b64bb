package state

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
)

// The statuses of a run that is not over, and of one whose process has gone.
// All others are those of package event.
const (
	Running     = "running"
	Interrupted = "interrupted"
)

// Run is one run of the project.
type Run struct {
	ID        string
	Job       string // "" for a run of none
	Command   string // as it was typed, without secrets
	Trigger   string // manual, schedule, retry
	Status    string // Running, or how it ended
	Exit      int
	StartedAt time.Time
	EndedAt   time.Time // zero while it runs
	AsOf      time.Time // zero: its clock was now
	PID       int
	Host      string
	Error     string
	Log       string // path of the log file
	Owner     string
	Runbook   string
	Slot      time.Time // that a run of a job took; zero: none
	RetryOf   string    // the run that this one retries
	Spec      string    // what was asked for, as JSON of the command
}

// StartRun records that r runs from now on, in this process unless it says otherwise.
func (s *Store) StartRun(ctx context.Context, r Run) error {
	err := s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error { return s.startRun(ctx, tx, r) })
	if err != nil {
		return fmt.Errorf("record the start of run %s: %w", r.ID, err)
	}
	return nil
}

func (s *Store) startRun(ctx context.Context, tx *warehouse.Tx, r Run) error {
	if r.PID == 0 {
		r.PID = os.Getpid()
	}
	if r.Host == "" {
		r.Host = hostname()
	}
	_, err := tx.Exec(ctx, `INSERT INTO _elt.run
		(project, target, id, job, command, trigger, status, exit_code, started_at, as_of, pid, host, session, log,
			owner, runbook, slot, retry_of, spec)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		s.project, s.target, r.ID, r.Job, r.Command, r.Trigger, Running, stamp(r.StartedAt), stamp(r.AsOf),
		int64(r.PID), r.Host, s.session, r.Log, r.Owner, r.Runbook, stamp(r.Slot), r.RetryOf, r.Spec)
	return err
}

// EndRun records how run r.ID ended: its Status, Exit, EndedAt, AsOf, Error and Log.
func (s *Store) EndRun(ctx context.Context, r Run) error {
	err := persist(ctx, func() error {
		return s.update(ctx, `UPDATE _elt.run SET status = $4, exit_code = $5, ended_at = $6, error = $7,
		as_of = coalesce($8, as_of), log = CASE WHEN $9 = '' THEN log ELSE $9 END
		WHERE project = $1 AND target = $2 AND id = $3`,
			s.project, s.target, r.ID, r.Status, int64(r.Exit), stamp(r.EndedAt), r.Error, stamp(r.AsOf), r.Log)
	})
	if err != nil {
		return fmt.Errorf("record the end of run %s: %w", r.ID, err)
	}
	return nil
}

const runColumns = `id, job, command, trigger, status, exit_code, started_at, ended_at, as_of, pid, host, error, log, session,
	owner, runbook, slot, retry_of, spec`

// Runs lists the latest runs, newest first; limit 0 is all.
func (s *Store) Runs(ctx context.Context, limit int) ([]Run, error) {
	return s.runs(ctx, `ORDER BY started_at DESC, id DESC LIMIT $3`, some(limit))
}

// Running lists the runs that are recorded as on, newest first, however many began
// after them.
func (s *Store) Running(ctx context.Context) ([]Run, error) {
	return s.runs(ctx, `AND status = $3 ORDER BY started_at DESC, id DESC`, Running)
}

// RunsSince lists the runs that began after t, oldest first.
func (s *Store) RunsSince(ctx context.Context, t time.Time) ([]Run, error) {
	return s.runs(ctx, `AND started_at > $3 ORDER BY started_at, id`, stamp(t))
}

func (s *Store) runs(ctx context.Context, which string, args ...any) ([]Run, error) {
	var list []Run
	err := s.each(ctx, s.db, `SELECT `+runColumns+` FROM _elt.run WHERE project = $1 AND target = $2 `+which, func(r rows.Row) error {
		list = append(list, readRun(r))
		return nil
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return list, nil
}

// Run returns the run with this id, or whose id begins so; false when there is
// none or more than one.
func (s *Store) Run(ctx context.Context, id string) (Run, bool, error) {
	var found []Run
	err := s.each(ctx, s.db, `SELECT `+runColumns+` FROM _elt.run
		WHERE project = $1 AND target = $2 AND substr(id, 1, length($3)) = $3 ORDER BY id LIMIT 2`, func(r rows.Row) error {
		found = append(found, readRun(r))
		return nil
	}, id)
	if err != nil {
		return Run{}, false, fmt.Errorf("find run %s: %w", id, err)
	}
	if len(found) == 1 || (len(found) > 1 && found[0].ID == id) {
		return found[0], true, nil
	}
	return Run{}, false, nil
}

func readRun(r rows.Row) Run {
	return Run{
		ID: r.String(0), Job: r.String(1), Command: r.String(2), Trigger: r.String(3), Status: r.String(4),
		Exit: int(r.Int(5)), StartedAt: r.Time(6), EndedAt: r.Time(7), AsOf: r.Time(8),
		PID: int(r.Int(9)), Host: r.String(10), Error: r.String(11), Log: r.String(12),
		Owner: r.String(14), Runbook: r.String(15), Slot: r.Time(16), RetryOf: r.String(17), Spec: r.String(18),
	}
}

// CloseOrphans closes as interrupted, as of now, the runs that are recorded as
// running but whose process is gone, with their steps, and returns their ids.
// A run that lives has its lease, see [Store.Hold]; on DuckDB one process owns the
// file at a time, so there no other run lives. Runs named in except are alive.
func (s *Store) CloseOrphans(ctx context.Context, now time.Time, except ...string) ([]string, error) {
	var others []Run
	err := s.each(ctx, s.db, `SELECT `+runColumns+` FROM _elt.run
		WHERE project = $1 AND target = $2 AND status = $3 ORDER BY id`, func(r rows.Row) error {
		run, session := readRun(r), r.String(13)
		if !slices.Contains(except, run.ID) && session != s.session {
			others = append(others, run)
		}
		return nil
	}, Running)
	if err != nil {
		return nil, fmt.Errorf("look for runs that were cut off: %w", err)
	}
	var gone []string
	for _, run := range others {
		lives, err := s.lives(ctx, run)
		if err == nil && !lives {
			gone = append(gone, run.ID)
			err = s.closeOrphan(ctx, run.ID, now)
		}
		if err != nil {
			return nil, fmt.Errorf("close run %s: %w", run.ID, err)
		}
	}
	return gone, nil
}

func (s *Store) closeOrphan(ctx context.Context, id string, now time.Time) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		const reason = "the process ended before the run did"
		_, err := tx.Exec(ctx, `UPDATE _elt.run SET status = $5, exit_code = 130, ended_at = $6, error = $7
			WHERE project = $1 AND target = $2 AND id = $3 AND status = $4`,
			s.project, s.target, id, Running, Interrupted, stamp(now), reason)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE _elt.step SET status = $5, ended_at = $6, error = $7
			WHERE project = $1 AND target = $2 AND run_id = $3 AND status = $4`,
			s.project, s.target, id, Running, Interrupted, stamp(now), reason)
		return err
	})
}

// Gone reports whether r is recorded as running though its process, on this
// machine, has ended: it was killed, and no run has closed it since.
func (r Run) Gone() bool { return r.Status == Running && isGone(r) }

// hostname is "" where the machine has none, which matches only itself.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
