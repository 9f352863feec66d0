// Package serve answers requests with the models of a directory tree.
//
// A Repository holds the models: it loads them, gives them out as Leases,
// swaps a model for its successor without losing a request, and frees it when
// the last Lease is back. A Server answers HTTP: it is a table of routes behind
// one chain of request id, keys, limits, deadlines, metrics and logs. The
// protocols are packages of their own that mount their routes on it (oip,
// openai, tei, page), each with its own way of writing an error:
//
//	repo, err := serve.OpenRepository(ctx, "models/", serve.RepositoryOptions{})
//	server := serve.New(repo, serve.Options{})
//	err = server.Mount(oip.New(server))
//	err = server.Run(ctx, serve.Listening{Listener: l, Endpoint: server.HTTP()})
//
// # What is written down about a request
//
// A log line has the request's id, method, route (the pattern, not the path),
// status, an error's code, model and duration: never a text, a tensor, a key, a
// query string or the words of an error, because onnxruntime quotes inputs in
// its own. The words go to the client, who sent them.
package serve
