package pgwatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"elt/internal/fault"
	"elt/internal/pgwatch"
	"elt/internal/testdb"
)

// TestMain wants nothing of the connections to run when they are closed.
func TestMain(m *testing.M) {
	code := testdb.Run(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// through is a proxy to a database of the test, and what makes watched connections
// through it; these ask after 500 ms.
func through(t *testing.T) (*fault.Proxy, *pgconn.Config) {
	t.Helper()
	url := testdb.URL(t)
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	p, err := fault.NewProxy(t.Context(), u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	u.Host = p.Addr()
	u.RawQuery += "&tcp_user_timeout=500&connect_timeout=1"
	config, err := pgconn.ParseConfig(u.String())
	if err != nil {
		t.Fatal(err)
	}
	pgwatch.Install(config)
	return p, config
}

// connect makes a watched connection through a proxy.
func connect(t *testing.T) (*fault.Proxy, *pgconn.PgConn) {
	t.Helper()
	p, config := through(t)
	pg, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Heal()
		_ = pg.Close(context.WithoutCancel(t.Context()))
		<-pg.CleanupDone()
	})
	return p, pg
}

func TestAStatementThatWorksIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, pg := connect(t)
	if _, err := pg.Exec(t.Context(), "SELECT pg_sleep(2)").ReadAll(); err != nil {
		t.Error(err)
	}
}

// slow is a source of rows that takes its time.
type slow struct {
	t    *testing.T
	rows []string
}

func (s *slow) Read(b []byte) (int, error) {
	if len(s.rows) == 0 {
		return 0, io.EOF
	}
	row := s.rows[0]
	s.rows = s.rows[1:]
	pg, err := pgconn.Connect(s.t.Context(), testdb.URL(s.t))
	if err == nil {
		_, err = pg.Exec(s.t.Context(), "SELECT pg_sleep(1.5)").ReadAll()
		err = errors.Join(err, pg.Close(s.t.Context()))
	}
	return copy(b, row), err
}

func TestASlowSourceOfACopyIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, pg := connect(t)
	if _, err := pg.Exec(t.Context(), "CREATE TABLE a (x int)").ReadAll(); err != nil {
		t.Fatal(err)
	}
	tag, err := pg.CopyFrom(t.Context(), pgwatch.Source(pg, &slow{t, []string{"1\n", "2\n"}}), "COPY a FROM STDIN")
	if err != nil || tag.RowsAffected() != 2 {
		t.Errorf("%v, %v", tag, err)
	}
}

func TestSilenceEndsAConnection(t *testing.T) {
	many := func(pg *pgconn.PgConn, t *testing.T) error { // far more than what fits the buffers on the way
		_, err := pg.Exec(t.Context(), "SELECT repeat('x', 1000) FROM generate_series(1, 100000)").ReadAll()
		return err
	}
	for name, tt := range map[string]struct {
		cut fault.Cut
		do  func(pg *pgconn.PgConn, t *testing.T) error
	}{
		"the answer does not begin":     {fault.Cut{Reply: true}, many},
		"in the middle of the answer":   {fault.Cut{Reply: true, At: 1 << 20}, many},
		"the statement does not arrive": {fault.Cut{}, many},
		"the server is out of reach":    {fault.Cut{Reply: true, At: 1 << 20, All: true}, many},
		"rows do not arrive": {fault.Cut{At: 1 << 20}, func(pg *pgconn.PgConn, t *testing.T) error {
			_, err := pg.CopyFrom(t.Context(), pgwatch.Source(pg, bytes.NewReader(bytes.Repeat([]byte("x\n"), 20<<20))), "COPY a FROM STDIN")
			return err
		}},
		"rows arrive without their end": {fault.Cut{At: 1 << 20}, func(pg *pgconn.PgConn, t *testing.T) error {
			_, err := pg.CopyFrom(t.Context(), pgwatch.Source(pg, bytes.NewReader(bytes.Repeat([]byte("x\n"), 1<<19+100))), "COPY a FROM STDIN")
			return err
		}},
		"the answer to COMMIT is lost": {fault.Cut{Reply: true, On: func(b []byte) bool { return bytes.Contains(b, []byte("COMMIT")) }}, func(pg *pgconn.PgConn, t *testing.T) error {
			_, err := pg.Exec(t.Context(), "COMMIT").ReadAll()
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, pg := connect(t)
			if _, err := pg.Exec(t.Context(), "CREATE TABLE a (x text); BEGIN").ReadAll(); err != nil {
				t.Fatal(err)
			}
			tt.cut.Break = fault.Stall
			p.Break(tt.cut)
			err := tt.do(pg, t)
			var silence *pgwatch.SilenceError
			var network net.Error
			lost := errors.As(err, &silence) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
			if !lost || p.Came() != 1 {
				t.Errorf("%d cuts came, error %v", p.Came(), err)
			}
		})
	}
}

// A new connection asks what the server calls it, before which the server cannot
// be asked about it: it must not wait for ever either, though connect_timeout has
// ended with the handshake.
func TestSilenceEndsAConnectionThatIsNotKnownYet(t *testing.T) {
	for _, reply := range []bool{false, true} {
		t.Run(fmt.Sprintf("reply=%t", reply), func(t *testing.T) {
			t.Parallel()
			p, config := through(t)
			p.Break(fault.Cut{Break: fault.Stall, Reply: reply, On: func(b []byte) bool { return bytes.Contains(b, []byte("pg_backend_pid")) }})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pg, err := pgconn.ConnectConfig(ctx, config)
			var silence *pgwatch.SilenceError
			if !errors.As(err, &silence) || p.Came() != 1 {
				t.Errorf("%d cuts came, error %v, want that of silence", p.Came(), err)
			}
			p.Heal()
			if err == nil {
				t.Error(pg.Close(ctx))
			}
		})
	}
}

// Who listens is not told that nothing happens.
func TestWhoListensIsLeftAlone(t *testing.T) {
	t.Parallel()
	_, pg := connect(t)
	if _, err := pg.Exec(t.Context(), "LISTEN a").ReadAll(); err != nil {
		t.Fatal(err)
	}
	other, err := pgconn.Connect(t.Context(), testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	listened := make(chan error)
	resume := pgwatch.Idle(pg)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { listened <- pg.WaitForNotification(ctx) }()
	if _, err := other.Exec(t.Context(), "SELECT pg_sleep(1.5)").ReadAll(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-listened; !errors.Is(err, context.Canceled) {
		t.Errorf("listening ended with %v", err)
	}
	resume()
	if _, err := pg.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Errorf("after listening: %v", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
