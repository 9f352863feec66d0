package runtime

// A model directory's config.json is read once, when it is first needed: every
// request of a server asks for it. A failed reading is tried again.

// readConfig is what config.json says of the model.
func (m *Model) readConfig() (modelConfig, error) {
	c, err := once(m, &m.config, readConfig)
	if n := m.baked(); c.Positions > n {
		c.Positions -= n
	}
	return c, err
}

// readLabels is what config.json says of a classifier's outputs.
func (m *Model) readLabels() (labelConfig, error) { return once(m, &m.labels, readLabels) }

// once reads a part of the directory into place, unless it is there.
func once[T any](m *Model, place **T, read func(dir string) (T, error)) (T, error) {
	m.described.Lock()
	defer m.described.Unlock()
	if *place == nil {
		v, err := read(m.Dir())
		if err != nil {
			return v, err
		}
		*place = &v
	}
	return **place, nil
}
