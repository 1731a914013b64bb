package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	neturl "net/url"
	"sync"
	"sync/atomic"
	"testing"

	"elt/activate"
)

// abroad is the same database where the server says ERROR in another language, and
// how many connections were made to it.
func (w world) abroad(t *testing.T) (world, *atomic.Int64) {
	t.Helper()
	u, err := neturl.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	server := u.Host
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			made.Add(1)
			all.Go(func() { translate(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	u.Host = l.Addr().String()
	return world{u.String()}, &made
}

func translate(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(conn, client)
		_ = conn.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := client.Write(bytes.ReplaceAll(buf[:n], []byte("SERROR\x00V"), []byte("SFEHLR\x00V"))); err != nil {
			return
		}
	}
}

// A COMMIT that the server refuses is no lost answer, in whatever language it is
// told: nobody has to be asked on another connection, and this one goes on.
func TestACommitThatIsRefusedIsAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v int)`,
		`CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.v = 7 THEN RAISE EXCEPTION 'seven is not welcome' USING ERRCODE = '55000'; END IF; RETURN NEW; END $$`,
		`CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END $$`,
		`CREATE TRIGGER later BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION later()`,
		`CREATE CONSTRAINT TRIGGER late AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`)
	abroad, made := w.abroad(t)
	d := abroad.mustOpen(t, things)
	outs, err := d.Push(context.Background(), activate.Batch{Changes: []activate.Change{change(activate.Upsert, 1, `,"v":7`)}})
	var refused *activate.RefusedError
	if !errors.As(err, &refused) || refused.Code != "55000" {
		t.Fatalf("%+v, %v; want one that is refused with 55000", outs, err)
	}
	want(t, "another", push(t, d, change(activate.Upsert, 2, `,"v":1`)), "acked new")
	want(t, "table", w.read(t, `SELECT id FROM things`), "2")
	if n := made.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
