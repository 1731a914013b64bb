package duckdb_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

func TestAnotherProcessAsksTheOwner(t *testing.T) {
	for name, dir := range map[string]string{"beside the file": t.TempDir(), "long path": filepath.Join(t.TempDir(), strings.Repeat("long", 30))} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "wh.duckdb")
			_, end := holder(t, path)
			defer end()
			d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			db := warehouse.OpenReadOnly(d)
			defer func() { _ = db.Close() }()
			askAll(t, db)
		})
	}
}

func askAll(t *testing.T, db *warehouse.DB) {
	t.Helper()
	noon := time.Date(2026, 3, 29, 12, 0, 0, 123456000, time.UTC)
	n, last := 0, int64(0)
	err := warehouse.Each(t.Context(), db, "SELECT range, $2, $3, $4, $5, $6 FROM range($1) ORDER BY 1", func(r rows.Row) error {
		if n == 0 && (r.String(1) != "a 'text'" || !r.Bool(2) || r.Float(3) != 0.5 || !r.Time(4).Equal(noon) || r.String(5) != "\x00b") {
			t.Errorf("parameters came as %q %t %v %v %q", r.String(1), r.Bool(2), r.Float(3), r.Time(4), r.String(5))
		}
		n, last = n+1, r.Int(0)
		return nil
	}, int64(200_000), "a 'text'", true, 0.5, noon, []byte("\x00b"))
	if err != nil || n != 200_000 || last != 199_999 {
		t.Errorf("%d rows, the last is %d: %v", n, last, err)
	}
	if err := warehouse.Each(t.Context(), db, "SELECT 1/0 FROM nowhere", func(rows.Row) error { return nil }); warehouse.KindOf(err) != warehouse.KindNotFound {
		t.Errorf("an unknown table: kind %d, %v", warehouse.KindOf(err), err)
	}
	err = warehouse.Each(t.Context(), db, "SELECT CASE WHEN range = 150000 THEN error('late') ELSE '' END FROM range(200000)", func(rows.Row) error { return nil })
	if err == nil {
		t.Error("an error among the rows is lost")
	}
	if err := warehouse.Each(t.Context(), db, "DELETE FROM _elt.commits RETURNING token", func(rows.Row) error { return nil }); err == nil {
		t.Error("another process writes")
	}
	if err := db.View(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM _elt.commits")
		return err
	}); warehouse.KindOf(err) != warehouse.KindReadOnly {
		t.Errorf("a statement through the owner: %v", err)
	}
}

func TestTheSocketGoesWithItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Serve(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path + ".sock")
	if err == nil && info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is open to others: %v", info.Mode())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + ".sock"); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
}

// Rows that stop coming between two batches are not all the rows.
func TestAnOwnerThatDiesMidwayIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	_, end := holder(t, path)
	defer end()
	if err := os.Remove(path + ".sock"); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			dieMidway(conn)
		}
	}()
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	db, n := warehouse.OpenReadOnly(d), 0
	err = warehouse.Each(t.Context(), db, "SELECT 1", func(rows.Row) error { n++; return nil })
	if n != 3 || warehouse.KindOf(err) != warehouse.KindUnavailable {
		t.Errorf("%d rows and %v", n, err)
	}
	if err := errors.Join(db.Close(), listener.Close()); err != nil {
		t.Error(err)
	}
	<-served
}

// dieMidway answers with one batch of three rows and no end.
func dieMidway(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil))
	defer b.Release()
	for range 3 {
		b.Field(0).AppendNull()
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	_, _ = conn.Write([]byte("{}\n"))
	_ = ipc.NewWriter(conn, ipc.WithSchema(batch.Schema())).Write(batch)
}
