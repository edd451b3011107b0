package attestation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/scan"
	"github.com/export-profile/export-profile/rootfs"
)

// Scanner finds the store paths that files of images mention and that statements do not list, while the files are read.
// A mention is a store path by its form, see [scan.Mentions]; that of a .drv file counts, too. A statement lists it
// if it lists a path with the same 32 characters.
//
// A Scanner may be used from several goroutines. [Check] uses it after all files were read.
type Scanner struct {
	store rootfs.StoreDir
	allow func(base string) bool
	lists map[*Statement]digests
	all   []digests            // of all statements
	of    map[string][]digests // by the base name of a store path: of the statements that list it

	mu      sync.Mutex
	objects map[string][]*mentions // by root
	files   map[string]*mentions   // by layer
	left    int                    // mentions to keep
}

// digests holds the digests of the paths that a statement lists.
type digests map[[32]byte]bool

// mentions holds the first mentions in an object, or in the other files of a layer, each digest once.
type mentions struct {
	hash  string // of the object
	list  []mention
	known digests
	most  int
	more  bool // the list is not complete
}

type mention struct {
	file string
	path scan.Mention
}

// Limits of mentions that some statement does not list.
const (
	maxMentions       = 1 << 17
	maxObjectMentions = 32      // of one store object
	maxLayerMentions  = 1 << 12 // of the other files in a layer
	maxFileName       = 400     // bytes that are kept of a file's name
)

// NewScanner prepares to read the images with this store directory that the statements are about. It ignores mentions of store paths that allow accepts
// by their base names; nil accepts none.
func NewScanner(store rootfs.StoreDir, statements []*Statement, allow func(base string) bool) *Scanner {
	s := &Scanner{
		store: store,
		allow: allow, lists: make(map[*Statement]digests), of: make(map[string][]digests),
		objects: make(map[string][]*mentions), files: make(map[string]*mentions), left: maxMentions,
	}
	for _, st := range statements {
		list := make(digests, len(st.Paths))
		for _, p := range st.Paths {
			list[[32]byte([]byte(p.Path.Digest()))] = true
			s.of[p.Path.Base()] = append(s.of[p.Path.Base()], list)
		}
		if st.Kind != OfIndex {
			s.lists[st] = list
			s.all = append(s.all, list)
		}
	}
	return s
}

// Hash returns the hash of a store object's NAR in hexadecimal digits, and the size of the NAR.
// It reads the object once, and looks for mentions if a statement lists it.
func (s *Scanner) Hash(t rootfs.Tree, root string) (hex string, size int64, err error) {
	lists := s.of[path.Base(root)]
	found := newMentions(maxObjectMentions)
	if len(lists) > 0 {
		t = nar.Watch(t, root, func() nar.Sink { return s.look(found, lists) })
	}
	h, size, err := nar.Sum(t, root)
	if err != nil {
		return "", 0, err
	}
	if len(lists) > 0 {
		found.hash = h.Hex()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.objects[root] = append(s.objects[root], found)
	}
	return h.Hex(), size, nil
}

// File returns a writer that looks for mentions in the content of a file that is in no object which Hash reads,
// or in the target of a symbolic link. The caller closes it. It looks also into store objects that no statement lists:
// a higher layer may hide them, while a hard link elsewhere still shows the file.
func (s *Scanner) File(layer string, e rootfs.Entry) io.WriteCloser {
	lists := s.all
	if base, _, ok := s.store.Cut(e.Path); ok {
		if own := s.of[base]; len(own) > 0 {
			lists = own
		}
	}
	l := s.look(s.ofLayer(layer), lists)
	if l.file = e.Path; e.IsLink() {
		l.resolved(e)
	}
	return l
}

// ofLayer returns where to keep the mentions in a layer's files.
func (s *Scanner) ofLayer(layer string) *mentions {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[layer] == nil {
		s.files[layer] = newMentions(maxLayerMentions)
	}
	return s.files[layer]
}

