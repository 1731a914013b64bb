package activate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"elt/internal/warehouse"
)

// The modes of a sync.
const (
	ModeUpsert = "upsert" // every row is there as it is here
	ModeUpdate = "update" // rows that the destination has are as they are here
	ModeInsert = "insert" // every row is created once and left alone afterwards
	ModeAppend = "append" // every row is sent once
	ModeMirror = "mirror" // as upsert; rows that are gone here, and that it made or changed there, go there too
)

// Sync is what one sync pushes, and where.
type Sync struct {
	Name   string
	Model  warehouse.Table
	Object string
	Mode   string
	Key    []string // columns of the model
	Fields []Field
	// TargetFP is the fingerprint of the destination's type, account and object
	// ([Fingerprint]): the ledger of one account never serves another.
	TargetFP string
	// Account is the fingerprint of type and account alone: what the account takes
	// is shared by all syncs that lead to it. "": nobody shares it.
	Account string
	RunID   string
	Guards  Guards
	// Replay is that of the destination, as far as it is known before it is opened: it
	// says which payload a row of unknown outcome goes out with, so that a plan shows,
	// and is approved by, what is sent.
	Replay ReplayClass
}

// Field maps a column of the model to a field of the destination.
type Field struct{ Theirs, Column string }

// Result is what became of the rows of a sync. It balances (invariant 9):
// Read = Invalid + Unchanged + Planned,
// Planned = Acked + Rejected + Unknown + Deferred, and
// Gone.Planned = Gone.Deleted + Gone.Settled + Gone.Rejected + Gone.Unknown + Gone.Deferred.
type Result struct {
	Read      int64
	Invalid   int64 // without a key, or with one that several rows have
	Unchanged int64
	Planned   int64
	Acked     int64
	New       int64 // of the acked, created there
	Rejected  int64 // refused now, or before with the same payload
	Unknown   int64
	Deferred  int64     // not sent, or refused before anything happened; the next run sends them
	Gone      Gone      // keys that the model does not have any more
	Held      []Tripped // the guards that hold the run: nothing was sent
	Samples   []Sample  // up to five invalid rows, and up to five rejected ones
	Twins     Twins     // keys that are one row there
	Problem   string    // why sending stopped early; "" when it did not
	// Barred is why the destination takes nothing of this sync, whatever its rows
	// are; nil when it does. It wraps a [BarredError], and Problem has its text.
	Barred error
	// Resume is when what stopped sending will be over; zero: nobody knows.
	Resume time.Time
}

// Gone is what became of the keys that are not in the model any more and that
// something is to be done about: rows of a mirror to delete, and outcomes that are
// not known. They are no rows of the model, so they have a balance of their own.
type Gone struct {
	Planned  int64
	Deleted  int64 // acknowledged deletes, and keys that are forgotten since their row has another key now
	Settled  int64 // what an earlier run may have done is known now; a mirror deletes it in its next run
	Rejected int64 // refused now or before; the row stays there
	Unknown  int64
	Deferred int64 // not sent, as long as a row of the model waits; the next run sends them
	Left     int64 // of a mode that deletes nothing: outcomes that stay unknown; in no balance
}

// Sample is a row that a person should look at.
type Sample struct {
	Key     string // as a JSON object
	Reason  string // null_key, duplicate_key, or what the destination said
	Payload string // what it was said of, as a JSON object; "" for null_key and duplicate_key
}

// ErrAccounting means that the counts of a sync do not balance: a mistake in
// elt, which must not pass for a good run.
var ErrAccounting = errors.New("the accounting of the sync does not balance")

// ErrFenced means that another run has taken over the sync; this one may settle
// nothing more.
var ErrFenced = errors.New("another run has taken over this sync")

// Fingerprint hashes what identifies a destination: type, account, object.
func Fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p)) // prefixed by length: ("ab","c") is not ("a","bc")
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// DestKey are the destination fields that identify a row, for [Config].Key: the
// field that a key column is mapped to, or else the column's own name.
func (s Sync) DestKey() []string {
	names := make([]string, len(s.Key))
	for i, col := range s.Key {
		names[i] = col
		for _, f := range s.Fields {
			if f.Column == col {
				names[i] = f.Theirs
				break
			}
		}
	}
	return names
}

// theirs are the destination's names of the fields, in their order.
func (s Sync) theirs() []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Theirs
	}
	return names
}

// mapping fingerprints what a payload hash does not see: under which names the
// values are sent. It is part of every stored hash, so that a renamed field is
// a change of every row, also when a resync is cut off half way.
func (s Sync) mapping() string {
	parts := []string{s.Object}
	parts = append(parts, s.DestKey()...)
	parts = append(parts, "")
	parts = append(parts, s.theirs()...)
	return Fingerprint(parts...)[:12]
}

func (s Sync) validate() error {
	switch s.Mode {
	case ModeUpsert, ModeUpdate, ModeInsert, ModeAppend, ModeMirror:
	default:
		return fmt.Errorf("sync %s: mode %q is not supported; use upsert, update, insert, mirror or append", s.Name, s.Mode)
	}
	if len(s.Key) == 0 || len(s.Fields) == 0 {
		return fmt.Errorf("sync %s: it needs a key and at least one field", s.Name)
	}
	return nil
}

// sorted is s with its fields, and the columns of its key, by the destination's
// names: in whatever order a project writes them, they are hashed alike.
func (s Sync) sorted() Sync {
	theirs := map[string]string{} // by our name
	for i, name := range s.DestKey() {
		theirs[s.Key[i]] = name
	}
	s.Key, s.Fields = slices.Clone(s.Key), slices.Clone(s.Fields)
	slices.SortFunc(s.Key, func(a, b string) int { return cmp.Compare(theirs[a], theirs[b]) })
	slices.SortFunc(s.Fields, func(a, b Field) int { return cmp.Compare(a.Theirs, b.Theirs) })
	return s
}

// action is what a planned row asks of the destination.
func (s Sync) action() Action {
	switch s.Mode {
	case ModeUpdate:
		return Update
	case ModeInsert:
		return Create
	case ModeAppend:
		return Append
	default:
		return Upsert
	}
}

// account is what rates are kept for.
func (s Sync) account() string {
	if s.Account == "" {
		return s.TargetFP
	}
	return s.Account
}

// once reports whether a key is sent one time only, whatever its row becomes.
func (s Sync) once() bool { return s.Mode == ModeInsert || s.Mode == ModeAppend }
