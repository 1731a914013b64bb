package duckdb

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"elt/internal/warehouse"
)

// maxSocket is the longest path that every system takes for a unix socket.
const maxSocket = 100

// socketOf is where the owner of the file at path answers.
func socketOf(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	if s := abs + ".sock"; len(s) <= maxSocket {
		return s
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(os.TempDir(), "elt-"+hex.EncodeToString(sum[:8])+".sock")
}

// question is one SELECT on its way to the owner of the file.
type question struct {
	SQL  string
	Args []argument
}

// argument is a parameter with its type, which JSON alone would lose.
type argument struct {
	Type  string
	Value json.RawMessage
}

// answer precedes the rows, as an Arrow stream, when it has no error, and
// follows them.
type answer struct {
	Error string
	Kind  warehouse.Kind
	Hint  string
}

// server answers other processes while this one owns the file.
type server struct {
	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// Serve lets other processes of this user query the file, read-only, until Close.
// They find the socket beside it.
func (d *Driver) Serve() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.server != nil {
		return nil
	}
	path := socketOf(d.opts.Path)
	// One that is there is left from a process that died: the lock on the file is ours.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("socket of %s: %w", d.opts.Path, err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return fmt.Errorf("socket of %s: %w", d.opts.Path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("socket of %s: %w", d.opts.Path, err), listener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{listener: listener, cancel: cancel}
	d.server = s
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { d.serve(ctx, conn) })
		}
	})
	return nil
}

// close stops answering and waits for answers that are under way.
func (s *server) close() {
	_ = s.listener.Close()
	s.cancel()
	s.running.Wait()
}

// serve answers one question. What goes wrong with the connection is for the one
// who asked to notice.
func (d *Driver) serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	var q question
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return
	}
	reply := json.NewEncoder(conn)
	refuse := func(err error) {
		a := answer{Error: err.Error(), Kind: warehouse.KindOf(err)}
		var e *warehouse.Error
		if errors.As(err, &e) {
			a.Hint = e.Hint
		}
		_ = reply.Encode(a)
	}
	args, err := decodeArgs(q.Args)
	if err != nil {
		refuse(err)
		return
	}
	tx, err := d.Begin(ctx, true)
	if err != nil {
		refuse(err)
		return
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	r, err := tx.Query(ctx, q.SQL, args...)
	if err != nil {
		refuse(err)
		return
	}
	defer r.Release()
	if reply.Encode(answer{}) != nil {
		return
	}
	if err := send(conn, r); err != nil {
		refuse(err)
		return
	}
	_ = reply.Encode(answer{})
}

// send writes the rows and then how they ended: a stream that is cut between two
// batches looks like one that is complete.
func send(conn net.Conn, r array.RecordReader) error {
	w := ipc.NewWriter(conn, ipc.WithSchema(r.Schema()))
	for r.Next() {
		if err := w.Write(r.RecordBatch()); err != nil {
			return err
		}
	}
	return errors.Join(r.Err(), w.Close())
}

func encodeArgs(args []any) ([]argument, error) {
	out := make([]argument, len(args))
	for i, a := range args {
		raw, err := json.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
		out[i] = argument{Type: fmt.Sprintf("%T", a), Value: raw}
	}
	return out, nil
}

func decodeArgs(args []argument) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		var err error
		switch a.Type {
		case "<nil>":
		case "string":
			out[i], err = decode[string](a.Value)
		case "bool":
			out[i], err = decode[bool](a.Value)
		case "int", "int64":
			out[i], err = decode[int64](a.Value)
		case "float64":
			out[i], err = decode[float64](a.Value)
		case "[]uint8":
			out[i], err = decode[[]byte](a.Value)
		case "time.Time":
			out[i], err = decode[time.Time](a.Value)
		default:
			err = fmt.Errorf("type %s is no parameter", a.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
	}
	return out, nil
}

func decode[T any](raw json.RawMessage) (v T, err error) { return v, json.Unmarshal(raw, &v) }

// reached reports whether an owner of the file at path answers.
func reached(ctx context.Context, path string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socketOf(path))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// remote is a read-only transaction whose statements the owner of the file runs,
// each in a snapshot of its own.
type remote struct{ path string }

// Exec implements [warehouse.DriverTx].
func (r remote) Exec(context.Context, string, ...any) (int64, error) { return 0, r.readOnly() }

// Append implements [warehouse.DriverTx].
func (r remote) Append(context.Context, warehouse.Table, array.RecordReader) (int64, error) {
	return 0, r.readOnly()
}

func (r remote) readOnly() error {
	return &warehouse.Error{Kind: warehouse.KindReadOnly, Err: fmt.Errorf("%s is open for reading alone, through the process that owns it", r.path)}
}

// Commit implements [warehouse.DriverTx].
func (remote) Commit(context.Context) error { return nil }

// Rollback implements [warehouse.DriverTx].
func (remote) Rollback(context.Context) error { return nil }

// Query implements [warehouse.DriverTx].
func (r remote) Query(ctx context.Context, q string, args ...any) (array.RecordReader, error) {
	fail := func(err error) error {
		return &warehouse.Error{Kind: warehouse.KindUnavailable, Err: fmt.Errorf("ask the owner of %s: %w", r.path, errors.Join(context.Cause(ctx), err))}
	}
	encoded, err := encodeArgs(args)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socketOf(r.path))
	if err != nil {
		return nil, fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	done := func() { stop(); _ = conn.Close() }
	in := bufio.NewReader(conn)
	if err := json.NewEncoder(conn).Encode(question{SQL: q, Args: encoded}); err != nil {
		done()
		return nil, fail(err)
	}
	if err := listen(in, fail); err != nil {
		done()
		return nil, err
	}
	rows, err := ipc.NewReader(in)
	if err != nil {
		done()
		return nil, fail(err)
	}
	ended := func() error { return listen(in, fail) }
	return &forwarded{RecordReader: rows, ended: ended, done: done, refs: 1}, nil
}

// listen reads one answer and returns the error in it, or fail's word for why
// there is none.
func listen(in *bufio.Reader, fail func(error) error) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fail(err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return fail(err)
	}
	if a.Error != "" {
		return &warehouse.Error{Kind: a.Kind, Err: errors.New(a.Error), Hint: a.Hint}
	}
	return nil
}

// forwarded ends only when the owner says so, and its connection when it is released.
type forwarded struct {
	array.RecordReader
	ended func() error
	done  func()
	refs  int
	over  bool
	err   error
}

// Next implements [array.RecordReader].
func (f *forwarded) Next() bool {
	if f.over {
		return false
	}
	if f.RecordReader.Next() {
		return true
	}
	f.over = true
	if f.err = f.RecordReader.Err(); f.err == nil {
		f.err = f.ended()
	}
	return false
}

// Err implements [array.RecordReader].
func (f *forwarded) Err() error { return f.err }

// Retain implements [array.RecordReader].
func (f *forwarded) Retain() { f.refs++ }

// Release implements [array.RecordReader].
func (f *forwarded) Release() {
	if f.refs--; f.refs == 0 {
		f.RecordReader.Release()
		f.done()
	}
}
