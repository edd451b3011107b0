package rootfs

// Load is what was kept of that kind about what a key promises, or nil.
// Whoever keeps a fact knows its form; a change of the form is another kind.
func (f *Facts) Load(kind, key string) []byte { return f.load(kind, key) }

// Keep remembers a fact of that kind, a short word, if it can.
func (f *Facts) Keep(kind, key string, fact []byte) { f.keep(kind, key, fact) }
