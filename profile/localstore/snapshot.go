package localstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// snapshot is what a database says at one instant of all objects.
//
// It is all in memory: a store of 30 000 objects with 315 000 references takes some ten megabytes,
// and reading it once is what makes it one instant,
// for a transaction that stays open would have to lock what must not be touched.
type snapshot struct {
	objects []object // ascending by id
	refs    []int64  // ids, of one object after the other
	byPath  map[profile.Path]int32

	left int64 // bytes that may still be read: no more than the database has
}

// Limits of what is kept in memory of one database. The largest stores have a tenth of it.
const (
	maxObjects    = 4 << 20
	maxReferences = 16 << 20
)

// spend counts what is read: SQLite does not notice where pages are shared,
// so that few bytes of a hostile database can be rows without end.
func (s *snapshot) spend(bytes int) error {
	if s.left -= int64(bytes); s.left < 0 {
		return errors.New("damaged: it has more in its rows than bytes")
	}
	return nil
}

// object is a row of the database, checked only when somebody asks for it:
// one odd row among thousands does not spoil the others.
type object struct {
	id       int64
	path     profile.Path
	invalid  error // what is wrong with the path
	hash     string
	size     int64
	deriver  string
	sigs, ca string // where they are read
	from, to int    // its references in snapshot.refs
}

// add adds a row of ValidPaths. Rows come by ascending id.
func (s *snapshot) add(o object) error {
	if n := len(s.objects); n > 0 && s.objects[n-1].id >= o.id {
		return fmt.Errorf("damaged: object %d follows object %d", o.id, s.objects[n-1].id)
	}
	if o.invalid == nil {
		if _, ok := s.byPath[o.path]; ok {
			return fmt.Errorf("damaged: store path %q is there twice", o.path)
		}
		s.byPath[o.path] = int32(len(s.objects))
	}
	s.objects = append(s.objects, o)
	return nil
}

// byID is the object with an id, and nil if there is none.
func (s *snapshot) byID(id int64) *object {
	if n := len(s.objects); n > 0 { // where nothing was deleted, ids have no gaps
		if i := id - s.objects[0].id; i >= 0 && i < int64(n) && s.objects[i].id == id {
			return &s.objects[i]
		}
	}
	i, ok := slices.BinarySearchFunc(s.objects, id, func(o object, id int64) int { return cmp.Compare(o.id, id) })
	if !ok {
		return nil
	}
	return &s.objects[i]
}

func (s *snapshot) find(p profile.Path) (*object, bool) {
	i, ok := s.byPath[p]
	if !ok {
		return nil, false
	}
	return &s.objects[i], true
}

func (s *snapshot) paths() []profile.Path {
	paths := make([]profile.Path, 0, len(s.byPath))
	for p := range s.byPath {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

// promise is the NAR hash and size of an object.
func (o *object) promise() (profile.Hash, int64, error) {
	h, err := profile.ParseHash(o.hash)
	if err == nil && !h.Known() {
		err = errors.New("NAR hash is zero")
	}
	if err != nil {
		return h, 0, fmt.Errorf("in the database: %w", err)
	}
	if o.size <= 0 {
		return h, 0, errors.New("its NAR size is not in the database")
	}
	return h, o.size, nil
}

func (s *snapshot) info(o *object) (*profile.Info, error) {
	h, size, err := o.promise()
	if err != nil {
		return nil, err
	}
	info := &profile.Info{Path: o.path, NarHash: h, NarSize: size, CA: o.ca}
	if o.sigs != "" {
		info.Signatures = strings.Fields(o.sigs)
	}
	if d, err := profile.ParsePath(o.deriver); err == nil {
		info.Deriver = d
	}
	if o.to > o.from {
		info.References = make([]profile.Path, 0, o.to-o.from)
	}
	for _, id := range s.refs[o.from:o.to] {
		ref := s.byID(id)
		if ref == nil {
			return nil, fmt.Errorf("damaged database: it refers to object %d, which is not there", id)
		}
		if ref.invalid != nil {
			return nil, fmt.Errorf("reference: %w", ref.invalid)
		}
		info.References = append(info.References, ref.path)
	}
	slices.Sort(info.References)
	info.References = slices.Compact(info.References)
	return info, nil
}
