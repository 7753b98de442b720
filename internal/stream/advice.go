package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// connectAdvice says what a person can do about a connection that cannot be made.
func connectAdvice(err error) string {
	const middlemen = "a web server, an HTTP proxy or a network's sign-in page takes connections, too"
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return "check the host's name (NATS_URL), and that this machine's DNS works"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "check the address (NATS_URL) and that a NATS server runs there"
	case isConnectionLimit(err):
		return "end another program of this account, or use a larger plan; one that vanished is counted for some minutes"
	case errors.Is(err, nats.ErrSecureConnWanted), errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return "the server there speaks without TLS: use nats:// or ws:// in NATS_URL; or it is no NATS server: " + middlemen
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the server there wants TLS: use tls:// in NATS_URL"
	case isCertificate(err):
		return "the server's certificate is not trusted: check the host's name (NATS_URL), name its authority with SSL_CERT_FILE=PATH in the environment, " +
			"and see that no proxy on the way answers in its place"
	case errors.Is(err, errSilent), errors.Is(err, nats.ErrNoInfoReceived), isForeign(err):
		return "check that it is a NATS server (NATS_URL), and that the scheme is right: nats://, tls:// or wss://; " + middlemen
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "something takes the connection and ends it: check that it is a NATS server (NATS_URL) and not one with handshake_first in its TLS, which is not supported; " + middlemen
	case isTimeout(err):
		return "check the address (NATS_URL) and that its port is not blocked here; where 4222 is closed, wss://…:443 may be open"
	}
	return "check the address (NATS_URL)"
}

func isCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		strings.Contains(err.Error(), "x509:") // the client keeps no more than the words
}

// isForeign reports whether something answered that speaks another protocol than NATS over
// WebSocket.
func isForeign(err error) bool {
	return strings.Contains(err.Error(), "invalid websocket connection") || strings.Contains(err.Error(), "malformed HTTP")
}
