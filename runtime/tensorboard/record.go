package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of Event, Summary, Value, SessionLog and what a text is made of.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7

	summaryValue = 1

	valueTag      = 1
	valueSimple   = 2
	valueTensor   = 8
	valueMetadata = 9

	tensorType   = 1
	tensorString = 7 // the value STRING
	tensorBytes  = 8

	metadataPlugin = 1
	pluginName     = 1

	sessionStatus = 1
	sessionStart  = 1 // the value START
	sessionText   = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of a TFRecord: a CRC-32C rotated by 15 bits, plus a
// constant, so that a checksum over data that hold checksums stays a good one.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord frames one Event.
func appendRecord(dst, event []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	dst = append(dst, length...)
	dst = binary.LittleEndian.AppendUint32(dst, masked(length))
	dst = append(dst, event...)
	return binary.LittleEndian.AppendUint32(dst, masked(event))
}

// eventHead begins an Event: when, in seconds since 1970, and at which step.
func eventHead(seconds float64, step int64) []byte {
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(seconds))
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(step))
}

// versionEvent is the first Event of a file.
func versionEvent(seconds float64) []byte {
	b := protowire.AppendTag(eventHead(seconds, 0), eventFileVersion, protowire.BytesType)
	return protowire.AppendString(b, "brain.Event:2")
}

// startEvent says that the run begins, or begins again, at a step, and what else is to be said of it.
func startEvent(seconds float64, step int64, message string) []byte {
	log := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
	if message != "" {
		log = protowire.AppendString(protowire.AppendTag(log, sessionText, protowire.BytesType), message)
	}
	b := protowire.AppendTag(eventHead(seconds, step), eventSessionLog, protowire.BytesType)
	return protowire.AppendBytes(b, log)
}

// textEvent holds a text that TensorBoard shows as such, by its plugin for texts.
func textEvent(seconds float64, step int64, tag, text string) []byte {
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, tensorType, protowire.VarintType), tensorString)
	tensor = protowire.AppendString(protowire.AppendTag(tensor, tensorBytes, protowire.BytesType), text)
	plugin := protowire.AppendString(protowire.AppendTag(nil, pluginName, protowire.BytesType), "text")
	metadata := protowire.AppendBytes(protowire.AppendTag(nil, metadataPlugin, protowire.BytesType), plugin)

	value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
	value = protowire.AppendBytes(protowire.AppendTag(value, valueTensor, protowire.BytesType), tensor)
	value = protowire.AppendBytes(protowire.AppendTag(value, valueMetadata, protowire.BytesType), metadata)
	summary := protowire.AppendBytes(protowire.AppendTag(nil, summaryValue, protowire.BytesType), value)
	b := protowire.AppendTag(eventHead(seconds, step), eventSummary, protowire.BytesType)
	return protowire.AppendBytes(b, summary)
}

// scalarEvent holds the values of one step.
func scalarEvent(seconds float64, step int64, values []Scalar) []byte {
	var summary []byte
	for _, v := range values {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), v.Tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(v.Value)))
		summary = protowire.AppendBytes(protowire.AppendTag(summary, summaryValue, protowire.BytesType), value)
	}
	b := protowire.AppendTag(eventHead(seconds, step), eventSummary, protowire.BytesType)
	return protowire.AppendBytes(b, summary)
}
