package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	neturl "net/url"
	"sync"
	"testing"

	"elt/internal/retry"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

// cutter is a TCP proxy that cuts the connection on which it sees COMMIT: before
// the server gets it, or after the server has answered it.
type cutter struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	armed  bool
	before bool
	cuts   int
}

// startCutter returns the URL of the database behind a proxy.
func startCutter(t *testing.T, url string, before bool) (*cutter, string) {
	t.Helper()
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: u.Host, before: before}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		_ = l.Close()
		c.wg.Wait()
	})
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// cut says whether this COMMIT is the one.
func (c *cutter) cut(message []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || !bytes.Contains(message, []byte("COMMIT\x00")) {
		return false
	}
	c.armed = false
	c.cuts++
	return true
}

func (c *cutter) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.relay(client) })
	}
}

func (c *cutter) relay(client net.Conn) {
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.server)
	if err != nil {
		_ = client.Close()
		return
	}
	defer func() { _ = client.Close(); _ = server.Close() }()
	var replies sync.WaitGroup
	replies.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && c.cut(buf[:n]) {
			_ = client.Close()
			if !c.before {
				_, _ = server.Write(buf[:n]) // committed, with nobody left to tell
			}
			break
		}
		if err != nil {
			break
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	if tcp, ok := server.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	replies.Wait()
}

func TestInvariant6_AnErrorFromCommitMeansUnknownAndIsAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool
		rows   string
	}{
		{"cut before the server gets COMMIT", true, "0"},
		{"cut between COMMIT and its reply", false, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy, url := startCutter(t, testdb.URL(t), c.before)
			db, err := warehouse.Open(t.Context(), openURL(t, url, postgres.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			exec(t, db, `CREATE TABLE public.t (id int)`)
			proxy.arm()
			err = db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO public.t VALUES (1)`)
				return err
			})
			if n := proxy.count(); n != 1 {
				t.Fatalf("%d connections cut", n)
			}
			if c.before {
				if class, _ := retry.Of(err); !errors.Is(err, warehouse.ErrNotCommitted) || class != retry.Transient {
					t.Errorf("error %v", err)
				}
			} else if err != nil {
				t.Errorf("committed, but error %v", err)
			}
			if got := one(t, db, `SELECT count(*) FROM public.t`)[0]; got != c.rows {
				t.Errorf("%s rows, want %s", got, c.rows)
			}
		})
	}
}
