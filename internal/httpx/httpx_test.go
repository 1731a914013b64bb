package httpx_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"elt/internal/httpx"
	"elt/internal/retry"
	"elt/internal/secret"
)

const token = "s3cr3t-token-of-mine"

func client(t *testing.T, o httpx.Options) *httpx.Client {
	t.Helper()
	o.Scrub = secret.NewScrubber(token)
	c, err := httpx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// call posts with the secret wherever one may stand and wants an Error that does
// not hold it.
func call(t *testing.T, c *httpx.Client, base string) *httpx.Error {
	t.Helper()
	reply, err := c.Do(context.Background(), httpx.Request{
		Method: http.MethodPost, URL: base + "/" + token + "?key=" + token, Body: []byte(token),
		Header: http.Header{"Authorization": {"Bearer " + token}, "Idempotency-Key": {"k"}},
	})
	var e *httpx.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, reply %d, want an httpx.Error", err, reply.Status)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", *e), e.Hint} {
		if strings.Contains(text, token) {
			t.Errorf("the error tells the secret: %s", text)
		}
	}
	class, _ := retry.Of(err)
	if want := !e.Sent && !e.Permanent(); want != (class == retry.Transient) {
		t.Errorf("%s: sent %v, permanent %v, transient %v", e.Reason, e.Sent, e.Permanent(), class == retry.Transient)
	}
	return e
}

func want(t *testing.T, e *httpx.Error, reason httpx.Reason, sent, permanent bool, text string) {
	t.Helper()
	if e.Reason != reason || e.Sent != sent || e.Permanent() != permanent || !strings.Contains(e.Text, text) {
		t.Errorf("%s, sent %v, permanent %v: %s; want %s, %v, %v: …%s…", e.Reason, e.Sent, e.Permanent(), e.Text, reason, sent, permanent, text)
	}
}

// raw serves connections by hand; answer gets each after its request's first byte.
func raw(t *testing.T, answer func(conn net.Conn)) (base string, calls func() int) {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			n++
			answer(conn)
			_ = conn.Close()
		}
	}()
	stop := func() int { _ = l.Close(); <-done; return n }
	t.Cleanup(func() { stop() })
	return "http://" + l.Addr().String(), stop
}

func TestNothingWasSent(t *testing.T) {
	c := client(t, httpx.Options{Timeout: 5 * time.Second})
	closed, stop := raw(t, func(net.Conn) {})
	stop()
	want(t, call(t, c, closed), httpx.Refused, false, false, "refused the connection")
	e := call(t, c, "http://no-such-host.invalid")
	// A machine without a name server says so; that is another reason, and as true.
	if e.Reason != httpx.Lookup {
		want(t, e, httpx.NoHost, false, true, "no-such-host.invalid does not resolve")
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	want(t, call(t, c, strings.Replace(plain.URL, "http:", "https:", 1)), httpx.NotTLS, false, true, "does not speak TLS")
}

// certified serves TLS with a certificate of its own for 127.0.0.1.
func certified(t *testing.T, from, to time.Time) (srv *httptest.Server, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv, ca
}

func TestCertificates(t *testing.T) {
	day := 24 * time.Hour
	now := time.Now()
	valid, ca := certified(t, now.Add(-day), now.Add(day))
	want(t, call(t, client(t, httpx.Options{}), valid.URL), httpx.Certificate, false, true, "not trusted")
	if reply, err := client(t, httpx.Options{CAFile: ca}).Do(context.Background(), httpx.Request{Method: "GET", URL: valid.URL}); err != nil || string(reply.Body) != "ok" {
		t.Errorf("with its authority: %q, %v", reply.Body, err)
	}
	want(t, call(t, client(t, httpx.Options{CAFile: ca}), strings.Replace(valid.URL, "127.0.0.1", "localhost", 1)),
		httpx.Certificate, false, true, "another host")
	expired, ca := certified(t, now.Add(-9*day), now.Add(-2*day))
	want(t, call(t, client(t, httpx.Options{CAFile: ca}), expired.URL), httpx.Certificate, false, true,
		"has expired on "+now.Add(-2*day).UTC().Format("2006-01-02"))
	early, ca := certified(t, now.Add(2*day), now.Add(9*day))
	want(t, call(t, client(t, httpx.Options{CAFile: ca}), early.URL), httpx.Certificate, false, true, "not valid before")
}

func TestOutcomeUnknown(t *testing.T) {
	c := client(t, httpx.Options{MaxBody: 1000})
	say := func(text string) func(net.Conn) { return func(n net.Conn) { _, _ = io.WriteString(n, text) } }
	for name, tt := range map[string]struct {
		answer func(net.Conn)
		reason httpx.Reason
	}{
		"closed":       {func(net.Conn) {}, httpx.Cut},
		"reset":        {func(n net.Conn) { _ = n.(*net.TCPConn).SetLinger(0) }, httpx.Cut},
		"half a head":  {say("HTTP/1.1 200 OK\r\nContent-"), httpx.BadReply},
		"half a body":  {say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"a\""), httpx.Cut},
		"half a chunk": {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), httpx.Cut},
		"no HTTP":      {say("hello " + token + "\r\n\r\n"), httpx.BadReply},
		"too large":    {say("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"), httpx.TooLarge},
		"never ending": {say("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 5000)), httpx.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			base, calls := raw(t, tt.answer)
			want(t, call(t, c, base), tt.reason, true, false, "")
			if n := calls(); n != 1 {
				t.Errorf("%d calls, want 1: a write is never repeated by itself", n)
			}
		})
	}
}

