package localstore

import (
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
	objects []object
	ids     []int64 // of objects, ascending
	refs    []int32 // of one object after the other: where in objects, or ^i for missing[i]
	missing []int64 // ids that are referred to, and of no object
	byPath  map[profile.Path]int32
}

// Limits of what is kept in memory of one database. The largest stores have a tenth of it.
const (
	maxObjects    = 4 << 20
	maxReferences = 16 << 20
)

// object is a row of the database, checked only when somebody asks for it:
// one odd row among thousands does not spoil the others.
type object struct {
	path     profile.Path
	invalid  error // what is wrong with the path
	hash     string
	size     int64
	deriver  string
	sigs, ca string // where they are read
	from, to int    // its references in snapshot.refs
}

// add adds a row of ValidPaths. Rows come by ascending id.
func (s *snapshot) add(id int64, o object) error {
	if n := len(s.ids); n > 0 && s.ids[n-1] >= id {
		return fmt.Errorf("damaged: object %d follows object %d", id, s.ids[n-1])
	}
	s.ids = append(s.ids, id)
	s.objects = append(s.objects, o)
	return nil
}

// index makes objects be found by their paths, once all are there.
func (s *snapshot) index() error {
	s.byPath = make(map[profile.Path]int32, len(s.objects))
	for i := range s.objects {
		o := &s.objects[i]
		if o.invalid != nil {
			continue
		}
		if _, ok := s.byPath[o.path]; ok {
			return fmt.Errorf("damaged: store path %q is there twice", o.path)
		}
		s.byPath[o.path] = int32(i)
	}
	return nil
}

// byID is where in objects the one with an id is.
func (s *snapshot) byID(id int64) (i int32, ok bool) {
	if len(s.ids) == 0 {
		return 0, false
	}
	// Where nothing was deleted, ids have no gaps.
	if i := id - s.ids[0]; i >= 0 && i < int64(len(s.ids)) && s.ids[i] == id {
		return int32(i), true
	}
	at, ok := slices.BinarySearch(s.ids, id)
	return int32(at), ok
}

// ref is a reference, as snapshot.refs has it.
type ref struct{ from, to int32 }

// setRefs puts references, in any order, where their objects look for them.
func (s *snapshot) setRefs(refs []ref) {
	for _, r := range refs {
		s.objects[r.from].to++
	}
	at := 0
	for i := range s.objects {
		o := &s.objects[i]
		at += o.to
		o.from, o.to = at-o.to, at-o.to
	}
	s.refs = make([]int32, len(refs))
	for _, r := range refs {
		o := &s.objects[r.from]
		s.refs[o.to] = r.to
		o.to++
	}
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
	for _, i := range s.refs[o.from:o.to] {
		if i < 0 {
			return nil, fmt.Errorf("damaged database: it refers to object %d, which is not there", s.missing[^i])
		}
		ref := &s.objects[i]
		if ref.invalid != nil {
			return nil, fmt.Errorf("reference: %w", ref.invalid)
		}
		info.References = append(info.References, ref.path)
	}
	slices.Sort(info.References)
	info.References = slices.Compact(info.References)
	return info, nil
}
