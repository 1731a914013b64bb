package http_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"sync/atomic"
	"testing"

	"elt/activate"
)

// sink answers every request with 204 and does no more than find its end, so that
// a benchmark measures the destination and not net/http's server.
func sink(b *testing.B) string {
	b.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go swallow(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

func swallow(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if name, value, ok := cutHeader(line); ok && name == "Content-Length" {
				length, _ = strconv.Atoi(value)
			}
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

func cutHeader(line []byte) (name, value string, ok bool) {
	for i, c := range line {
		if c == ':' {
			return string(line[:i]), textproto.TrimString(string(line[i+1:])), true
		}
	}
	return "", "", false
}

// BenchmarkPush pushes batches of 100 records over 8 connections and reports
// requests a second.
func BenchmarkPush(b *testing.B) {
	batch := activate.Batch{ID: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Object: "things"}
	size := 0
	for i := range 100 {
		c := activate.Change{
			OpID: fmt.Sprintf("%064x", i), Action: activate.Upsert, Key: json.RawMessage(fmt.Sprintf(`{"id":%d}`, i)),
			Fields: json.RawMessage(fmt.Sprintf(`{"email":"person%d@example.com","lifetime_value":%d.25,"churn_risk":0.%d}`, i, i, i)),
		}
		size += len(c.Key) + len(c.Fields)
		batch.Changes = append(batch.Changes, c)
	}
	for _, bm := range []struct{ name, conn string }{{"plain", "concurrency: 8"}, {"signed", "concurrency: 8\nhmac: {secret: shared-key}"}} {
		b.Run(bm.name, func(b *testing.B) {
			d := open(b, config(b, sink(b), bm.conn, "batch: {rows: 100}\nreplay: idempotent")).Destination
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var next atomic.Int64
			done := make(chan error)
			b.ResetTimer()
			for range 8 {
				go func() {
					var err error
					for err == nil && next.Add(1) <= int64(b.N) {
						_, err = d.Push(context.Background(), batch)
					}
					done <- err
				}()
			}
			for range 8 {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
