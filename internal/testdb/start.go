//go:build unix

package testdb

// Start starts a server for a program that is no test, and returns the address
// of its database and what stops it. The server dies with the process at the latest.
func Start() (url string, stop func(), err error) {
	s, err := start()
	if err != nil {
		return "", nil, err
	}
	return s.url("postgres"), s.stop, nil
}
