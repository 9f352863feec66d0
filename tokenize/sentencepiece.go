package tokenize

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Types of the pieces of a SentencePiece model.
const (
	pieceControl     = 3
	pieceUserDefined = 4
)

// Types of SentencePiece models.
const (
	spmUnigram = 1
	spmBPE     = 2
)

// spmPiece is a piece of a SentencePiece model. Its score is a float there, and stays the same number.
type spmPiece struct {
	unigramPiece
	kind uint64
}

// spmModel is what ids need of a SentencePiece model (sentencepiece_model.proto).
type spmModel struct {
	pieces       []spmPiece
	kind         uint64
	unknown      int
	unknownPiece string
	charsmap     []byte
}

// parseSentencePiece reads the protocol buffer. Everything is bounded by the size of data.
func parseSentencePiece(data []byte) (*spmModel, error) {
	m := &spmModel{kind: spmUnigram, unknownPiece: "<unk>"}
	err := eachField(data, func(f protoField) error {
		switch f.number {
		case 1:
			if len(m.pieces) == maxVocabTokens {
				return fmt.Errorf("more than %d pieces", maxVocabTokens)
			}
			p, err := parsePiece(f.bytes)
			m.pieces = append(m.pieces, p)
			return err
		case 2:
			return eachField(f.bytes, m.trainer)
		case 3:
			return eachField(f.bytes, func(f protoField) error {
				if f.number == 2 {
					m.charsmap = f.bytes
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && len(m.pieces) == 0 {
		err = fmt.Errorf("it has no pieces")
	}
	if err != nil {
		return nil, fmt.Errorf("not a SentencePiece model: %w", err)
	}
	return m, nil
}

// trainer takes the fields of TrainerSpec.
func (m *spmModel) trainer(f protoField) error {
	switch f.number {
	case 3:
		m.kind = f.varint
	case 40:
		m.unknown = int(int32(f.varint))
	case 45:
		m.unknownPiece = string(f.bytes)
	}
	return nil
}

func parsePiece(data []byte) (spmPiece, error) {
	p := spmPiece{kind: 1}
	err := eachField(data, func(f protoField) error {
		switch f.number {
		case 1:
			p.piece = string(f.bytes)
		case 2:
			p.score = float64(math.Float32frombits(f.fixed32))
		case 3:
			p.kind = f.varint
		}
		return nil
	})
	switch {
	case err != nil:
		return p, err
	case !utf8.ValidString(p.piece):
		return p, fmt.Errorf("a piece is not UTF-8")
	case math.IsNaN(p.score) || math.IsInf(p.score, 0):
		return p, fmt.Errorf("the score of piece %s is %v", shown(p.piece), p.score)
	}
	return p, nil
}

// protoField is a field of a protocol buffer, its value in the place of its wire type.
type protoField struct {
	number  protowire.Number
	varint  uint64
	fixed32 uint32
	bytes   []byte
}

// eachField visits the fields of a message. A field of a wire type that its number does not have is left empty.
func eachField(data []byte, visit func(f protoField) error) error {
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		f := protoField{number: number}
		switch typ {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			f.fixed32, n = protowire.ConsumeFixed32(data)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, typ, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}
