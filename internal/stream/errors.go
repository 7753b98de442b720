package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"gleaner/internal/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The codes of JetStream's refusals that this package acts on.
const (
	codeAccountResources jetstream.ErrorCode = 10002 // the account's storage is used up
	codeResources        jetstream.ErrorCode = 10023 // the server's storage is used up
	codeConsumers        jetstream.ErrorCode = 10026 // the account allows no more durables
	codeStreams          jetstream.ErrorCode = 10027 // the account allows no more streams
	codeMemory           jetstream.ErrorCode = 10028 // the account has no more storage in memory
	codeNoMessage        jetstream.ErrorCode = 10037 // none with this sequence, or on this subject
	codeStorage          jetstream.ErrorCode = 10047 // the stream would reserve more than is left
	codeStoreFailed      jetstream.ErrorCode = 10077 // a full stream; the text says which limit
	codeNeedsMaxBytes    jetstream.ErrorCode = 10113 // the account wants a size for each stream
	codeNoTier           jetstream.ErrorCode = 10120 // no storage with this number of replicas
	codeAckPending       jetstream.ErrorCode = 10121 // the account lets fewer messages be held at once
	codeStreamBytes      jetstream.ErrorCode = 10122 // the account allows no stream of this size
)

// code returns JetStream's code of an error, or 0.
func code(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

func isAuth(err error) bool {
	for _, target := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported, nats.ErrNkeyButNoSigCB, nats.ErrNoUserCB, nats.ErrUserButNoSigCB,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// isConnectionLimit reports whether the account, or the server, has no connection left.
func isConnectionLimit(err error) bool {
	return errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) || errors.Is(err, nats.ErrMaxConnectionsExceeded) ||
		err != nil && strings.Contains(err.Error(), nats.MAX_CONNECTIONS_ERR) // as the client says it of a first connection
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// isUnanswered reports whether the request, or its answer, got lost: it may be sent again.
func isUnanswered(err error) bool {
	for _, target := range []error{
		nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrStaleConnection,
		jetstream.ErrServerShutdown, jetstream.ErrConsumerLeadershipChanged, jetstream.ErrNoHeartbeat,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var api *jetstream.APIError
	return isTimeout(err) || errors.As(err, &api) && api.Code == 503
}

// isNotSent reports whether the request did not leave this process, since there is no connection.
func isNotSent(err error) bool {
	return errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}

// isNoResponders reports whether the server is there, but no stream or durable takes the message.
func isNoResponders(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// isAbsent reports whether the durable or its stream does not exist.
func isAbsent(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrConsumerDoesNotExist) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// isWithoutJetStream reports whether the server, or the account, has no JetStream.
func isWithoutJetStream(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// errStreamFull says that the stream's own limit is reached, and not the account's or the server's.
var errStreamFull = errors.New("its limit is reached")

// errDiskFull says that the server's disk is, or was, full. A stream that could not write once
// refuses everything until the server starts again.
var errDiskFull = errors.New("the disk of the NATS server is full, or was full: " + restartAdvice)

// restartAdvice is what helps a server whose disk was full. The one of gleaner run and gleaner nats
// restarts by itself.
const restartAdvice = "make room there and restart the NATS server, which stores nothing more until then (that of gleaner run and gleaner nats restarts by itself)"

// noRoom returns what a refusal means if there was no room for the message, else nil.
func noRoom(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return nil
	}
	switch api.ErrorCode {
	case codeStoreFailed:
		if strings.Contains(api.Description, "per subject") {
			return pipeline.ErrOutstanding
		}
		if strings.Contains(api.Description, "no space left") || strings.Contains(api.Description, "not enough space") {
			return fmt.Errorf("%w: %w (%s)", pipeline.ErrFull, errDiskFull, api.Description)
		}
		return fmt.Errorf("%w: %w (%s)", pipeline.ErrFull, errStreamFull, api.Description)
	case codeStorage, codeAccountResources:
		return fmt.Errorf("%w: the NATS account's storage is used up (%w): delete a stream of it that is not needed, or use a larger account", pipeline.ErrFull, api)
	case codeResources:
		return fmt.Errorf("%w: the NATS server's storage is used up (%w): make room on its disk, or raise its limit (max_file_store)", pipeline.ErrFull, api)
	}
	return nil
}

func errClosed() error {
	return pipeline.Fail(pipeline.Interrupted, "the connection to NATS is closed: %w", nats.ErrConnectionClosed)
}

// wrapped returns the error with what was being done, or nil if there is none.
func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
