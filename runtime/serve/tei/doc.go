// Package tei answers the routes of Hugging Face's text-embeddings-inference: /predict, /rerank, /embed, /tokenize, /decode,
// /info and /health, in the forms that its clients read, with its types of errors.
//
// That server has one model. Here the routes answer for the only model that is ready, for the one that ?model=NAME names,
// and under /models/NAME/ for any.
package tei
