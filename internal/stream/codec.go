package stream

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
)

const (
	encodingHeader = "Content-Encoding"
	compressFrom   = 1 << 10 // bytes; below, the header costs what compression saves
	// maxDecoded bounds the bytes that a message may unpack to. One answer as JSON has at most 3
	// MiB.
	maxDecoded = 4 << 20
)

// A codec compresses what is sent: an account counts the bytes that travel and the bytes that are
// stored. It works on whole messages only, so there is nothing to close.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxDecoded), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("prepare decompression: %w", err)
	}
	return &codec{enc, dec}, nil
}

// pack returns a message with this content, compressed if that is worth it.
func (c *codec) pack(subject string, data []byte) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: data}
	if len(data) < compressFrom {
		return msg
	}
	if packed := c.enc.EncodeAll(data, make([]byte, 0, len(data)/2)); len(packed) < len(data) {
		msg.Data = packed
		msg.Header = nats.Header{encodingHeader: []string{"zstd"}}
	}
	return msg
}

func (c *codec) unpack(header nats.Header, data []byte) ([]byte, error) {
	switch encoding := header.Get(encodingHeader); encoding {
	case "":
		return data, nil
	case "zstd":
		plain, err := c.dec.DecodeAll(data, nil)
		if err != nil {
			return nil, fmt.Errorf("unpack %d bytes: %w", len(data), err)
		}
		return plain, nil
	default:
		return nil, fmt.Errorf("the encoding %.32q is not known", encoding)
	}
}
