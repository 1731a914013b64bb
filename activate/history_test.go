package activate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/internal/retry"
	"elt/internal/warehouse"
	"elt/internal/warehouse/warehousetest"
)

// TestInvariant8 runs random histories against a destination in memory: with lost,
// partial and refused answers, rejections of rows and of whole calls, waits that
// are asked for, and calls side by side.
func TestInvariant8(t *testing.T) {
	t.Parallel()
	modes := []string{activate.ModeUpsert, activate.ModeUpdate, activate.ModeInsert, activate.ModeAppend, activate.ModeMirror}
	activatetest.Histories(t, modes, inMemory)
}

func inMemory(at activatetest.At) *activatetest.Place {
	m := activatetest.NewMemory(rapid.IntRange(1, 4).Draw(at.T, "batch"))
	m.Max.Replay = rapid.SampledFrom([]activate.ReplayClass{activate.Idempotent, activate.IdempotencyKey, activate.Reconcile}).Draw(at.T, "replay")
	m.Max.Concurrency = rapid.IntRange(1, 3).Draw(at.T, "concurrency")
	m.After = rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Hour}).Draw(at.T, "after")
	refuse := &m.Reject
	if rapid.Bool().Draw(at.T, "whole calls are refused") {
		refuse = &m.Poison
	}
	*refuse = func(c activate.Change) string {
		if strings.Contains(string(c.Fields), `"v":"bad"`) {
			return "bad"
		}
		return ""
	}
	return &activatetest.Place{
		Open:   func() (activate.Connector, error) { return activate.Connector{Destination: m, Lookup: m}, nil },
		Rows:   func() ([]activatetest.Row, error) { return m.Rows(), nil },
		Put:    func(r activatetest.Row) { m.Put(r.Key, r.Fields) },
		Replay: m.Max.Replay, Refuses: true,
		Break: func(s *activatetest.Script) {
			m.Fault = func(_ int, b activate.Batch) activatetest.Fault {
				return activatetest.Faults()[s.Pick(about(m, b.Changes), len(activatetest.Faults()))]
			}
			m.Blind = func(changes []activate.Change) error {
				return []error{nil, nil, errors.New("no answer"), retry.AsTransient(errors.New("busy"))}[s.Pick(about(m, changes), 4)]
			}
		},
		Heal: func() { m.Fault, m.Blind = nil, nil },
	}
}

// about tells calls apart that may come in any order.
func about(m *activatetest.Memory, changes []activate.Change) (id string) {
	if m.Max.Concurrency == 1 {
		return ""
	}
	for _, c := range changes {
		id += string(c.Key)
	}
	return id
}

// TestInvariant9 draws what the destination answers to every row and compares
// the counts of the run with those of the destination itself.
func TestInvariant9(t *testing.T) {
	t.Parallel()
	dbs, n := []*warehouse.DB{quick(t, "duckdb"), quick(t, "postgres")}, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := newWorld(t, rapid.SampledFrom(dbs).Draw(rt, "engine"), activate.ModeUpsert, 3)
		w.sync.Name = fmt.Sprintf("count%d", n)
		w.dest.Max.Replay = activate.Reconcile
		rows := map[int]string{}
		for range rapid.IntRange(1, 5).Draw(rt, "rows") {
			rows[rapid.IntRange(1, 5).Draw(rt, "id")] = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name")
		}
		w.model(rows)
		w.exec(`INSERT INTO marts.customers VALUES (NULL, 'n'), (99, 'x'), (99, 'y')`)
		w.dest.Fault = func(int, activate.Batch) activatetest.Fault {
			return rapid.SampledFrom([]activatetest.Fault{activatetest.None, activatetest.LoseReply, activatetest.RetrySome}).Draw(rt, "fault")
		}
		r := w.mustRun()
		if r.Read != int64(len(rows))+3 || r.Invalid != 3 {
			rt.Fatalf("%+v, want %d read and 3 invalid", r, len(rows)+3)
		}
		ledger := w.one(`SELECT count(*) FROM _elt.ledger WHERE sync = $1`, w.sync.Name)
		unknown := w.one(`SELECT count(*) FROM _elt.intent WHERE sync = $1 AND state = 'UNKNOWN'`, w.sync.Name)
		if r.Acked != ledger || r.Unknown != unknown || r.Acked+r.Unknown < int64(len(w.dest.Rows())) {
			rt.Fatalf("%+v; ledger %d, unknown %d, destination %d", r, ledger, unknown, len(w.dest.Rows()))
		}
	})
}

// In insert mode a changed row is left alone, also when the engine is upgraded;
// what was never sent must not count as sent when the mode becomes upsert.
func TestInvariant8AnUpgradeAcknowledgesNothing(t *testing.T) {
	warehousetest.Each(t, func(t *testing.T, db *warehouse.DB) {
		w := newWorld(t, db, activate.ModeInsert, 10)
		w.model(map[int]string{1: "a"})
		w.mustRun()
		w.model(map[int]string{1: "b"})
		w.exec(`UPDATE _elt.sync_target SET engine = 'of last year'`)
		w.mustRun()
		w.want("1:a")
		w.sync.Mode = activate.ModeUpsert
		w.mustRun()
		w.want("1:b")
	})
}
