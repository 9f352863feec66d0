package convert

import (
	"encoding/json"
	"fmt"
)

// RecordKey is the key of metadata_props under which a Record is written.
const RecordKey = "ghostwriter.checkpoint"

// A Record says how the initializers of a written model lie in a checkpoint, so
// that the way back gives the same tensors under the same names. An initializer
// that it does not mention is the checkpoint's tensor of the same name.
type Record struct {
	ModelType string `json:"model_type"`
	Class     string `json:"class"` // transformers' class, as in config.json's architectures
	Head      Head   `json:"head"`
	// Transposed initializers are the transpose of the checkpoint's tensor.
	Transposed []string `json:"transposed,omitempty"`
	// Tied gives names that transformers' class has for another's tensor: alias →
	// initializer.
	Tied map[string]string `json:"tied,omitempty"`
	// Names gives the name in the source checkpoint where it differs:
	// initializer → name.
	Names map[string]string `json:"names,omitempty"`
}

func (r Record) write(metadata map[string]string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	metadata[RecordKey] = string(text)
	return nil
}

// ReadRecord reads the Record of a model's metadata; ok is false where the model
// was not written by this package.
func ReadRecord(metadata map[string]string) (r Record, ok bool, err error) {
	text, ok := metadata[RecordKey]
	if !ok {
		return Record{}, false, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, true, fmt.Errorf("%w: metadata %s: %v", ErrInput, RecordKey, err)
	}
	return r, true, nil
}
