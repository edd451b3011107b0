package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/scan"
	"github.com/export-profile/export-profile/rootfs"
)

// imageStore is the store visible in an image.
// An image does not record references. imageStore scans the objects' files for them, as Nix does after a build,
// and keeps them as a fact about the image's layers.
type imageStore struct {
	image *ocilayout.Image
	in    io.Closer // keeps the image readable

	objects map[profile.Path]imageObject
	paths   []profile.Path
	// scattered lists the objects that are not in objects: they were changed on purpose, and several layers hold their files.
	scattered []profile.Path
	strange   []string // names in the store directory that are no store paths; of a scan without facts
}

var (
	_ profile.Store  = (*imageStore)(nil)
	_ profile.Lister = (*imageStore)(nil)
)

// imageObject is a scanned object, and its form in the cached fact.
type imageObject struct {
	Name  string
	Hash  string // of the NAR, in hexadecimal digits
	Size  int64  // of the NAR
	Layer int
	Refs  []string `json:",omitempty"` // base names, sorted

	Changed bool `json:",omitempty"` // on purpose, as the history says
}

// imageFact is the kind of the facts about images.
const imageFact = "imagestore1"

// readImageStore scans the layers of an image, unless the cache has a fact about them.
func readImageStore(ctx context.Context, say *speaker, image *ocilayout.Image, in io.Closer, facts *rootfs.Facts) (*imageStore, error) {
	s, err := scanImageStore(ctx, say, image, in, facts)
	if err == nil && len(s.scattered) > 0 {
		err = scatteredError(image, s.scattered[0])
	}
	if err != nil {
		return nil, err
	}
	say.noteOnce("an image does not record references; they were found in the files of its store paths")
	return s, nil
}

// scanImageStore is like readImageStore, but leaves out the objects that were changed on purpose and are spread over several layers.
func scanImageStore(ctx context.Context, say *speaker, image *ocilayout.Image, in io.Closer, facts *rootfs.Facts) (*imageStore, error) {
	key := sha256.New()
	for _, l := range image.Layers {
		fmt.Fprintf(key, "%s\n", l.Key())
	}
	about := "sha256:" + hex.EncodeToString(key.Sum(nil))
	s := &imageStore{image: image, in: in}
	var objects []imageObject
	if fact := facts.Load(image.StoreDir.FactKind(imageFact), about); fact == nil || json.Unmarshal(fact, &objects) != nil {
		var err error
		if objects, err = s.scan(ctx, say, facts); err != nil {
			return nil, err
		}
		if b, err := json.Marshal(objects); err == nil && len(s.scattered) == 0 {
			facts.Keep(image.StoreDir.FactKind(imageFact), about, b)
		}
	}
	s.objects = make(map[profile.Path]imageObject, len(objects))
	for _, o := range objects { // sorted
		p, err := profile.ParseBase(s.StoreDir(), o.Name)
		if err != nil {
			return nil, err
		}
		s.objects[p] = o
		s.paths = append(s.paths, p)
	}
	return s, s.compare()
}

func scatteredError(image *ocilayout.Image, p profile.Path) error {
	return fmt.Errorf("image %s: the files of %q are spread over several layers", image.Digest, p)
}

// compare checks the objects against the image's history. It has no hash of an object that was changed on purpose,
// and does not name those that a layer of changes hides.
func (s *imageStore) compare() error {
	visible, _ := s.image.VisibleObjects()
	for _, h := range visible {
		o, ok := s.objects[profile.Path(s.StoreDir().String()+"/"+h.Name)]
		if ok && (h.Changed || o.Changed || strings.HasPrefix(o.Hash, h.Hash)) || !ok && s.image.HasChanges() {
			continue
		}
		return withHint(fmt.Errorf("image %s: %q is not what its history says", s.image.Digest, h.Name), "export-profile verify lists everything wrong with an image")
	}
	return nil
}

// scan reads all layers to find NAR hashes and references. It fills scattered with the objects that have none,
// since a layer of changes on purpose holds some of their files. If the history does not name every object, it reads the layers twice.
func (s *imageStore) scan(ctx context.Context, say *speaker, facts *rootfs.Facts) (objects []imageObject, err error) {
	var names []string
	image := s.image
	visible, foreign := image.VisibleObjects()
	for _, h := range visible {
		names = append(names, h.Name)
	}
	if foreign > 0 { // the history lacks the objects of those layers
		tree, err := readLayers(ctx, say, image, ocilayout.TreeOptions{Facts: facts, Hash: narHash})
		if err != nil {
			return nil, err
		}
		names = tree.StoreNames()
	}
	tree, found, err := scanFor(ctx, say, image, names)
	if err == nil && !hasAll(names, tree.StoreNames()) {
		tree, found, err = scanFor(ctx, say, image, tree.StoreNames())
	}
	if err != nil {
		return nil, err
	}
	objects = []imageObject{}
	for _, h := range tree.VisibleObjects() {
		p, err := profile.ParseBase(s.StoreDir(), h.Name)
		if err != nil {
			s.strange = append(s.strange, h.Name)
			continue
		}
		o, ok := found[p.Root()+" "+h.Hash]
		switch {
		case !ok && h.Changed:
			s.scattered = append(s.scattered, p)
			continue
		case !ok:
			return nil, scatteredError(image, p)
		}
		o.Name, o.Layer, o.Changed = h.Name, h.Layer, h.Changed
		objects = append(objects, o)
	}
	return objects, nil
}

