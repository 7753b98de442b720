package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"gleaner/internal/pipeline"
)

// What a person can do about a server that is not reached, by what was seen.
const (
	adviceNoName = "check the host's name in the URI, and that this machine's DNS works"
	adviceNoSRV  = "no cluster has this name: copy the address again (Atlas: Connect, Drivers), or check this machine's DNS; a cluster that was deleted has no name any more"
	adviceListed = "the server refuses this machine: put its IP address on the access list of the Atlas project (Network Access)"
	adviceNoTLS  = "the server there does not speak TLS: remove tls=true from the URI; or it is no MongoDB server but a web server, a proxy or a network's sign-in page: check the address"
	adviceTrust  = "the certificate of the server is not trusted: name its authority in the URI with tlsCAFile=PATH, check the host's name, and that no proxy on the way answers in its place"
	adviceEnded  = "the server ends the connection instead of speaking TLS: if it speaks without TLS, remove tls=true from the URI; with Atlas, check this machine's IP on the access list; " +
		"else check that it is a MongoDB server and no proxy"
	adviceWantsTLS = "something takes the connection and does not speak MongoDB without TLS: if the server wants TLS (Atlas does), add tls=true to the URI or use mongodb+srv://; " +
		"else check that it is a MongoDB server and no web server, proxy or sign-in page of a network"
	adviceRefused = "no server listens there: check the address and that the server is running; a cluster of Atlas may be paused (resume it on its page)"
	adviceSilent  = "nothing answers there: a cluster of Atlas may be paused (resume it on its page) or this machine's IP not be on the access list; " +
		"or a firewall on the way blocks the port (27017), or a proxy or a network's sign-in page takes the connection: check the address"
)

// An unreachedError is the driver's error that it found no server, in one line that a person can
// read: what each of them was last seen to do.
type unreachedError struct {
	driver  error
	servers string
}

func (e unreachedError) Error() string { return "no server answers: " + e.servers }
func (e unreachedError) Unwrap() error { return e.driver }

// diagnoseMongoOpen returns the class of an error of the first contact, what a person can do about
// it, and the error itself in one line. A wrong address is the likeliest reason here. Secure is
// whether the URI asks for TLS.
func diagnoseMongoOpen(err error, secure bool) (pipeline.Class, string, error) {
	class, advice := diagnoseMongo(err)
	if class != pipeline.Retryable || advice == adviceQuota() {
		return class, advice, err
	}
	var selection topology.ServerSelectionError
	if !errors.As(err, &selection) {
		return class, adviceUnreachable, err
	}
	// Of several servers, the first that did more than not to answer tells most.
	advice = adviceSilent
	var seen []string
	for _, server := range selection.Desc.Servers {
		last := "no answer"
		if server.LastError != nil {
			last = server.LastError.Error()
			if found := adviceFor(server.LastError, secure); advice == adviceSilent {
				advice = found
			}
		}
		seen = append(seen, server.Addr.String()+": "+last)
	}
	if len(seen) == 0 {
		return class, adviceUnreachable, err
	}
	return class, advice, unreachedError{err, strings.Join(seen, "; ")}
}

// adviceFor says what a person can do about how the last contact with one server ended.
func adviceFor(err error, secure bool) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return adviceNoName
	case strings.Contains(err.Error(), "tls: internal error"): // so Atlas ends the handshake of a machine that is not on the list; its type has no name
		return adviceListed
	case errors.As(err, new(tls.RecordHeaderError)):
		return adviceNoTLS
	case errors.As(err, &certificate), errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.HostnameError)):
		return adviceTrust
	case errors.Is(err, syscall.ECONNREFUSED):
		return adviceRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(err.Error(), "incomplete read"),
		strings.Contains(err.Error(), "length of read message"): // the beginning of a page, read as a length
		if !secure {
			return adviceWantsTLS
		}
		return adviceEnded
	case errors.Is(err, context.DeadlineExceeded):
		return adviceSilent
	}
	return adviceUnreachable
}

// diagnoseMongoURI tells a URI that the driver does not take from a mongodb+srv:// name that does
// not resolve.
func diagnoseMongoURI(uri string, err error) (pipeline.Class, string) {
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return pipeline.Retryable, adviceNoSRV
	case strings.HasPrefix(uri, "mongodb+srv://"):
		return pipeline.Retryable, "check the host's name, this machine's DNS and the URI's options"
	}
	return pipeline.Fatal, "use mongodb://HOST[:PORT][,HOST…]/DATABASE?OPTIONS; user and password percent-encoded"
}
