// Package decode chooses tokens from a language model's logits: greedy, sampling and beam search, with the processors
// that forbid, penalise and filter tokens before the choice. It knows no ONNX; a caller computes the logits and passes
// them in:
//
//	s, err := decode.NewSampler(config, prompt)
//	for s.Finish() == "" {
//		logits := model(s.IDs())
//		id, err := s.Push(logits)
//	}
//
// or, for beam search, a Beam, which names the texts whose logits it wants next and which of its texts of the step before
// each continues, so that a cache can follow.
//
// # Whose semantics
//
// Names, defaults, order and arithmetic are those of generate in transformers 4.57: the processors of
// generation/logits_process.py in the order of GenerationMixin._get_logits_processor, and the search of
// GenerationMixin._beam_search (the one that replaced BeamSearchScorer). Scores are float32, as there; sums over the
// vocabulary (log-softmax, cumulated probabilities) run in float64 and are rounded once, which is within an ulp of
// PyTorch's. Of equal scores the lowest index is taken first, where PyTorch does not say.
//
// A search for one prompt depends on no other prompt: what transformers computes for a batch is the same, row by row.
//
// # Random numbers
//
// Sampling draws one number for each token from ChaCha8 (math/rand/v2), keyed by the seed and nothing else, so that a
// seed gives the same text on every platform, whatever else is in the batch. It is not PyTorch's generator: the same
// seed gives another text there, from the same distribution.
package decode
