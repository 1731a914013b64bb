package fault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"elt/internal/fault"
)

// answering is a server that answers every byte with ten.
func answering(t *testing.T) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 100)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(bytes.Repeat(buf[:n], 10)); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func proxied(t *testing.T) (p *fault.Proxy, dial func() net.Conn) {
	t.Helper()
	p, err := fault.NewProxy(t.Context(), answering(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, func() net.Conn {
		t.Helper()
		c, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// ask sends text, reads the n bytes that must come, and then what follows: the end
// of the connection, or nothing for a moment, a deadline that has passed.
func ask(t *testing.T, c net.Conn, text string, n int, ends bool) (got string, err error) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	all := make([]byte, n)
	if read, err := io.ReadFull(c, all); err != nil {
		return string(all[:read]), err
	}
	if !ends {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	more, err := io.ReadAll(c)
	return string(all) + string(more), err
}

func pick(yes bool, a, b int) int {
	if yes {
		return a
	}
	return b
}

func TestProxyBreaksAtEveryByteOfAnAnswer(t *testing.T) {
	p, dial := proxied(t)
	for _, how := range fault.Breaks() {
		for at := range int64(21) {
			c := dial()
			p.Break(fault.Cut{Break: how, Reply: true, At: at})
			came, hit := p.Came(), at < 20
			got, err := ask(t, c, "ab", int(at)*pick(how == fault.Reset, 0, 1), how != fault.Stall && hit)
			switch {
			case p.Came()-came != pick(hit, 1, 0):
				t.Errorf("%s at %d: %d cuts came", how, at, p.Came()-came)
			case how == fault.Reset && hit: // what had arrived may be lost with it
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s at %d: %v", how, at, err)
				}
			case got != strings.Repeat("ab", 10)[:at]:
				t.Errorf("%s at %d: got %q", how, at, got)
			case how == fault.Close && hit && err != nil && !errors.Is(err, io.EOF), (how == fault.Stall || !hit) && !errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("%s at %d: %v", how, at, err)
			}
			if at == 15 { // the others live
				if got, _ := ask(t, dial(), "c", 10, false); got != "cccccccccc" {
					t.Errorf("another connection got %q", got)
				}
			}
			p.Heal()
			_ = c.Close()
		}
	}
}

func TestProxyLosesAMessageOrItsAnswer(t *testing.T) {
	p, dial := proxied(t)
	for _, reply := range []bool{false, true} {
		c := dial()
		p.Break(fault.Cut{Reply: reply, On: func(b []byte) bool { return bytes.Contains(b, []byte("x")) }})
		if got, _ := ask(t, c, "a", 10, false); got != "aaaaaaaaaa" {
			t.Errorf("another message got %q", got)
		}
		if got, err := ask(t, c, "x", 0, true); got != "" || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestProxyBreaksAllUntilItHeals(t *testing.T) {
	p, dial := proxied(t)
	for _, how := range fault.Breaks() {
		one, two := dial(), dial()
		for _, c := range []net.Conn{one, two} { // both are relayed
			if got, _ := ask(t, c, "a", 10, false); got != "aaaaaaaaaa" {
				t.Fatalf("got %q", got)
			}
		}
		p.Break(fault.Cut{Break: how, All: true})
		for _, c := range []net.Conn{one, two, dial()} {
			if got, _ := ask(t, c, "a", 0, how != fault.Stall); got != "" {
				t.Errorf("%s: got %q", how, got)
			}
		}
		p.Heal()
		if got, _ := ask(t, dial(), "a", 10, false); got != "aaaaaaaaaa" {
			t.Errorf("%s: healed, got %q", how, got)
		}
	}
}