// config returns the mentions of paths that the list lacks in the texts of a JSON document.
func (s *Scanner) config(list digests, document []byte) *mentions {
	m := newMentions(maxObjectMentions)
	l := s.look(m, []digests{list})
	for d := json.NewDecoder(bytes.NewReader(document)); ; {
		token, err := d.Token()
		if err != nil { // the end, or what the check of the config has reported
			return m
		}
		if text, ok := token.(string); ok {
			l.Content([]byte(text))
			l.mentions.End()
		}
	}
}

func (s *Scanner) allows(base string) bool { return s.allow != nil && s.allow(base) }

func newMentions(most int) *mentions { return &mentions{most: most, known: make(digests)} }

// add keeps a mention.
func (s *Scanner) add(m *mentions, digest [32]byte, file string, p scan.Mention) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.known[digest]:
	case len(m.list) == m.most || s.left == 0:
		m.more = true
	default:
		if len(file) > maxFileName {
			file = file[:maxFileName] + "…"
		}
		s.left--
		m.known[digest] = true
		m.list = append(m.list, mention{file, p})
	}
}

// lookout looks for mentions in one file after the other.
type lookout struct {
	mentions *scan.Mentions
	file     string
}

// look returns a lookout that keeps the mentions of paths that one of the lists lacks.
func (s *Scanner) look(m *mentions, lists []digests) *lookout {
	l := &lookout{}
	l.mentions = scan.NewMentions(s.store, func(digest []byte, path func() scan.Mention) {
		d := [32]byte(digest)
		for _, list := range lists {
			if list[d] {
				continue
			}
			if p := path(); !s.allows(string(p)) {
				s.add(m, d, l.file, p)
			}
			return
		}
	})
	return l
}

// Entry implements [nar.Sink].
func (l *lookout) Entry(e rootfs.Entry) error {
	if l.file = e.Path; e.IsLink() {
		l.resolved(e)
		l.Content([]byte(e.Target))
		l.mentions.End()
	}
	return nil
}

// resolved looks at where a link leads if its target has no store directory, or another spelling of it, such as "../HASH-NAME".
func (l *lookout) resolved(e rootfs.Entry) {
	to := e.Target
	if !path.IsAbs(to) {
		to = "/" + path.Dir(e.Path) + "/" + to
	}
	l.Content([]byte(path.Clean(to)))
	l.mentions.End()
}

// Content implements [nar.Sink].
func (l *lookout) Content(p []byte) { _, _ = l.mentions.Write(p) }

// EndContent implements [nar.Sink].
func (l *lookout) EndContent(rootfs.Entry) { l.mentions.End() }

// End implements [nar.Sink].
func (l *lookout) End() error { return nil }

// Write implements io.Writer. It never fails.
func (l *lookout) Write(p []byte) (int, error) { return l.mentions.Write(p) }

// Close ends the file.
func (l *lookout) Close() error {
	l.mentions.End()
	return nil
}

// unlisted returns the mentions in an image that the statement does not list, as problems in the order of objects and layers.
// Of an object without a hash it returns all that were found under the object's name.
func (s *Scanner) unlisted(st *Statement, c *Contents) (problems []Problem) {
	list := s.lists[st]
	report := func(m *mentions, root string) {
		for _, found := range m.list {
			if !list[[32]byte([]byte(found.path.Digest()))] {
				what := fmt.Sprintf("mentions %q, which the statement does not list", found.path)
				if found.file == "" {
					what = "its config " + what
				}
				problems = append(problems, Problem{found.file, what})
			}
		}
		if m.more {
			problems = append(problems, Problem{root, "has too many mentions of store paths that the statement does not list"})
		}
	}
	for _, o := range c.Objects {
		root := c.StoreDir.Object(o.Name)
		for _, m := range s.objects[root] {
			if m.hash == o.Hash || o.Hash == "" {
				report(m, root)
				if o.Hash != "" {
					break
				}
			}
		}
	}
	report(s.config(list, c.Config), "")
	seen := make(map[string]bool)
	for _, layer := range c.Layers {
		if m := s.files[layer]; m != nil && !seen[layer] {
			seen[layer] = true
			report(m, "")
		}
	}
	return problems
}
