package pipeline

import (
	"context"
	"errors"
	"fmt"

	"elt/activate"
	"elt/internal/project"
)

// Reach opens the destination of a sync as a run would, and closes it: nothing is
// sent. It returns what was found out; the error says what to do.
func (p *Pipeline) Reach(ctx context.Context, s *project.Sync) (string, error) {
	if wrong := p.undeliverable(s); len(wrong) > 0 {
		return "", wrong
	}
	switch p.Push {
	case "off":
		return fmt.Sprintf("not tried: push is off in target %s, nothing is sent", p.Target.Name), nil
	case "fake":
		_, err := Faults(p.Target)
		return fmt.Sprintf("not tried: push is fake in target %s, a stand-in takes the rows", p.Target.Name), err
	}
	conn, err := p.destination(ctx, s)
	if err == nil {
		err = conn.Destination.Close()
	}
	if err != nil {
		return "", advised(fmt.Errorf("open %s: %w", s.To, err))
	}
	if kind, err := p.destinationKind(s.Connection.Type); err == nil && kind.Serve != nil {
		return "ok as it is written; address and credentials show with the first call, and none was made", nil
	}
	return "ok", nil
}

// advised is an error with what its destination advises.
func advised(err error) error {
	if barred := (*activate.BarredError)(nil); errors.As(err, &barred) && barred.Hint != "" {
		return fmt.Errorf("%w; %s", err, barred.Hint)
	}
	return err
}
