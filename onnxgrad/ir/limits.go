package ir

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir/onnxpb"
)

// Bounds on what a model file may hold. They are far above any transformer
// (a 12-layer GPT-2 with every shape computation spelled out has 3,069 nodes)
// and far below what would exhaust memory: a message of two bytes in the file
// becomes a few hundred bytes once decoded, so messages are counted on the wire
// before anything is allocated for them.
const (
	maxFileBytes    = 1<<31 - 1 // protobuf's own bound; larger models keep their weights outside
	maxMessages     = 4 << 20   // nodes, attributes, tensors, value infos, dimensions, strings, …
	maxMessageDepth = 64        // nested messages; each level of If or Loop adds four
	maxStringBytes  = 1 << 20   // a name, a doc string, a metadata value
	maxVarintBytes  = 256 << 20 // integers written one by one: eight bytes each in memory
	maxRank         = 32
)

// preflight walks the wire form of a ModelProto without decoding it and
// refuses what exceeds the bounds.
func preflight(data []byte) error {
	if len(data) > maxFileBytes {
		return fmt.Errorf("%w: %d bytes; a protobuf file ends at 2 GiB, store the weights as external data", ErrInvalid, len(data))
	}
	s := scanner{}
	return s.message(data, (&onnxpb.ModelProto{}).ProtoReflect().Descriptor(), 0)
}

type scanner struct {
	messages int
	varints  int
}

func (s *scanner) message(data []byte, desc protoreflect.MessageDescriptor, depth int) error {
	if depth > maxMessageDepth {
		return fmt.Errorf("%w: messages nested more than %d deep", ErrInvalid, maxMessageDepth)
	}
	if err := s.count(); err != nil {
		return err
	}
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return truncated(desc, protowire.ParseError(n))
		}
		data = data[n:]
		n = protowire.ConsumeFieldValue(num, typ, data)
		if n < 0 {
			return truncated(desc, protowire.ParseError(n))
		}
		if err := s.field(desc.Fields().ByNumber(num), typ, data[:n], depth); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (s *scanner) field(f protoreflect.FieldDescriptor, typ protowire.Type, value []byte, depth int) error {
	if f == nil {
		return nil // an unknown field is kept as bytes and never decoded
	}
	if typ != protowire.BytesType {
		if f.IsList() {
			s.varints += len(value)
			return s.checkVarints()
		}
		return nil
	}
	body, _ := protowire.ConsumeBytes(value)
	switch {
	case f.Kind() == protoreflect.MessageKind:
		return s.message(body, f.Message(), depth+1)
	case f.Kind() == protoreflect.StringKind:
		if len(body) > maxStringBytes {
			return fmt.Errorf("%w: field %s holds a string of %d bytes, limit %d", ErrInvalid, f.FullName(), len(body), maxStringBytes)
		}
		return s.count()
	case f.Kind() == protoreflect.BytesKind:
		if f.IsList() {
			return s.count()
		}
		return nil // raw_data: checked against dims before use
	case f.Kind() == protoreflect.FloatKind, f.Kind() == protoreflect.DoubleKind:
		return nil // fixed width: no larger in memory than in the file
	}
	s.varints += len(body)
	return s.checkVarints()
}

func (s *scanner) count() error {
	if s.messages++; s.messages > maxMessages {
		return fmt.Errorf("%w: more than %d nodes, attributes, tensors and strings", ErrInvalid, maxMessages)
	}
	return nil
}

func (s *scanner) checkVarints() error {
	if s.varints > maxVarintBytes {
		return fmt.Errorf("%w: more than %d bytes of integers outside raw_data", ErrInvalid, maxVarintBytes)
	}
	return nil
}

func truncated(desc protoreflect.MessageDescriptor, err error) error {
	return fmt.Errorf("%w: truncated or not an ONNX file (in %s: %v)", ErrInvalid, desc.FullName(), err)
}
