package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"elt/internal/pipeline"
	"elt/scheduler"
	"elt/window"
)

// backfillFlags say what is read and built again of the past.
type backfillFlags struct {
	asked, chunk string
	parallel     int
	redo         bool
}

func (b *backfillFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.asked, "backfill", "", "read and build the past again, window by window: 30d (the days up to today), or FROM..TO, dates or times, half-open; moves no cursor")
	cmd.Flags().StringVar(&b.chunk, "chunk", "", "length of a window of --backfill, in the project's calendar: 1d by default; 6h, 1w, 1mo")
	cmd.Flags().BoolVar(&b.redo, "redo", false, "with --backfill: do the windows again that it has done before")
}

// addParallel adds the flag that only what runs has.
func (b *backfillFlags) addParallel(cmd *cobra.Command) {
	cmd.Flags().IntVar(&b.parallel, "parallel", 0, "with --backfill: how many steps work at once; the windows of one step take turns, since they write one table")
}

// apply makes the run of p a backfill where the flags ask for one, and refuses
// steps that cannot be part of it.
func (b *backfillFlags) apply(ctx context.Context, p *pipeline.Pipeline, steps []scheduler.Step) error {
	if b.asked == "" {
		if b.chunk != "" || b.parallel != 0 || b.redo {
			return usage("--chunk, --parallel and --redo belong to --backfill\n     such as: elt run --backfill 30d --chunk 1d")
		}
		return nil
	}
	if p.FullRefresh {
		return usage("--backfill and --full-refresh exclude each other: the one rebuilds windows of time, the other everything")
	}
	if b.parallel < 0 {
		return usage("--parallel %d: expected a number from 1", b.parallel)
	}
	w, err := window.Parse(b.asked, p.Now, p.Project.Timezone)
	if err != nil {
		return usage("--backfill %w", err)
	}
	chunk := window.Span{N: 1, Unit: "d"}
	if b.chunk != "" {
		if chunk, err = window.ParseSpan(b.chunk); err != nil {
			return usage("--chunk %w", err)
		}
	}
	const most = 10_000
	if n := len(chunk.Cut(w, p.Project.Timezone)); n > most {
		return usage("--backfill %s by %s is %d windows, more than %d: give it longer ones, such as --chunk 1mo", b.asked, chunk, n, most)
	}
	p.Backfill = &pipeline.Backfill{Range: w, Chunk: chunk, Redo: b.redo, Parallel: b.parallel}
	return p.PrepareBackfill(ctx, steps)
}

// typed is the flags as they are recorded with the run.
func (b *backfillFlags) typed() string {
	if b.asked == "" {
		return ""
	}
	text := "--backfill " + b.asked
	if b.chunk != "" {
		text += " --chunk " + b.chunk
	}
	if b.parallel != 0 {
		text += fmt.Sprintf(" --parallel %d", b.parallel)
	}
	if b.redo {
		text += " --redo"
	}
	return text + " "
}
