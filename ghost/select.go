package ghost

import (
	"regexp"
	"strings"
)

// choose marks the parameters to train: those that match a trainable pattern
// (all, when there is none) and no freeze pattern. A pattern is a kind written
// "kind:bias", or a glob over the name in which * matches any characters and ?
// one ("*.h.11.*"). A pattern that matches nothing is an error.
func choose(params []Parameter, trainable, freeze []string) ([]bool, error) {
	out := make([]bool, len(params))
	for i := range out {
		out[i] = len(trainable) == 0
	}
	for _, set := range []struct {
		patterns []string
		value    bool
	}{{trainable, true}, {freeze, false}} {
		for _, pattern := range set.patterns {
			hit := false
			for i, p := range params {
				if matches(pattern, p) {
					out[i], hit = set.value, true
				}
			}
			if !hit {
				return nil, noParameter(pattern, params)
			}
		}
	}
	return out, nil
}

func matches(pattern string, p Parameter) bool {
	if kind, ok := strings.CutPrefix(pattern, "kind:"); ok {
		for _, u := range p.Uses {
			if string(u.Kind) == kind {
				return true
			}
		}
		return false
	}
	expr := regexp.QuoteMeta(pattern)
	expr = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(expr)
	ok, err := regexp.MatchString("^"+expr+"$", p.Name)
	return ok && err == nil
}
