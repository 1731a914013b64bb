package http

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"elt/internal/rate"
	"elt/internal/secret"
	"elt/internal/yamlx"
)

// What holds where a project says nothing.
const (
	defaultConcurrency = 4
	defaultBatchRows   = 100
	defaultKeyHeader   = "Idempotency-Key"
	defaultLookAfter   = 3 * time.Second
	mostLookAfter      = 30 * time.Second // longer than that a push waits for nothing
	defaultSignature   = "X-Elt-Signature"
	defaultTimestamp   = "X-Elt-Timestamp"
	defaultPath        = "/{object}"
	defaultRow         = `{"op_id":{{op_id}},"action":{{action}},"key":{{key}},"fields":{{fields}}}`
	defaultWrap        = `{"batch_id":{{batch_id}},"records":{{records}}}`
)

// Connection is what elt.yaml says of a connection of type http.
type Connection struct {
	URL         secret.String            `yaml:"url" json:"url" jsonschema:"required,description=Where the API is: https://HOST/BASE; http:// only on this machine. Only the host is ever told"`
	Account     string                   `yaml:"account,omitempty" json:"account,omitempty" jsonschema:"description=Name of the account where one url serves several that only their credentials tell apart: rates and what has been sent belong to it; the url and the username of auth when left out"`
	Headers     map[string]secret.String `yaml:"headers,omitempty" json:"headers,omitempty" jsonschema:"description=Headers of every call"`
	Auth        *Auth                    `yaml:"auth,omitempty" json:"auth,omitempty" jsonschema:"description=Credentials: bearer; or username and password"`
	HMAC        *HMAC                    `yaml:"hmac,omitempty" json:"hmac,omitempty" jsonschema:"description=Sign each call with HMAC-SHA256 over its timestamp and a dot and its body"`
	Timeout     time.Duration            `yaml:"timeout,omitempty" json:"timeout,omitempty" jsonschema:"description=Longest time of a call; 30s when left out"`
	CAFile      string                   `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema:"description=PEM file of certificates that are trusted beside those of the system; relative to the project"`
	Rates       []rate.Limit             `yaml:"rates,omitempty" json:"rates,omitempty" jsonschema:"description=Most calls of the account in any interval of a length such as 100/10s or 250000/d; no limit when left out"`
	Reserve     rate.Share               `yaml:"reserve,omitempty" json:"reserve,omitempty" jsonschema:"description=Share of the rates that is left to other programs such as 10%"`
	Concurrency int                      `yaml:"concurrency,omitempty" json:"concurrency,omitempty" jsonschema:"minimum=1,description=Most calls side by side; 4 when left out"`
}

// Auth are the credentials of a connection, in one of two forms.
type Auth struct {
	Bearer   secret.String `yaml:"bearer,omitempty" json:"bearer,omitempty" jsonschema:"description=Token of Authorization: Bearer"`
	Username string        `yaml:"username,omitempty" json:"username,omitempty" jsonschema:"description=Name for basic authentication"`
	Password secret.String `yaml:"password,omitempty" json:"password,omitempty" jsonschema:"description=Password for basic authentication"`
}

// HMAC is how calls are signed.
type HMAC struct {
	Secret          secret.String `yaml:"secret" json:"secret" jsonschema:"required,description=Key that the receiver has too"`
	Header          string        `yaml:"header,omitempty" json:"header,omitempty" jsonschema:"description=Header of the signature; X-Elt-Signature when left out"`
	TimestampHeader string        `yaml:"timestamp_header,omitempty" json:"timestamp_header,omitempty" jsonschema:"description=Header of the time in seconds since 1970; X-Elt-Timestamp when left out"`
}

// Validate implements [yamlx.Validator].
func (c *Connection) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if _, problem := c.base(); problem != "" {
		d.FailAt(o.At("url"), problem, "https://HOST/BASE, or http://localhost:PORT", "")
	}
	for name, value := range c.Headers {
		if !token(name) || strings.ContainsAny(value.Reveal(), "\r\n\x00") {
			d.FailAt(o.At("headers"), fmt.Sprintf("header %q cannot be sent", name), "a name without spaces, and a value of one line", "")
		}
	}
}

// Validate implements [yamlx.Validator].
func (a *Auth) Validate(d *yamlx.Decoder, o yamlx.Object) {
	if a.Bearer.IsZero() == (a.Username == "") {
		d.FailAt(o.Pos, "auth has to be one of two forms", "{bearer: TOKEN}, or {username: NAME, password: PASSWORD}", "")
	}
}

// base is the parsed url, or what is wrong with it, without the url.
func (c *Connection) base() (*url.URL, string) {
	u, err := url.Parse(c.URL.Reveal())
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, "url is no address of an API"
	case u.Scheme == "https":
	case u.Scheme != "http":
		return nil, fmt.Sprintf("url begins with %s://", u.Scheme)
	case !loopback(u.Hostname()):
		return nil, fmt.Sprintf("url sends what is pushed, and the credentials, to %s without encryption", u.Host)
	}
	return u, ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// token reports whether name can be the name of a header.
func token(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// header makes the headers that every call has, and what masks their secrets.
func (c *Connection) header(base *url.URL) (http.Header, secret.Scrubber) {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"elt"}}
	secrets := []string{c.URL.Reveal()}
	for name, value := range c.Headers {
		h.Set(name, value.Reveal())
		secrets = append(secrets, value.Reveal())
	}
	if a := c.Auth; a != nil && !a.Bearer.IsZero() {
		h.Set("Authorization", "Bearer "+a.Bearer.Reveal())
		secrets = append(secrets, a.Bearer.Reveal())
	} else if a != nil {
		r := http.Request{Header: h}
		r.SetBasicAuth(a.Username, a.Password.Reveal())
		secrets = append(secrets, a.Password.Reveal(), strings.TrimPrefix(h.Get("Authorization"), "Basic "))
	}
	if c.HMAC != nil {
		secrets = append(secrets, c.HMAC.Secret.Reveal())
	}
	if pass, ok := base.User.Password(); ok {
		secrets = append(secrets, pass)
	}
	for _, values := range base.Query() {
		secrets = append(secrets, values...)
	}
	return h, secret.NewScrubber(secrets...)
}
