// Package testdb gives tests fresh databases on a throw-away PostgreSQL, one
// server per test process, which dies with the process however that ends.
package testdb

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The credentials of the throw-away server. It listens on 127.0.0.1 only.
const (
	superuser = "elt"
	password  = "elt-test"
)

// shared is the server of this process. A package variable, because tests of one
// process have nothing else in common but the package that they import.
var shared struct {
	once   sync.Once
	server *server
	err    error
	names  atomic.Int64
}

// Run runs the tests of m and stops the server if one of them started it. Use it
// as the body of TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testdb.Run(m)) }
func Run(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		shared.server.stop()
	}
	return code
}

// URL makes an empty database and returns its address, with user and password.
// The database is dropped when t ends, open connections or not.
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = start() })
	if shared.err != nil {
		t.Fatalf("throw-away PostgreSQL: %v", shared.err)
	}
	name := fmt.Sprintf("t%d", shared.names.Add(1))
	if err := shared.server.exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("make database %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := shared.server.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return shared.server.url(name)
}

func (s *server) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, password),
		Host:     fmt.Sprintf("127.0.0.1:%d", s.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// exec runs one statement on a connection of its own.
func (s *server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement).ReadAll()
	_ = conn.Close(ctx)
	return err
}
