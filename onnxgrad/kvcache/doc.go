// Package kvcache gives a decoder that was exported without a cache of keys and values one: Add rewrites its graph so that
// it computes only new tokens and reads the keys and values of earlier ones from inputs.
//
// The result is a plain ONNX model with the interface that optimum writes, for any runtime:
//
//	input_ids                   [batch, new]
//	attention_mask              [batch, past + new]   1 where a position is seen
//	position_ids                [batch, new]          where the model has positions that can be told so
//	past_key_values.N.key       [batch, heads, past, width]    and .value, for every attention N
//	logits                      [batch, new, vocabulary]
//	present.N.key               [batch, heads, past + new, width]
//
// # How
//
// The rewrite knows no architecture. It rests on two distinctions.
//
// A value is content if it depends on the ids of the tokens; everything else (positions, causal masks, rotary angles, ALiBi
// slopes, relative distances, shape arithmetic) depends only on how long the text is. Content is computed for the new
// tokens alone. What is not content is computed, as the exporter wrote it, for the whole text of past and new tokens, and
// where it meets content the part that belongs to the new tokens is taken: the last rows of a mask, the rows at
// position_ids of a table of positions. So whatever an exporter computes masks and positions by is kept and not understood.
//
// The one place where content of one position reads content of another is attention: a product over two content values
// whose result has the tokens axis twice, or whose inner extent is the tokens axis. Its keys and values are joined behind
// the past there, as early as they have the form [batch, heads, tokens, width], and what stands between (a transpose,
// repeated heads) is emitted anew for the longer axis. Shapes are symbolic (batch, past, new), so after the join the two
// axes of the scores differ, past + new against new, and every operand can be seen to fit or not.
//
// Every other operator on content must keep positions apart: that is checked against a table, and anything that is not in
// it (a convolution, a cumulative sum over tokens) is refused by the node's name.
//
// # What it can't see
//
// That attention is causal is not proven: a mask is computed by arbitrary nodes. A caller must compare with the full
// computation before it trusts the result; runtime does when it opens a model. See docs/adr for the reasons.
package kvcache
