package convert

import (
	"strings"

	"github.com/ghostwriter-dp/ghostwriter/onnxgrad/ir"
)

// modulePath is the module that a node belongs to, from the metadata of the dynamo
// exporter or from the node's name as the others make it:
// /encoder/layer.0/attention/MatMul.
func modulePath(n *ir.Node) string {
	if n.Scope != "" {
		return scopeModule(n.Scope)
	}
	i := strings.LastIndexByte(n.Name, '/')
	if i <= 0 {
		return ""
	}
	return strings.ReplaceAll(strings.Trim(n.Name[:i], "/"), "/", ".")
}

// scopeModule reads pkg.torch.onnx.name_scopes, a list of Python strings whose last
// is the operation and whose last but one the module, or a namespace
// ": Class/a: Class/a.b: Class".
func scopeModule(scope string) string {
	if strings.HasPrefix(scope, "[") {
		parts := strings.Split(strings.Trim(scope, "[]"), ", ")
		if len(parts) < 2 {
			return ""
		}
		return strings.Trim(parts[len(parts)-2], `'"`)
	}
	parts := strings.Split(scope, "/")
	module, _, _ := strings.Cut(parts[len(parts)-1], ":")
	return strings.TrimSpace(module)
}
