package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"elt/activate"
	"elt/activate/http"
	"elt/internal/secret"
)

// What a push over HTTP is measured with: calls of 100 records, 8 side by side.
const (
	httpCalls   = 20_000
	httpRecords = 100
	httpConns   = 8
)

// httpBatch is a batch like those of a sync of contacts.
func httpBatch() activate.Batch {
	b := activate.Batch{ID: fmt.Sprintf("%064x", 1), Object: "contacts"}
	for i := range httpRecords {
		b.Changes = append(b.Changes, activate.Change{
			OpID: fmt.Sprintf("%064x", i), Action: activate.Upsert, Key: json.RawMessage(fmt.Sprintf(`{"id":%d}`, i)),
			Fields: json.RawMessage(fmt.Sprintf(`{"email":"person%d@example.com","lifetime_value":%d.25,"churn_risk":0.%d}`, i, i, i)),
		})
	}
	return b
}

// pushHTTP pushes to a sink on this machine.
func pushHTTP(ctx context.Context) (took time.Duration, err error) {
	sink, err := listen(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	conn, err := http.Kind().Open(ctx, activate.Config{
		Connection: &http.Connection{URL: secret.New("http://" + sink.Addr().String()), Concurrency: httpConns},
		Sync:       &http.Sync{Batch: &http.Batch{Rows: httpRecords}, Replay: string(activate.Idempotent)},
		Object:     "contacts", Key: []string{"id"},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Destination.Close()) }()
	batch := httpBatch()
	return sideBySide(ctx, func(ctx context.Context, next func() bool) error {
		for next() {
			outcomes, err := conn.Destination.Push(ctx, batch)
			if err != nil {
				return err
			}
			if len(outcomes) != httpRecords || outcomes[0].Status != activate.Acked {
				return errors.New("a batch was not acknowledged")
			}
		}
		return nil
	})
}

// bareHTTP writes as many bytes to bare sockets and reads the replies.
func bareHTTP(ctx context.Context) (took time.Duration, err error) {
	sink, err := listen(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	var body bytes.Buffer
	for _, c := range httpBatch().Changes {
		fmt.Fprintf(&body, `{"op_id":"%s","action":"upsert","key":%s,"fields":%s},`, c.OpID, c.Key, c.Fields)
	}
	call := fmt.Appendf(nil, "POST /contacts HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", body.Len(), body.Bytes())
	return sideBySide(ctx, func(ctx context.Context, next func() bool) (err error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", sink.Addr().String())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		reply := make([]byte, len(noContent))
		for next() {
			if _, err := conn.Write(call); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, reply); err != nil {
				return err
			}
		}
		return nil
	})
}

// sideBySide times httpCalls calls over httpConns connections.
func sideBySide(ctx context.Context, work func(ctx context.Context, next func() bool) error) (time.Duration, error) {
	var calls atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range httpConns {
		g.Go(func() error { return work(ctx, func() bool { return calls.Add(1) <= httpCalls }) })
	}
	err := g.Wait()
	return time.Since(start), err
}

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

// listen serves 204 to every request, and does no more than find its end.
func listen(ctx context.Context) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go swallow(conn)
		}
	}()
	return l, nil
}

func swallow(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 64<<10)
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length:")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return
			}
		}
		if len(line) > 2 {
			continue
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		if _, err := io.WriteString(conn, noContent); err != nil {
			return
		}
	}
}
