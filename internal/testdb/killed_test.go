package testdb_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"elt/internal/testdb"
)

const childVariable = "ELT_TESTDB_CHILD"

// TestServerDiesWithTheProcess runs this binary again, kills it while it has a
// server, and waits until nobody answers at the server's address.
func TestServerDiesWithTheProcess(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		fmt.Printf("\nurl %s\n", testdb.URL(t))
		select {} // until killed
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerDiesWithTheProcess$")
	child.Env = append(os.Environ(), childVariable+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var url string
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		url, _ = strings.CutPrefix(lines.Text(), "url ")
		if !strings.HasPrefix(url, "postgres://") {
			url = ""
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if url == "" {
		t.Fatal("the child made no database")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err != nil && ctx.Err() == nil {
			return
		}
		if err == nil {
			_ = conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			t.Fatal("the server outlived the process that started it")
		case <-tick.C:
		}
	}
}
