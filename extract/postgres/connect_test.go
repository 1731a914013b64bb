package postgres_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"elt/extract"
	"elt/extract/postgres"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/testdb"
)

// listen answers every connection with reply, and keeps it open. It returns the
// address.
func listen(t *testing.T, reply string) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			all = append(all, c)
			if _, err := c.Write([]byte(reply)); err != nil {
				t.Error(err)
			}
		}
		for _, c := range all {
			_ = c.Close() // the other side may have gone
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// greeting lets everybody in, and is ready for queries.
const greeting = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"

func TestConnectErrorsSayWhereWhyAndWhatToDoOnOneLine(t *testing.T) {
	good := testdb.URL(t)
	const password = "elt-test"
	for name, test := range map[string]struct {
		url   string
		want  []string
		class retry.Class
	}{
		"wrong password": {strings.Replace(good, password, "s3cr3t", 1), []string{"password authentication failed", `the password of user "elt": mend it in url`}, retry.Permanent},
		"no server":      {"postgres://u:s3cr3t@127.0.0.1:1/db?connect_timeout=2", []string{"nothing listens there", "start it"}, retry.Transient},
		"two addresses":  {"postgres://u:s3cr3t@localhost:1/db?connect_timeout=2", []string{"localhost:1", "nothing listens there"}, retry.Transient},
		"no socket":      {"postgres://u:s3cr3t@/db?host=/nonexistent", []string{"nothing listens there"}, retry.Transient},
		"no host":        {"postgres://u:s3cr3t@nowhere.invalid/db?connect_timeout=5", []string{`host "nowhere.invalid"`}, retry.Transient},
		"no answer":      {"postgres://u:s3cr3t@" + listen(t, "") + "/db?connect_timeout=1&sslmode=disable", []string{"no answer within 1s", "firewall"}, retry.Transient},
		"a greeting":     {"postgres://u:s3cr3t@" + listen(t, greeting) + "/db?connect_timeout=5&tcp_user_timeout=100&sslmode=disable", []string{"after the greeting nothing came for ", "check firewalls and poolers"}, retry.Transient},
		"no PostgreSQL":  {"postgres://u:s3cr3t@" + listen(t, "HTTP/1.1 400 Bad Request\r\n\r\n") + "/db?connect_timeout=5", []string{"expected a PostgreSQL server"}, retry.Transient},
		"no TLS":         {strings.Split(good, "?")[0] + "?sslmode=require", []string{"TLS", "sslmode in url"}, retry.Transient},
		"no database":    {strings.Replace(good, "/t", "/s", 1), []string{"does not exist", "a database that exists"}, retry.Permanent},
		"no address":     {"postgres://u:s3cr3t@host:port/db", []string{"expected postgres://"}, retry.Permanent},
	} {
		source, err := postgres.Kind().Open(t.Context(), extract.Config{Connection: &postgres.Connection{URL: secret.New(test.url)}, Place: "shop_db (elt.yaml:4:3)"})
		if err == nil {
			t.Errorf("%s: no error", name)
			_ = source.Close() // it should not be
			continue
		}
		want := append(test.want, "connection shop_db (elt.yaml:4:3)")
		if name != "no address" {
			want = append(want, "try it with: elt doctor")
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want an error with %q", name, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", name, err)
		}
		if class, _ := retry.Of(err); class != test.class {
			t.Errorf("%s: class %v, want %v", name, class, test.class)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, text := range []string{e.Error(), fmt.Sprintf("%+v %#v", e, e)} {
				if strings.Contains(text, "s3cr3t") || strings.Contains(text, password) {
					t.Errorf("%s: the error holds the password: %s", name, text)
				}
			}
		}
	}
}
