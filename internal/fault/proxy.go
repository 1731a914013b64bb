package fault

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Break is how a connection ends.
type Break int

// The ways in which a connection ends.
const (
	Close Break = iota // both sides see its end
	Reset              // both sides see that it was reset
	Stall              // nothing passes any more, and nobody is told
)

// Breaks are all of them, for tests that try each.
func Breaks() []Break { return []Break{Close, Reset, Stall} }

func (b Break) String() string { return [...]string{"close", "reset", "stall"}[b] }

// Cut is one fault of the network.
type Cut struct {
	Break Break
	// Reply counts what the server answers, else what the client sends.
	Reply bool
	// At is how many bytes of that direction, of all connections together, still
	// pass: an answer is cut short at any byte.
	At int64
	// On, where set, takes the place of At: the fault comes with the first bytes of
	// the client for which it is true. They do not reach the server; with Reply they
	// do, and what the server answers is lost.
	On func(sent []byte) bool
	// All breaks every connection, and those that are made later, until Heal.
	All bool
}

// Proxy relays the TCP connections that are made to it, and breaks them as it is
// told. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu             sync.Mutex
	cut            *Cut // nil: none, or it has come
	sent, answered int64
	came           int  // cuts that came
	down           *Cut // the cut that broke all; nil after Heal
	delay          time.Duration
	open           map[*relay]struct{}
	closed         bool
}

// NewProxy listens on loopback for connections to server, as host:port.
func NewProxy(ctx context.Context, server string) (*Proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, server: server, open: map[*relay]struct{}{}}
	p.wg.Go(p.serve)
	return p, nil
}

// Addr is where the proxy listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Break makes c come once. It counts bytes from now on.
func (p *Proxy) Break(c Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.sent, p.answered = &c, 0, 0
}

// Heal takes back what is still to come and what has come: stalled connections
// end, and new ones are relayed.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.down, p.delay = nil, nil, 0
	for r := range p.open {
		if r.stalled() {
			r.end()
		}
	}
}

// Delay holds back everything that the server answers for as long, until Heal.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Passed are the bytes of each direction since the start, or since Break.
func (p *Proxy) Passed() (sent, answered int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.answered
}

// Came is how many cuts have come.
func (p *Proxy) Came() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.came
}

// Close ends every connection and waits until nothing of the proxy runs.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for r := range p.open {
		r.end()
	}
	p.mu.Unlock()
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.relay(client) })
	}
}

// relay is one connection through the proxy.
type relay struct {
	client, server net.Conn
	cut            *Cut          // that comes to it
	lose           bool          // what the server answers next is lost
	broken         chan struct{} // closed by the cut that breaks it
	gone           chan struct{} // closed when it is over, stalled or not
	how            Break         // constant once broken is closed
}

func (r *relay) stalled() bool {
	select {
	case <-r.broken:
		return r.how == Stall
	default:
		return false
	}
}

// end is called with the proxy's mutex held.
func (r *relay) end() {
	select {
	case <-r.gone:
		return
	default:
	}
	close(r.gone)
	_ = r.client.Close()
	_ = r.server.Close()
}

// spoil is called with the proxy's mutex held.
func (r *relay) spoil(how Break) {
	select {
	case <-r.broken:
		return
	default:
	}
	r.how = how
	close(r.broken)
	for _, c := range []net.Conn{r.client, r.server} {
		tcp, ok := c.(*net.TCPConn)
		switch {
		case !ok:
		case how == Reset:
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		case how == Close: // what is on its way arrives before the end
			_ = tcp.CloseWrite()
		}
	}
}

func (p *Proxy) relay(client net.Conn) {
	r := &relay{client: client, broken: make(chan struct{}), gone: make(chan struct{})}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	r.server = server
	p.mu.Lock()
	p.open[r] = struct{}{}
	switch {
	case p.closed:
		r.end()
	case p.down != nil:
		r.spoil(p.down.Break)
	}
	p.mu.Unlock()
	var replies sync.WaitGroup
	replies.Go(func() { p.pump(r, server, client, true) })
	p.pump(r, client, server, false)
	replies.Wait()
	p.mu.Lock()
	r.end()
	delete(p.open, r)
	p.mu.Unlock()
}

// pump passes one direction on until either side, or a cut, ends it.
func (p *Proxy) pump(r *relay, from, to net.Conn, reply bool) {
	buf := make([]byte, 32<<10)
	for {
		if p.stopped(r, from) {
			return
		}
		n, err := from.Read(buf)
		pass, delay := p.judge(r, buf[:n], reply)
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.gone:
			}
		}
		if pass > 0 {
			if _, err := to.Write(buf[:pass]); err != nil {
				return
			}
		}
		if pass < n {
			p.apply(r)
			continue
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			return
		}
	}
}

// stopped waits for the end of a relay that is broken.
func (p *Proxy) stopped(r *relay, from net.Conn) bool {
	select {
	case <-r.broken:
	default:
		return false
	}
	switch r.how {
	case Stall:
		<-r.gone
	case Close:
		_, _ = io.Copy(io.Discard, from) // until that side has seen the end
	}
	return true
}

// judge is how many of the bytes pass, less than all where a cut comes, and how
// long they are held back.
func (p *Proxy) judge(r *relay, chunk []byte, reply bool) (pass int, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(chunk) == 0 {
		return 0, 0
	}
	select {
	case <-r.broken:
		return 0, 0
	default:
	}
	count := &p.sent
	if reply {
		count, delay = &p.answered, p.delay
	}
	before := *count
	*count += int64(len(chunk))
	switch c := p.cut; {
	case reply && r.lose:
		return 0, 0
	case c == nil:
	case c.On != nil:
		if reply || !c.On(chunk) {
			break
		}
		r.cut, p.cut = c, nil
		if !c.Reply {
			return 0, 0
		}
		r.lose = true
	case c.Reply == reply && before+int64(len(chunk)) > c.At:
		r.cut, p.cut = c, nil
		return int(max(0, c.At-before)), delay
	}
	return len(chunk), delay
}

// apply makes the cut of r come to it.
func (p *Proxy) apply(r *relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := r.cut
	if c == nil { // it is broken already
		return
	}
	r.cut = nil
	p.came++
	r.spoil(c.Break)
	if c.All {
		p.down = c
		for other := range p.open {
			other.spoil(c.Break)
		}
	}
}
