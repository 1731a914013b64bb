// Package file is a destination in the file system: one file of JSON lines for
// each object, which any program can follow.
//
// # Format
//
// <path>/<object>.jsonl has one line for each operation, oldest first:
//
//	{"op":"upsert","key":{"id":7},"fields":{"name":"Ada"},"op_id":"…","batch":"…"}
//
// op is create, update, upsert, append or delete. The object's rows are, for
// append, all lines; for the other operations the last line of each key, without
// those whose last line is a delete. An op_id is in the file once at most, also
// when a batch was sent again because its answer was lost. A batch is on disk
// before it is acknowledged; a line that a crash cut off is removed when the file
// is opened again. The file only grows, and one process writes it at a time.
package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"elt/activate"
	"elt/internal/retry"
)

// Connection is what elt.yaml says of a connection of type file.
type Connection struct {
	Path string `yaml:"path" json:"path" jsonschema:"required,description=Folder of the files; relative to the project"`
}

// Kind is the kind of destination named file.
func Kind() activate.Kind {
	return activate.Kind{
		Name:       "file",
		Connection: func() any { return &Connection{} },
		Limits:     func(activate.Config) (activate.Limits, error) { return limits(), nil },
		Open: func(_ context.Context, c activate.Config) (activate.Connector, error) {
			d, err := open(c)
			if err != nil {
				return activate.Connector{}, err
			}
			return activate.Connector{Destination: d}, nil
		},
	}
}

// digest stands for a key or an op id in memory.
type digest [16]byte

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

// destination is one open file. It remembers which keys and operations are in
// it, some 50 bytes for each.
type destination struct {
	mu     sync.Mutex
	file   *os.File
	unlock func() error
	size   int64               // up to here the file is whole
	ops    map[digest]struct{} // operations in the file
	keys   map[digest]struct{} // rows that exist
	broken error               // what is on disk is not known any more
}

type line struct {
	Op     activate.Action `json:"op"`
	Key    json.RawMessage `json:"key"`
	Fields json.RawMessage `json:"fields,omitempty"`
	OpID   string          `json:"op_id"`
	Batch  string          `json:"batch"`
}

func open(c activate.Config) (*destination, error) {
	conn, ok := c.Connection.(*Connection)
	if !ok || conn.Path == "" {
		return nil, errors.New("a connection of type file needs path: the folder for its files")
	}
	dir := conn.Path
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.Dir, dir)
	}
	return openIn(dir, c.Object)
}

// Store opens an object in a folder as what a stand-in keeps its rows in.
func Store(dir, object string) (activate.Store, error) { return openIn(dir, object) }

func openIn(dir, object string) (*destination, error) {
	if object == "" || object != filepath.Base(object) || strings.HasPrefix(object, ".") {
		return nil, fmt.Errorf("object %q is no file name; write to: <connection>.<name>", object)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of a file connection: %w; expected path of the connection to be a folder that this user may write to", err)
	}
	path := filepath.Join(dir, object+".jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open a file destination: %w; expected path of the connection to be a folder that this user may write to", err)
	}
	unlock, err := lock(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is being written by another process; wait until it has ended: %w", path, err), f.Close())
	}
	d := &destination{file: f, unlock: unlock, ops: map[digest]struct{}{}, keys: map[digest]struct{}{}}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Limits implements [activate.Destination].
func (d *destination) Limits() activate.Limits { return limits() }

// limits are generous: a batch is one write and one fsync.
func limits() activate.Limits {
	return activate.Limits{
		BatchRows: 1000, BatchBytes: 16 << 20, Replay: activate.Idempotent,
		Modes: []string{activate.ModeUpsert, activate.ModeUpdate, activate.ModeInsert, activate.ModeAppend, activate.ModeMirror},
	}
}

// Push appends a batch in one write and makes it durable.
func (d *destination) Push(ctx context.Context, batch activate.Batch) ([]activate.Outcome, error) {
	return d.Take(ctx, batch, false)
}

