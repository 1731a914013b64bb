// Package httpx calls what elt calls over HTTP, so that destinations, alerts and
// heartbeats agree on what a failed call means: whether a byte may have reached
// the other side, whether trying again may help, and what a person can do.
//
// A call is bounded: by a time-out as a whole, and by a cap on the reply, which
// also holds for a reply that was compressed. No error holds the address beyond
// its host, nor a header, nor a body, since each of them may hold a credential.
package httpx

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"elt/internal/secret"
)

// What holds where Options say nothing.
const (
	DefaultTimeout = 30 * time.Second
	DefaultMaxBody = 8 << 20
)

// Options configure a Client. The zero Options are right for most.
type Options struct {
	Timeout time.Duration   // of a whole call, from the dial to the last byte; 0: DefaultTimeout
	CAFile  string          // PEM certificates that are trusted beside the system's; "": none
	MaxBody int64           // most bytes of a reply after decompression; 0: DefaultMaxBody
	Agent   string          // User-Agent; "": elt
	Conns   int             // connections that are kept open to one host; 0: 8
	Scrub   secret.Scrubber // masks what errors of others may hold
}

// Client makes calls. It is safe for concurrent use.
type Client struct {
	opts      Options
	transport *http.Transport
	http      *http.Client
}

// Request is one call. Header is not changed.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte // nil: none
}

// Reply is what came back.
type Reply struct {
	Status int // 0: no reply
	Header http.Header
	Body   []byte
}

// New makes a client. It fails only for a CAFile that cannot be used.
func New(o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Agent == "" {
		o.Agent = "elt"
	}
	if o.Conns <= 0 {
		o.Conns = 8
	}
	roots, err := rootsOf(o.CAFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}
	c := &Client{opts: o, transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &counted{Conn: conn}, nil
		},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          o.Conns * 4,
		MaxIdleConnsPerHost:   o.Conns,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        16 << 10,
	}}
	c.http = &http.Client{Transport: c.transport, CheckRedirect: redirect}
	return c, nil
}

// rootsOf are the system's roots and those of a file; nil: the system's alone.
func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s holds no certificate; it must be PEM, with lines BEGIN CERTIFICATE", file)
	}
	return roots, nil
}

// redirect follows a read within its own origin. Everything else is handed back
// as it came: credentials go to no other host, and a write that a redirect turns
// into a read would look like a success.
func redirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	read := first.Method == http.MethodGet || first.Method == http.MethodHead
	if !read || req.URL.Scheme != first.URL.Scheme || !strings.EqualFold(req.URL.Host, first.URL.Host) || len(via) > 4 {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close ends the connections that are kept open.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// counted counts what is written to a connection, so that an error can be told
// apart by whether anything has left.
type counted struct {
	net.Conn
	written atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	// A write that failed may have put bytes on the wire that n does not count.
	if err != nil && n < len(p) {
		n = len(p)
	}
	c.written.Add(int64(n))
	return n, err
}

// watch knows whether a call has written anything to the connection that it got.
type watch struct {
	conn   atomic.Pointer[counted]
	before atomic.Int64
	opaque atomic.Bool // a connection that does not count
}

func (w *watch) got(info httptrace.GotConnInfo) {
	raw := info.Conn
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	c, ok := raw.(*counted)
	if !ok {
		w.opaque.Store(true)
		return
	}
	w.before.Store(c.written.Load())
	w.conn.Store(c)
}

// sent reports whether a byte of the call may have left. Calls that share a
// connection count for each other, which errs on the safe side.
func (w *watch) sent() bool {
	c := w.conn.Load()
	return w.opaque.Load() || c != nil && c.written.Load() != w.before.Load()
}

// Do makes one call, and never repeats it. Any status is a Reply without an
// error. An error is an [*Error]: transient in the sense of package retry when
// nothing was sent and a later try may work. A reply whose end did not come is
// returned as far as it came, with an error.
func (c *Client) Do(ctx context.Context, r Request) (Reply, error) {
	if ctx.Err() != nil {
		return Reply{}, c.failure(ctx, "", false, context.Cause(ctx))
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, errTimeout)
	defer cancel()
	var w watch
	limited = httptrace.WithClientTrace(limited, &httptrace.ClientTrace{GotConn: w.got})
	// Without GetBody, and so without a second try of net/http's own, which takes
	// the presence of an Idempotency-Key for leave to send twice.
	var body io.Reader
	if len(r.Body) > 0 { // an empty reader would be sent in chunks
		body = io.NopCloser(bytes.NewReader(r.Body))
	}
	req, err := http.NewRequestWithContext(limited, r.Method, r.URL, body)
	if err != nil {
		return Reply{}, &Error{Reason: BadRequest, Text: "the address of the call is no URL", Hint: "mend url and path"}
	}
	req.ContentLength = int64(len(r.Body))
	if r.Header != nil {
		req.Header = r.Header
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header = req.Header.Clone()
		req.Header.Set("User-Agent", c.opts.Agent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Reply{}, c.failure(limited, req.URL.Host, w.sent(), err)
	}
	defer func() { _ = resp.Body.Close() }()
	reply := Reply{Status: resp.StatusCode, Header: resp.Header}
	reply.Body, err = c.read(resp)
	if err != nil {
		return reply, c.failure(limited, req.URL.Host, true, err)
	}
	return reply, nil
}

var errTooLarge = errors.New("the reply is too large")

// read reads the body up to the cap.
func (c *Client) read(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > c.opts.MaxBody {
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, c.opts.MaxBody+1))
	if n > c.opts.MaxBody {
		return buf.Bytes()[:c.opts.MaxBody], errTooLarge
	}
	return buf.Bytes(), err
}
