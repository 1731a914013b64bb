package activatetest

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"time"
)

// Outage is what goes wrong with one call to a Service.
type Outage int

// The outages. Up to Down nothing is done; after it all is done that the outage
// does not say otherwise of.
const (
	Fine        Outage = iota
	CutBefore          // the connection ends, nothing was done
	Limited            // 429 with Retry-After: 2 s
	Busy               // 503 with Retry-After: 2 s
	Conflict           // 409
	Revoked            // 401
	Loop               // a redirect to itself
	Down               // 502 of a gateway, in HTML
	CutAfter           // the connection ends
	Failed             // 500
	HalfWritten        // every other row of a batch is done; 500
	HalfTold           // every other row of a batch is in neither list
	Silent             // 200 that tells of no row
	SilentIdle         // the same, and nothing was done
	Slow               // no reply until the caller gives up
	Truncated          // half of the body
	WrongLength        // a Content-Length that is too short
	Garbled            // a body that is no JSON
	Bomb               // a body of 10 GB, in gzip
)

// Outages are all outages, for tests that draw one.
func Outages() []Outage {
	var list []Outage
	for o := Fine; o <= Bomb; o++ {
		list = append(list, o)
	}
	return list
}

// before reports whether nothing is done.
func (o Outage) before() bool { return o > Fine && o <= Down }

// skips reports whether row i of a batch is not done.
func (o Outage) skips(i int) bool { return o == SilentIdle || o == HalfWritten && i%2 == 1 }

// hides reports whether row i of a batch is not told of.
func (o Outage) hides(i int) bool { return o == HalfTold && i%2 == 1 }

// refusal is the reply of a call that does nothing.
func (o Outage) refusal(r *http.Request, date bool, now time.Time) reply {
	wait := map[string]string{"Retry-After": retryAfter(2*time.Second, date, now)}
	out := reply{}
	switch o {
	case Limited:
		out = problem(http.StatusTooManyRequests, "rate", "too many calls")
		out.header = wait
	case Busy:
		out = problem(http.StatusServiceUnavailable, "busy", "come back later")
		out.header = wait
	case Conflict:
		out = problem(http.StatusConflict, "conflict", "something in the batch conflicts")
	case Revoked:
		out = problem(http.StatusUnauthorized, "unauthorized", "the token has been revoked")
	case Loop:
		out = reply{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": r.URL.String()}}
	case Down:
		out = reply{status: http.StatusBadGateway, header: map[string]string{"Content-Type": "text/html"}, body: []byte("<html><h1>Bad Gateway</h1></html>")}
	}
	return out
}

// write sends the reply as the outage lets it.
func (o Outage) write(w http.ResponseWriter, r *http.Request, out reply) {
	switch o {
	case CutBefore, CutAfter:
		panic(http.ErrAbortHandler)
	case Slow:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Failed, HalfWritten:
		out = problem(http.StatusInternalServerError, "internal", "something went wrong")
	case Garbled:
		out = reply{status: http.StatusOK, body: []byte(`{"results": [`)}
	}
	w.Header().Set("Content-Type", "application/json")
	for k, v := range out.header {
		w.Header().Set(k, v)
	}
	body := out.body
	switch {
	case o == Bomb:
		bomb(w, out.status)
		return
	case out.status == http.StatusNoContent && (o == Truncated || o == WrongLength):
		out.status, body = http.StatusOK, []byte("{}")
	}
	if o == WrongLength {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)/2))
	}
	if o == Truncated {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(body) // the caller may be gone, and net/http refuses what is beyond Content-Length
	if o == Truncated {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// bomb writes zeros until the caller has enough.
func bomb(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Encoding", "gzip")
	if status == http.StatusNoContent {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 10 << 10 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	_ = z.Close()
}