// Take implements [activate.Store].
func (d *destination) Take(ctx context.Context, batch activate.Batch, atomic bool) ([]activate.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return nil, retry.AsTransient(context.Cause(ctx)) // nothing was written
	}
	if d.broken != nil {
		return nil, retry.AsTransient(fmt.Errorf("nothing is written after an earlier failure: %w", d.broken))
	}
	plan := newPlan(d)
	outcomes := make([]activate.Outcome, len(batch.Changes))
	for i, c := range batch.Changes {
		o, err := plan.add(batch.ID, c)
		if err != nil {
			return nil, retry.AsTransient(fmt.Errorf("encode %s: %w", c.OpID, err))
		}
		outcomes[i] = o
	}
	if refused := rejected(outcomes); atomic && len(refused) > 0 {
		return refused, nil
	}
	if err := d.write(plan.text.Bytes()); err != nil {
		return nil, err
	}
	plan.commit()
	return outcomes, nil
}

// write appends text durably. A write that failed is undone; when that fails
// too, or when the disk did not confirm, nothing is known.
func (d *destination) write(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if _, err := d.file.WriteAt(text, d.size); err != nil {
		if undo := d.file.Truncate(d.size); undo != nil {
			d.broken = errors.Join(err, undo)
			return fmt.Errorf("write: %w", d.broken)
		}
		return retry.AsTransient(fmt.Errorf("write: %w", err))
	}
	if err := d.file.Sync(); err != nil {
		d.broken = err
		return fmt.Errorf("sync: %w", err)
	}
	d.size += int64(len(text))
	return nil
}

// Close unlocks and closes the file. It is safe to call more than once.
func (d *destination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := errors.Join(d.unlock(), d.file.Close())
	d.file, d.broken = nil, os.ErrClosed
	return err
}

// plan is a batch on its way into the file: what it writes, and what will be
// known of the file afterwards.
type plan struct {
	d    *destination
	text bytes.Buffer
	ops  map[digest]struct{}
	keys map[digest]bool
}

func newPlan(d *destination) *plan {
	return &plan{d: d, ops: map[digest]struct{}{}, keys: map[digest]bool{}}
}

func (p *plan) has(key digest) bool {
	if there, ok := p.keys[key]; ok {
		return there
	}
	_, there := p.d.keys[key]
	return there
}

// add decides on one change and writes its line, if it gets one.
func (p *plan) add(batch string, c activate.Change) (activate.Outcome, error) {
	op, key := digestOf([]byte(c.OpID)), digestOf(c.Key)
	o := activate.Outcome{OpID: c.OpID, Status: activate.Acked}
	_, before := p.d.ops[op]
	_, now := p.ops[op]
	if before || now {
		return o, nil // it is there; the answer was lost
	}
	there := p.has(key)
	switch {
	case c.Action == activate.Create && there:
		return refuse(o, "exists", "a row with this key is there already"), nil
	case c.Action == activate.Update && !there:
		return refuse(o, "not_found", "there is no row with this key"), nil
	case c.Action == activate.Delete && !there:
		return o, nil
	}
	enc := json.NewEncoder(&p.text)
	enc.SetEscapeHTML(false)
	length := p.text.Len()
	if err := enc.Encode(line{Op: c.Action, Key: c.Key, Fields: c.Fields, OpID: c.OpID, Batch: batch}); err != nil {
		p.text.Truncate(length)
		return o, err
	}
	p.ops[op] = struct{}{}
	p.keys[key] = c.Action != activate.Delete
	o.Created = !there || c.Action == activate.Append
	return o, nil
}

func refuse(o activate.Outcome, code, message string) activate.Outcome {
	o.Status, o.Code, o.Message = activate.Rejected, code, message
	return o
}

func rejected(outcomes []activate.Outcome) []activate.Outcome {
	var list []activate.Outcome
	for _, o := range outcomes {
		if o.Status == activate.Rejected {
			list = append(list, o)
		}
	}
	return list
}

// commit makes known what has been written.
func (p *plan) commit() {
	for op := range p.ops {
		p.d.ops[op] = struct{}{}
	}
	for key, there := range p.keys {
		if there {
			p.d.keys[key] = struct{}{}
		} else {
			delete(p.d.keys, key)
		}
	}
}
