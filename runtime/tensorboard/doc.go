// Package tensorboard writes the event files that TensorBoard reads: scalars by
// step, and a text.
//
// A file is a sequence of records (TFRecord):
//
//	length of the data   uint64, little-endian
//	checksum of length   uint32: masked CRC-32C
//	data                 one Event, a protocol buffer
//	checksum of data     uint32: masked CRC-32C
//
// and the first Event says "brain.Event:2". The messages are those of
// tensorflow/core/util/event.proto and framework/summary.proto:
//
//	Event   { double wall_time = 1; int64 step = 2; string file_version = 3;
//	          Summary summary = 5; SessionLog session_log = 7; }
//	Summary { repeated Value value = 1; }
//	Value   { string tag = 1; float simple_value = 2; TensorProto tensor = 8; SummaryMetadata metadata = 9; }
//	TensorProto     { DataType dtype = 1; repeated bytes string_val = 8; }   STRING = 7
//	SummaryMetadata { PluginData plugin_data = 1 { string plugin_name = 1; } }
//	SessionLog { Status status = 1; }   START = 1
//
// A process writes a file of its own. A run that was resumed begins its file with
// SessionLog START at its first step, which tells the reader to forget what an
// earlier process wrote from there on.
package tensorboard
