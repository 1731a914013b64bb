package postgres_test

import (
	"errors"
	"net"
	neturl "net/url"
	"strings"
	"testing"

	"elt/internal/secret"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

func TestOpenSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	good := testdb.URL(t)
	const password = "very-s3cret/%"
	change := func(f func(u *neturl.URL)) string {
		u, err := neturl.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		f(u)
		return u.String()
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for name, c := range map[string]struct {
		url  string
		o    postgres.Options
		kind warehouse.Kind
		hint string
	}{
		"wrong password": {
			url:  change(func(u *neturl.URL) { u.User = neturl.UserPassword("elt", password) }),
			kind: warehouse.KindAuth, hint: `wrong password for user "elt"`,
		},
		"no server": {
			url:  change(func(u *neturl.URL) { u.User, u.Host = neturl.UserPassword("elt", password), closed }),
			kind: warehouse.KindUnavailable, hint: "no PostgreSQL answers at " + closed,
		},
		"no host": {
			url: change(func(u *neturl.URL) {
				u.User, u.Host = neturl.UserPassword("elt", password), "no-such-host.invalid:5432"
			}),
			kind: warehouse.KindUnavailable, hint: `check the host name "no-such-host.invalid"`,
		},
		"no TLS": {
			url:  change(func(u *neturl.URL) { u.RawQuery = "sslmode=require" }),
			kind: warehouse.KindUnavailable, hint: "sslmode=disable",
		},
		"no database": {
			url:  change(func(u *neturl.URL) { u.Path = "/nowhere" }),
			kind: warehouse.KindNotFound, hint: "createdb nowhere",
		},
		"no time zone": {
			url: good, o: postgres.Options{TimeZone: "Europe/Atlantis"},
			kind: warehouse.KindData, hint: "IANA name",
		},
		"no URL": {
			url:  "postgres://elt:" + password + "@[half:5432/db",
			kind: warehouse.KindOther, hint: "expected postgres://",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := postgres.Open(t.Context(), secret.New(c.url), c.o)
			if err == nil {
				_ = d.Close()
				t.Fatal("no error")
			}
			var known *warehouse.Error
			if !errors.As(err, &known) || known.Kind != c.kind || !strings.Contains(known.Hint, c.hint) {
				t.Errorf("error %v, %+v", err, known)
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "SQLSTATE") || strings.Contains(text, "user=") {
				t.Errorf("not one plain line: %q", text)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := e.Error(); strings.Contains(text, password) || strings.Contains(text, "elt-test") || strings.Contains(text, neturl.PathEscape(password)) {
					t.Errorf("the password is in %q", text)
				}
			}
		})
	}
}

func TestErrorsNeverHoldThePassword(t *testing.T) {
	db := openDB(t)
	_, err := db.Query(t.Context(), `SELECT * FROM "elt-test"`)
	if err == nil || strings.Contains(err.Error(), "elt-test") {
		t.Errorf("error %v", err)
	}
}

func TestSessionHasTheTimeZoneOfTheProject(t *testing.T) {
	db, err := warehouse.Open(t.Context(), openURL(t, testdb.URL(t), postgres.Options{TimeZone: "Europe/Berlin"}))
	if err != nil {
		t.Fatal(err)
	}
	got := one(t, db, `SELECT '2026-06-01T00:00:00Z'::timestamptz::text, current_setting('application_name'), current_setting('lock_timeout')`)
	if strings.Join(got, "|") != "2026-06-01 02:00:00+02|elt|2s" {
		t.Errorf("got %q", got)
	}
}
