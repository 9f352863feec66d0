package onnxgrad

// ReverseSequence reverses the first l of each row:  the same of g
func vjpReverseSequence(v *VJP) error {
	if v.Want(0) {
		v.Set(0, v.Op("ReverseSequence", v.Node.Attrs, v.GY(0), v.X(1)))
	}
	return nil
}
