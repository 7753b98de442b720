// Package natsd runs a NATS server with JetStream inside this process: the transport of local
// mode and of the tests.
package natsd
