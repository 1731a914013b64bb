package state

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// Quarantined is one row that a load could not take.
type Quarantined struct {
	Stream string
	LoadID string
	RunID  string
	scan.Reject
	At time.Time
}

// SaveRejects puts rows into the quarantine in the transaction that publishes
// the load that they were part of, in one batch.
func (s *Store) SaveRejects(ctx context.Context, tx *warehouse.Tx, stream, loadID, runID string, rejects []scan.Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	r, err := s.rejectBatch(stream, loadID, runID, rejects)
	if err != nil {
		return fmt.Errorf("quarantine of %s: %w", stream, err)
	}
	defer r.Release()
	if _, err := tx.Append(ctx, warehouse.Table{Schema: warehouse.StateSchema, Name: "quarantine"}, r); err != nil {
		return fmt.Errorf("quarantine of %s: %w", stream, err)
	}
	return nil
}

func (s *Store) rejectBatch(stream, loadID, runID string, rejects []scan.Reject) (array.RecordReader, error) {
	names := []string{"project", "target", "stream", "load_id", "run_id", "locator", "reason", "payload"}
	fields := make([]arrow.Field, 0, len(names)+1)
	for _, n := range names {
		fields = append(fields, arrow.Field{Name: n, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: "recorded_at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true})
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	now := arrow.Timestamp(time.Now().UnixMicro())
	for _, rej := range rejects {
		values := []string{s.project, s.target, stream, loadID, runID, rej.Locator, rej.Reason, rej.Payload}
		for i, v := range values {
			col, _ := b.Field(i).(*array.StringBuilder)
			col.Append(storable(v))
		}
		at, _ := b.Field(len(values)).(*array.TimestampBuilder)
		at.Append(now)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return array.NewRecordReader(schema, []arrow.RecordBatch{batch})
}

// storable is v as every engine stores text, whatever a rejected row held: a
// NUL byte is written as \u0000, and what is no UTF-8 as \ufffd.
func storable(v string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(v, "\ufffd"), "\x00", `\u0000`)
}

// Quarantine lists the newest quarantined rows of stream, of all streams when it is "".
func (s *Store) Quarantine(ctx context.Context, stream string, limit int) ([]Quarantined, error) {
	var list []Quarantined
	err := s.each(ctx, s.db, `SELECT stream, load_id, run_id, locator, reason, payload, recorded_at FROM _elt.quarantine
		WHERE project = $1 AND target = $2 AND ($3 = '' OR stream = $3)
		ORDER BY recorded_at DESC, stream, locator LIMIT $4`, func(r rows.Row) error {
		list = append(list, Quarantined{
			Stream: r.String(0), LoadID: r.String(1), RunID: r.String(2),
			Reject: scan.Reject{Locator: r.String(3), Reason: r.String(4), Payload: r.String(5)}, At: r.Time(6),
		})
		return nil
	}, stream, some(limit))
	if err != nil {
		return nil, fmt.Errorf("list the quarantine: %w", err)
	}
	return list, nil
}

// ReleaseQuarantine forgets the quarantined rows of stream and returns how many
// there were: they have been mended at the source or are given up.
func (s *Store) ReleaseQuarantine(ctx context.Context, stream string) (int64, error) {
	var n int64
	err := s.change(ctx, &n, `DELETE FROM _elt.quarantine WHERE project = $1 AND target = $2 AND stream = $3`,
		s.project, s.target, stream)
	if err != nil {
		return 0, fmt.Errorf("release the quarantine of %s: %w", stream, err)
	}
	return n, nil
}
