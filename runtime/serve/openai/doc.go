// Package openai answers the OpenAI API: models, completions, chat completions and embeddings, whole or as server-sent
// events, in the forms that the clients of that API read.
//
//	err := server.Mount(openai.New(server))
//
// A field of a request that is known and would change the answer, but that is not built here, is refused by name; fields
// that are not known are ignored, for clients send fields of their own. Text is given out only when nothing can change it
// any more: never half a character, never a part of a stop string. A request ends with its client. docs/openai.md lists
// what is there.
package openai
