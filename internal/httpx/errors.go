package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"elt/internal/retry"
)

// Reason says why a call failed.
type Reason string

// The reasons. Those up to Certificate come before anything is sent.
const (
	BadRequest  Reason = "bad_request" // the call could not be made up
	NoHost      Reason = "no_host"     // the host does not resolve
	Lookup      Reason = "lookup"      // the name server did not answer
	Refused     Reason = "refused"     // nothing listens there
	Unreachable Reason = "unreachable" // no connection for another cause
	NotTLS      Reason = "not_tls"     // what listens there speaks no TLS
	Certificate Reason = "certificate" // its certificate is not valid
	Stopped     Reason = "stopped"     // the caller ended the call
	TimedOut    Reason = "timed_out"   // no reply, or no end of it, in time
	Cut         Reason = "cut"         // the connection ended before the reply did
	TooLarge    Reason = "too_large"   // the reply is larger than the cap
	BadReply    Reason = "bad_reply"   // what came is no HTTP
)

// Error is a call without a whole reply. Its chain holds neither the address nor
// a credential.
type Error struct {
	Reason Reason
	Host   string // with its port where the address has one; "" when it is not known
	Sent   bool   // a byte of the call may have left: the outcome is unknown
	Text   string
	Hint   string // what to do about it; "" when waiting is all there is
	cause  error
}

// Error implements error; it leaves the hint to whoever prints it.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the context's cause, for calls that it ended.
func (e *Error) Unwrap() error { return e.cause }

// Permanent reports whether every call to this host will fail in the same way
// until somebody changes something: nothing was sent, and the host does not
// resolve, its certificate is not valid, or it speaks no TLS. A name server that
// does not answer and a refused connection are not permanent: they go away when
// the network or the service comes back.
func (e *Error) Permanent() bool {
	switch e.Reason {
	case BadRequest, NoHost, NotTLS, Certificate:
		return !e.Sent
	}
	return false
}

var errTimeout = errors.New("the call took too long")

// failure turns an error of a call into one that says what it means.
func (c *Client) failure(ctx context.Context, host string, sent bool, err error) error {
	var wrapped *url.Error // prints the address
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	e := c.reason(ctx, host, sent, err)
	e.Host, e.Sent = host, sent
	e.Text = c.opts.Scrub.Text(e.Text)
	if !e.Sent && !e.Permanent() {
		return retry.AsTransient(e)
	}
	return e
}

func (c *Client) reason(ctx context.Context, host string, sent bool, err error) *Error {
	if e := c.ended(ctx, host, sent, err); e != nil {
		return e
	}
	if e := certificate(host, err); e != nil {
		return e
	}
	var name *net.DNSError
	var record tls.RecordHeaderError
	var dial *net.OpError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return &Error{Reason: NoHost, Text: fmt.Sprintf("the host %s does not resolve", name.Name),
			Hint: "mend the host in url, or the name server of this machine"}
	case errors.As(err, &name):
		return &Error{Reason: Lookup, Text: fmt.Sprintf("the host %s could not be looked up: the name server did not answer", name.Name)}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &Error{Reason: NotTLS, Text: host + " does not speak TLS", Hint: "write http:// in url if it is on this machine, else mend the port"}
	case !sent && errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Reason: Refused, Text: fmt.Sprintf("%s refused the connection: nothing listens there", host),
			Hint: "start the service, or mend host and port in url"}
	case !sent && errors.As(err, &dial):
		return &Error{Reason: Unreachable, Text: fmt.Sprintf("no connection to %s: %v", host, dial.Err), Hint: "check host and port in url, firewall and VPN"}
	case errors.Is(err, errTooLarge):
		return &Error{Reason: TooLarge, Text: fmt.Sprintf("the reply of %s has more than %d bytes", host, c.opts.MaxBody)}
	case !sent:
		return &Error{Reason: Unreachable, Text: fmt.Sprintf("no call to %s: %v", host, err)}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Reason: Cut, Text: fmt.Sprintf("the connection to %s was cut before the reply had ended", host)}
	}
	return &Error{Reason: BadReply, Text: fmt.Sprintf("the reply of %s cannot be read: %v", host, err)}
}

// ended is the error of a call that its caller or the clock has ended, else nil.
func (c *Client) ended(ctx context.Context, host string, sent bool, err error) *Error {
	cause := context.Cause(ctx)
	var slow net.Error
	timedOut := errors.Is(cause, errTimeout) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
	var name *net.DNSError
	switch {
	case cause != nil && !errors.Is(cause, errTimeout):
		return &Error{Reason: Stopped, Text: "the call was stopped: " + cause.Error(), cause: cause}
	case errors.As(err, &name) && !name.IsTimeout:
		return nil // says more than that time is up
	case timedOut && !sent:
		return &Error{Reason: Unreachable, Text: fmt.Sprintf("no connection to %s within %s", host, c.opts.Timeout),
			Hint: "check host and port in url, firewall and VPN"}
	case timedOut:
		return &Error{Reason: TimedOut, Text: fmt.Sprintf("no whole reply of %s within %s", host, c.opts.Timeout), Hint: "raise timeout if the service is that slow"}
	}
	return nil
}

// certificate is the error of a certificate that is not valid, else nil.
func certificate(host string, err error) *Error {
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) {
		return nil
	}
	e := &Error{Reason: Certificate, Hint: "ask whoever runs it for a valid certificate"}
	const day = "2006-01-02"
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(verify.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		e.Text = fmt.Sprintf("the certificate of %s has expired on %s", host, invalid.Cert.NotAfter.UTC().Format(day))
		e.Hint = "renew the certificate; if it is valid, set the clock of this machine"
		// The reason is the same for one whose time has not come.
		if from := invalid.Cert.NotBefore; time.Now().Before(from) {
			e.Text = fmt.Sprintf("the certificate of %s is not valid before %s", host, from.UTC().Format(day))
			e.Hint = "set the clock of this machine"
		}
	case errors.As(verify.Err, &unknown):
		e.Text = fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted", host)
		e.Hint = "ca_file: PATH of the authority's certificate, if it is your own"
	case errors.As(verify.Err, &name):
		e.Text = fmt.Sprintf("the certificate of %s is made out to another host", host)
		e.Hint = "write the host in url that the certificate names"
	default:
		e.Text = fmt.Sprintf("the certificate of %s is not valid: %v", host, verify.Err)
	}
	return e
}