// A connection that the other side closed while it was kept open has taken
// nothing of the next call.
func TestStaleConnection(t *testing.T) {
	c := client(t, httpx.Options{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	defer srv.Close()
	for range 20 {
		_, err := c.Do(context.Background(), httpx.Request{Method: "POST", URL: srv.URL, Body: []byte("x")})
		var e *httpx.Error
		if errors.As(err, &e) && !e.Sent {
			err = nil // it says so, and may be tried again
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A call without a body says that it has none, as monitors expect it.
func TestNoBodyHasALength(t *testing.T) {
	var length []int64
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { length = append(length, r.ContentLength) }))
	defer srv.Close()
	for _, body := range [][]byte{nil, {}, []byte("x")} {
		if _, err := client(t, httpx.Options{}).Do(t.Context(), httpx.Request{Method: "POST", URL: srv.URL, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(length, []int64{0, 0, 1}) {
		t.Errorf("the lengths are %v", length)
	}
}

func TestSlowReply(t *testing.T) {
	c := client(t, httpx.Options{Timeout: 50 * time.Millisecond})
	hold := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-hold }))
	defer srv.Close()
	defer close(hold)
	want(t, call(t, c, srv.URL), httpx.TimedOut, true, false, "within 50ms")
}

func TestStopped(t *testing.T) {
	c := client(t, httpx.Options{})
	arrived := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	defer srv.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { <-arrived; cancel(why) }()
	_, err := c.Do(ctx, httpx.Request{Method: "POST", URL: srv.URL, Body: []byte("x")})
	var e *httpx.Error
	if !errors.As(err, &e) || e.Reason != httpx.Stopped || !e.Sent || !errors.Is(err, why) {
		t.Errorf("error %#v", err)
	}
	_, err = c.Do(ctx, httpx.Request{Method: "POST", URL: srv.URL, Body: []byte("x")})
	if !errors.As(err, &e) || e.Reason != httpx.Stopped || e.Sent {
		t.Errorf("error of a call that was stopped before: %#v", err)
	}
}

func TestGzipBomb(t *testing.T) {
	c := client(t, httpx.Options{MaxBody: 1 << 16})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(bytes.Repeat([]byte{0}, 64<<20))
		_ = z.Close()
	}))
	defer srv.Close()
	want(t, call(t, c, srv.URL), httpx.TooLarge, true, false, "more than 65536 bytes")
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect led to another host") }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/near", http.RedirectHandler("/here", http.StatusFound))
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Method)) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := client(t, httpx.Options{})
	for _, tt := range []struct {
		method, path string
		status       int
	}{{"GET", "/away", 307}, {"POST", "/away", 307}, {"GET", "/loop", 302}, {"POST", "/near", 302}, {"GET", "/near", 200}} {
		reply, err := c.Do(context.Background(), httpx.Request{Method: tt.method, URL: srv.URL + tt.path})
		if err != nil || reply.Status != tt.status {
			t.Errorf("%s %s: %d, %v, want %d", tt.method, tt.path, reply.Status, err, tt.status)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": -1, "soon": -1, "-1": -1, "NaN": -1, "0": 0, "120": 2 * time.Minute, "1.5": 1500 * time.Millisecond, "1e300": 365 * 24 * time.Hour,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		wait, ok := httpx.RetryAfter(http.Header{"Retry-After": {text}}, now)
		if ok != (want >= 0) || ok && wait != want {
			t.Errorf("%q: %s, %v, want %s", text, wait, ok, want)
		}
	}
	h := http.Header{"Retry-After": {"Sun, 01 Mar 2026 12:00:30 GMT"}, "Date": {"Sun, 01 Mar 2026 12:00:10 GMT"}}
	if wait, _ := httpx.RetryAfter(h, now.Add(-time.Hour)); wait != 20*time.Second {
		t.Errorf("with a Date of theirs: %s, want 20s", wait)
	}
}

func TestCAFileThatIsNone(t *testing.T) {
	if _, err := httpx.New(httpx.Options{CAFile: "httpx_test.go"}); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("error %v", err)
	}
}
