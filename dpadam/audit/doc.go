// Package audit measures how much a mechanism really reveals, and holds the number against
// the epsilon that it claims.
//
// An audit plants m canaries, records made to be seen. Each is in the data set by a coin of
// its own. The mechanism runs once; an attacker who sees what it released scores every canary
// and guesses of some of them whether they were in. Under (epsilon, delta)-differential
// privacy no attacker guesses right much more often than e^epsilon/(1+e^epsilon) of the
// time: too many right guesses refute the claim, and the largest epsilon that they refute is
// a lower bound of the true one, at a stated confidence ([OneRun]; Steinke, Nasr, Jagielski
// 2023, "Privacy Auditing with One (1) Training Run").
//
// The package is statistics over scores and coins, and a driver that runs them through the
// steps of dpadam ([Run]); it knows no model and no ONNX.
//
// # What a result means
//
// A lower bound above the claim refutes the claim, except with probability at most the
// significance. A lower bound below it proves nothing: the attack may have been weak, or the
// canaries few. [Size.Most] says what an audit of a given size could at most have shown; one
// that could not have failed is no evidence, and [Size.Check] refuses it.
//
// A result is a function of which canaries were in, and of the mechanism's secrets: it is
// for the person who tests, and is not covered by any epsilon.
package audit