// hasAll reports whether all names of store objects are in known.
func hasAll(known, names []string) bool {
	has := make(map[string]bool, len(known))
	for _, name := range known {
		has[name] = true
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		return profile.CheckBase(name) == nil && !has[name]
	})
}

// scanFor reads all layers and looks for references to the objects of the given names. Its map is by root and hash.
func scanFor(ctx context.Context, say *speaker, image *ocilayout.Image, names []string) (*ocilayout.ImageTree, map[string]imageObject, error) {
	index, err := scan.NewIndex(scan.Candidates(image.StoreDir, names, func(string) bool { return false }))
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	found := make(map[string]imageObject)
	tree, err := readLayers(ctx, say, image, ocilayout.TreeOptions{Hash: func(t rootfs.Tree, root string) (string, int64, error) {
		h, finder, n := sha256.New(), index.Finder(), new(byteCount)
		if err := nar.Write(io.MultiWriter(h, finder, n), t, root); err != nil {
			return "", 0, err
		}
		o := imageObject{Hash: hex.EncodeToString(h.Sum(nil)), Size: int64(*n)}
		for _, p := range finder.Found() {
			o.Refs = append(o.Refs, p.Base())
		}
		mu.Lock()
		defer mu.Unlock()
		found[root+" "+o.Hash] = o
		return o.Hash, o.Size, nil
	}})
	return tree, found, err
}

// byteCount counts what is written to it.
type byteCount int64

func (n *byteCount) Write(p []byte) (int, error) {
	*n += byteCount(len(p))
	return len(p), nil
}

// readLayers lists the files visible in an image.
func readLayers(ctx context.Context, say *speaker, image *ocilayout.Image, o ocilayout.TreeOptions) (*ocilayout.ImageTree, error) {
	reading := say.progress("reading image", image.Size())
	defer reading.done()
	o.Progress = reading.add
	return image.Tree(ctx, o)
}

// StoreDir implements [profile.Store].
func (s *imageStore) StoreDir() profile.StoreDir { return s.image.StoreDir }

func (s *imageStore) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	o, ok := s.objects[p]
	if !ok {
		return nil, fmt.Errorf("%q is not in the image: %w", p, fs.ErrNotExist)
	}
	info := &profile.Info{Path: p, NarSize: o.Size}
	var err error
	if info.NarHash, err = profile.ParseHash("sha256:" + o.Hash); err != nil {
		return nil, fmt.Errorf("%q: %w", p, err)
	}
	for _, r := range o.Refs {
		ref, err := profile.ParseBase(s.StoreDir(), r)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p, err)
		}
		info.References = append(info.References, ref)
	}
	return info, nil
}

// Files reads the object's layer again.
func (s *imageStore) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	o, ok := s.objects[p]
	if !ok {
		return func(yield func(rootfs.Entry, error) bool) {
			yield(rootfs.Entry{}, fmt.Errorf("%q is not in the image: %w", p, fs.ErrNotExist))
		}
	}
	return s.image.Object(ctx, o.Layer, o.Name)
}

func (s *imageStore) Paths(context.Context) ([]profile.Path, error) { return s.paths, nil }

func (s *imageStore) Close() error { return s.in.Close() }

// roots returns the objects that no other one refers to, and one object of each cycle that nothing leads to.
func (s *imageStore) roots(ctx context.Context) ([]profile.Path, error) {
	tops, err := profile.Tops(ctx, s)
	if err != nil {
		return nil, err
	}
	var roots []profile.Path
	seen := make(map[string]bool)
	for _, p := range append(tops, s.paths...) {
		if seen[p.Base()] {
			continue
		}
		roots = append(roots, p)
		seen[p.Base()] = true
		for queue := []string{p.Base()}; len(queue) > 0; queue = queue[1:] {
			for _, r := range s.objects[profile.Path(s.StoreDir().String()+"/"+queue[0])].Refs {
				if !seen[r] {
					seen[r] = true
					queue = append(queue, r)
				}
			}
		}
	}
	if len(roots) == 0 {
		return nil, withHint(fmt.Errorf("image %s has no store paths in %s", s.image.Digest, s.StoreDir()), "if they are in another directory, say which, as in --store-dir /gnu/store")
	}
	return roots, nil
}

// layers returns the digest of the layer of each object.
func (s *imageStore) layers() map[profile.Path]string {
	layers := make(map[profile.Path]string, len(s.objects))
	for p, o := range s.objects {
		layers[p] = s.image.Layers[o.Layer].Descriptor.Digest.String()
	}
	return layers
}
