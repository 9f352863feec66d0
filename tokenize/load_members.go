package tokenize

import (
	"encoding/json"
	"fmt"
)

// Limits of nested parts.
const (
	maxSequenceDepth   = 8
	maxSequenceMembers = 32
	maxTemplatePieces  = 64
)

// parseMembers decodes a Sequence into o, whose members are then at list, and parses each member.
func parseMembers[T any](raw json.RawMessage, o any, list *json.RawMessage, depth int, parse func(json.RawMessage, int) (T, error)) ([]T, error) {
	if depth >= maxSequenceDepth {
		return nil, fmt.Errorf("a Sequence is nested more than %d deep", maxSequenceDepth)
	}
	if err := decodeStrict(raw, o); err != nil {
		return nil, err
	}
	members, err := decodeList[json.RawMessage](*list, maxSequenceMembers)
	if err != nil {
		return nil, fmt.Errorf("members of the Sequence: %w", err)
	}
	var out []T
	for _, m := range members {
		if isNull(m) {
			return nil, fmt.Errorf("a member of the Sequence is null")
		}
		v, err := parse(m, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// patternJSON is the pattern of Split and Replace: {"String": …} or {"Regex": …}.
type patternJSON struct {
	String, Regex *string
}

// build makes the pattern.
func (p patternJSON) build() (pattern, error) {
	switch {
	case p.String != nil && p.Regex != nil, p.String == nil && p.Regex == nil:
		return nil, fmt.Errorf("a pattern must be either String or Regex")
	case p.Regex != nil:
		return newRegexPattern(*p.Regex)
	case *p.String == "":
		return nil, fmt.Errorf("a pattern must not be empty")
	}
	return literal(*p.String), nil
}
