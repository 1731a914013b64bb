package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elt/activate"
)

// certified answers the request for TLS with a certificate that is valid until a
// time, and returns its address and the file of the certificate.
func certified(t *testing.T, until time.Time) (address, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 8) // SSLRequest
			if _, err := io.ReadFull(c, request); err == nil {
				_, _ = c.Write([]byte{'S'})
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
				_ = s.HandshakeContext(t.Context()) // the client breaks it off
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), file
}

func TestACertificateThatIsNotTrustedBarsTheSync(t *testing.T) {
	t.Parallel()
	expired, itself := certified(t, time.Now().Add(-time.Hour))
	unknown, _ := certified(t, time.Now().Add(time.Hour))
	for name, test := range map[string]struct{ address, says string }{
		"expired": {expired, "expired"}, "unknown": {unknown, "unknown authority"},
	} {
		_, err := world{"postgres://u:s3cr3t@" + test.address + "/db?connect_timeout=5&sslmode=verify-full&sslrootcert=" + itself}.open(things)
		var barred *activate.BarredError
		if !errors.As(err, &barred) || barred.Code != "bad_certificate" || !strings.Contains(err.Error(), test.says) || !strings.Contains(barred.Hint, "sslrootcert in url") {
			t.Errorf("%s: %v, want one that is barred, says %q and what to do", name, err, test.says)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}
