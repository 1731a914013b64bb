//go:build unix

package testdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startTries   = 3 // another process may take the free port first
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// server is a running PostgreSQL with its folder.
type server struct {
	port    int
	guard   *exec.Cmd
	release io.Closer // closing it makes the guard stop the server
}

// guardScript starts the server and waits for the end of its input, which is the
// end of the test process, panics and SIGKILL included. Then it stops the server
// at once and removes the folder. $1 is the folder, the rest the command.
const guardScript = `
dir=$1; shift
( "$@" >"$dir/log" 2>&1 & echo $! >"$dir/pid"; wait $!; : >"$dir/ended" ) &
cat >/dev/null
kill -QUIT "$(cat "$dir/pid")" 2>/dev/null
wait
rm -rf "$dir"
`

// start starts a server in a new folder, from the cached template.
func start() (*server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	template, err := makeTemplate(bin, as)
	if err != nil {
		return nil, err
	}
	var errs []error
	for range startTries {
		s, err := startOnce(bin, as, template)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func startOnce(bin string, as account, template string) (*server, error) {
	dir, err := as.makeDir(as.tempDir(), "elt-testdb-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := as.run("cp", "-R", template, data); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s, err := launch(bin, as, dir, data, port)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.ready(dir); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		s.stop()
		return nil, fmt.Errorf("%w; its log says:\n%s", err, log)
	}
	return s, nil
}

func launch(bin string, as account, dir, data string, port int) (*server, error) {
	guard := as.command("/bin/sh", "-c", guardScript, "sh", dir,
		filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "shared_buffers=32MB", "-c", "max_connections=200", "-c", "max_locks_per_transaction=256")
	guard.SysProcAttr.Setpgid = true // an interrupt from the terminal is for the tests
	release, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return &server{port: port, guard: guard, release: release}, nil
}

// ready waits until the server takes connections, or has ended.
func (s *server) ready(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgconn.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if _, statErr := os.Stat(filepath.Join(dir, "ended")); statErr == nil {
			return errors.New("postgres ended while it started")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres takes no connection: %w", err)
		case <-tick.C:
		}
	}
}

// stop ends the server and waits until its folder is gone.
func (s *server) stop() {
	_ = s.release.Close()
	stuck := time.AfterFunc(stopTimeout, func() { _ = syscall.Kill(-s.guard.Process.Pid, syscall.SIGKILL) })
	defer stuck.Stop()
	_ = s.guard.Wait()
}

// makeTemplate runs initdb once per version of PostgreSQL and returns the folder
// that it made. A folder is complete or absent: it gets its name by a rename.
func makeTemplate(bin string, as account) (string, error) {
	out, err := exec.CommandContext(context.Background(), filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", filepath.Join(bin, "postgres"), err)
	}
	fields := strings.Fields(string(out))
	version := "unknown"
	if len(fields) >= 3 { // postgres (PostgreSQL) 15.18 …
		version = fields[2]
	}
	cache, err := as.cacheDir()
	if err != nil {
		return "", err
	}
	final := filepath.Join(cache, "elt-testdb-template-1-"+version+"-"+strconv.Itoa(int(as.uid)))
	if _, err := os.Stat(filepath.Join(final, "PG_VERSION")); err == nil {
		return final, nil
	}
	dir, err := as.makeDir(cache, "elt-testdb-init-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pwfile := filepath.Join(dir, "password")
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o644); err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	err = as.run(filepath.Join(bin, "initdb"), "-D", data, "-U", superuser, "--pwfile", pwfile,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1")
	if err != nil {
		return "", err
	}
	if err := os.Rename(data, final); err != nil {
		if _, statErr := os.Stat(filepath.Join(final, "PG_VERSION")); statErr == nil {
			return final, nil // another process was faster
		}
		return "", err
	}
	return final, nil
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("no TCP address: %v", l.Addr())
	}
	return addr.Port, nil
}

var errMissing = errors.New("PostgreSQL is not installed: run `sh internal/testdb/install.sh`, or install the package `postgresql`")

// findBinaries returns the folder that holds initdb and postgres: the one on
// PATH, else the newest in the usual places.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/usr/local/pgsql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // the patterns are constant and valid
		for _, dir := range dirs {
			if complete(dir) {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		return "", errMissing
	}
	sort.Strings(found)
	return found[len(found)-1], nil
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// account is the user that PostgreSQL runs as; it refuses root.
type account struct {
	uid, gid uint32
	switched bool // not the user of this process
}

func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, err
		}
		return account{uid: uint32(uid), gid: uint32(gid), switched: true}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")
}

// cacheDir is where templates stay. Root's own cache is closed to the account.
func (a account) cacheDir() (string, error) {
	if a.switched {
		return a.tempDir(), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return os.TempDir(), nil //nolint:nilerr // a machine without HOME still has a temporary folder
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// tempDir is a folder for temporary files that the account can enter: TMPDIR may
// be one of root's own.
func (a account) tempDir() string {
	if a.switched {
		for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
			if a.run("/bin/sh", "-c", `cd "$0"`, dir) == nil {
				return dir
			}
		}
	}
	return os.TempDir()
}

func (a account) makeDir(parent, prefix string) (string, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	if a.switched {
		if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// command is a command that runs as the account, without the PG* variables of
// whoever runs the tests.
func (a account) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...) // the server outlives every test
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a.switched {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

func (a account) run(name string, args ...string) error {
	out, err := a.command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
