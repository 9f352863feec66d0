package ir

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx-ml.proto that reading and writing back touch on the
// wire, so that everything else is carried byte for byte.
const (
	modelGraph     protowire.Number = 7
	modelMetadata  protowire.Number = 14
	graphNode      protowire.Number = 1
	graphInit      protowire.Number = 5
	tensorFloats   protowire.Number = 4
	tensorInt32s   protowire.Number = 5
	tensorName     protowire.Number = 8
	tensorRaw      protowire.Number = 9
	tensorDoubles  protowire.Number = 10
	tensorExternal protowire.Number = 13
)

// eachField calls visit for every field of a message: field is tag and value,
// value the value alone (for a length-delimited field without its length).
func eachField(msg []byte, visit func(num protowire.Number, field, value []byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(num, typ, msg[n:])
		if m < 0 {
			return protowire.ParseError(m)
		}
		value := msg[n : n+m]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if err := visit(num, msg[:n+m], value); err != nil {
			return err
		}
		msg = msg[n+m:]
	}
	return nil
}

func appendMessage(dst []byte, num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), body)
}

// splitWeights separates the raw_data of the main graph's initializers from
// the rest of a model. rest is a ModelProto without them; raw[i] is the
// raw_data of the i-th initializer (nil where it has none) and aliases data.
// Decoding rest instead of data keeps a single copy of the weights in memory.
func splitWeights(data []byte) (rest []byte, raw [][]byte, err error) {
	graphs := 0
	err = eachField(data, func(num protowire.Number, field, value []byte) error {
		if num != modelGraph {
			rest = append(rest, field...)
			return nil
		}
		if graphs++; graphs > 1 {
			return fmt.Errorf("the model holds two graphs")
		}
		graph, tensors, err := splitGraph(value)
		rest, raw = appendMessage(rest, modelGraph, graph), tensors
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	return rest, raw, nil
}

func splitGraph(graph []byte) (rest []byte, raw [][]byte, err error) {
	err = eachField(graph, func(num protowire.Number, field, value []byte) error {
		if num != graphInit {
			rest = append(rest, field...)
			return nil
		}
		var tensor, bytes []byte
		err := eachField(value, func(num protowire.Number, field, value []byte) error {
			if num == tensorRaw {
				bytes = value[:len(value):len(value)]
				if bytes == nil {
					bytes = []byte{}
				}
				return nil
			}
			tensor = append(tensor, field...)
			return nil
		})
		rest, raw = appendMessage(rest, graphInit, tensor), append(raw, bytes)
		return err
	})
	return rest, raw, err
}
