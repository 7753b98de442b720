package store

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gleaner/internal/pipeline"
)

// packFrom is the length from which a text is compressed.
const packFrom = 2 << 10

// A packer keeps long thinking small: there is more of it than of answers, and it is read once, at
// the export. A packed text is bytes, and any other stays a text, so both stores tell them apart by
// their type.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(pipeline.MaxReasoningBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &packer{enc, dec}, nil
}

// pack returns what is stored of a text: a string or a []byte.
func (p *packer) pack(text string) any {
	if len(text) < packFrom {
		return text
	}
	return p.enc.EncodeAll([]byte(text), make([]byte, 0, len(text)/2))
}

// unpack returns the text again.
func (p *packer) unpack(stored any) (string, error) {
	var packed []byte
	switch v := stored.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		packed = v
	case bson.Binary:
		packed = v.Data
	default:
		return "", fmt.Errorf("the thinking of an answer is stored as %T", stored)
	}
	text, err := p.dec.DecodeAll(packed, nil)
	if err != nil {
		return "", errors.Join(errors.New("the thinking of an answer is damaged"), err)
	}
	return string(text), nil
}

// packedSize returns how many bytes are stored of a packed text.
func packedSize(stored any) int {
	if packed, ok := stored.([]byte); ok {
		return len(packed)
	}
	text, _ := stored.(string)
	return len(text)
}
