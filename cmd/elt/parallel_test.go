package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"elt/internal/warehouse"
)

// gathering holds back every statement that holds part until n transactions have
// come to theirs, so that all are open at the same time.
type gathering struct {
	warehouse.Driver
	part string
	mu   sync.Mutex
	n    int
	all  chan struct{}
}

func (g *gathering) Begin(ctx context.Context, readOnly bool) (warehouse.DriverTx, error) {
	tx, err := g.Driver.Begin(ctx, readOnly)
	if err != nil {
		return nil, err
	}
	return gatheredTx{DriverTx: tx, g: g}, nil
}

type gatheredTx struct {
	warehouse.DriverTx
	g *gathering
}

func (tx gatheredTx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if strings.Contains(q, tx.g.part) {
		if err := tx.g.wait(ctx); err != nil {
			return 0, err
		}
	}
	return tx.DriverTx.Exec(ctx, q, args...)
}

func (g *gathering) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n--; g.n == 0 {
		close(g.all)
	}
	g.mu.Unlock()
	select {
	case <-g.all:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(20 * time.Second):
		return errors.New("not all transactions can be open at the same time")
	}
}

// Every step may hold a transaction and look something up beside it; however many
// run side by side, none waits for a connection that another one holds.
func TestManyParallelStepsHaveTheirConnections(t *testing.T) {
	for _, engine := range []string{"duckdb", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir, addr := faultProject(t, engine)
			mustRun(t, dir, addr)
			const n = 12
			var selected []string
			for i := range n {
				name := fmt.Sprintf("side%d", i)
				if err := os.WriteFile(filepath.Join(dir, "models", "marts", name+".sql"), []byte("select 1 as id"), 0o600); err != nil {
					t.Fatal(err)
				}
				selected = append(selected, "marts."+name)
			}
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, func(d warehouse.Driver) warehouse.Driver {
				return &gathering{Driver: d, part: `."_elt_new_side`, n: n, all: make(chan struct{})}
			}, append([]string{"run", "--threads", fmt.Sprint(n)}, selected...)...)
			if code != 0 {
				t.Errorf("exit %d\n%s\n%s", code, out, &stderr)
			}
		})
	}
}
