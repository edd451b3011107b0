// Package overlay is what a user lays on top of an image: files, directories, links, owners and modes.
// All of it is virtual. Nothing is written, and no privilege is needed, since no owner or mode
// is set on this machine; see [Apply] for what comes out.
//
// # Changes
//
// A [Change] adds a file, a directory or a tar, makes a directory or a symbolic link,
// or hides what is below. Changes are applied in their order. Each group of them becomes a layer.
//
//   - Add puts a file at DST, or into the directory DST if that ends with a slash,
//     under the last element of SRC. A directory puts its contents at DST, and so does a tar.
//     A tar is recognised by its first header, also in a compressed file, and never by a name;
//     one that is to be added as it is can be added as the only file of a directory,
//     as files in directories are never looked into. SRC is followed if it is a link;
//     links below it are kept verbatim. Standard input ("-") and a named pipe are kept
//     in a file without a name while the image is built.
//   - Of a source only names, contents, targets and the owner's executable bit count:
//     files are 0644 or 0755, directories 0755, all belong to root, and have rootfs.ModTime.
//     This holds for tars, too, whose owners are those of the machine where they were made.
//   - MODE is that of files. Directories of the source have the same with x where there is r,
//     so that 0640 makes them 0750. UID and GID are of all that comes from the source, also links.
//     Only a single file can be setuid, setgid or sticky. A tar entry or a host's file never makes one so.
//   - MODE, UID and GID are also of the directory DST itself, with a note if it is there already.
//     With a slash at its end, a DST that is there keeps its own: what is added goes into it.
//   - All other directories that are there already keep owner and mode.
//     Directories that are missing above DST are made, 0755 and root's.
//   - Sources with devices, sockets or named pipes in them, with names that begin with ".wh."
//     (which would be whiteouts), and sparse or multi-volume tars are refused.
//     A tar's names lose a leading slash; one with ".." is refused, as is one file twice.
//     A hard link in a tar is a whole file. A tar without its end is refused, and extended attributes
//     are left out with a note.
//
// # What is below
//
// Links to directories are followed above the last element of a path, whatever brought them:
// where the image has bin -> usr/bin, what goes to /bin/x is at /usr/bin/x. No path leaves the image.
// A directory that goes to where a link to one is goes through it, too.
// A file or link replaces a file or link, with a note: the later wins.
// But a file never replaces a directory or a link to one, nor a directory a file;
// such a conflict names both sides, and a whiteout before it solves it.
// A whiteout hides a link and not what it leads to, and it is an error where nothing is.
//
// A link may take the place of a directory only if all in it is the image's base, which is made up
// and belongs wherever such a link leads. If a directory is there, what the base has goes into it,
// and gives way to what is there, with a note unless both lead to the same; if nothing is there, the directory goes there itself.
// So with bin -> usr/bin in a tar that is added, bin/sh is at /usr/bin/sh. A directory that has anything of another change,
// the image below or the store is in conflict with the link. The link is to come before what goes through it.
//
// A layer holds what it adds, with all directories above as they are below, so that no layer changes
// one by accident. Hidden in it are names that the layer itself does not hold:
// the order of a whiteout and a file of the same name in one layer is read differently by unpackers,
// and so are opaque whiteouts. A directory that was hidden and made again is
// an entry for itself and a whiteout for each name in it that is gone.
//
// # Rules
//
// A [Rule] gives what its pattern matches an owner or a mode, the last one that matches for each,
// whether it comes from the parts below or a change, and also against what a change asks.
// Patterns are of absolute paths. Between slashes, * ? and [a-z] are as in path.Match, and ** is any number
// of elements, at the end at least one. Directories get x where there is r. Links have owners and no mode.
// A rule that matches nothing is an error. None matches /nix or /nix/store, which all layers have alike.
//
// # The store
//
// What a store object's path holds is what its hash promises. It is changed only with
// Options.AllowStoreChanges, and each change of that kind is noted.
// A part that is changed has another key, so that no cache takes it for the unchanged one.
package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

const (
	storeDir       = "nix/store"
	whiteoutPrefix = ".wh."
)

// ErrStoreObject is in the errors of changes that Options.AllowStoreChanges would allow.
var ErrStoreObject = errors.New("store objects are not changed")

var errWhiteoutName = errors.New("a name that begins with .wh. would delete a file of another layer")

// Options say what to lay on top, and by which means. The zero value changes nothing.
type Options struct {
	Layers [][]Change // from the lowest
	Rules  []Rule
	// AllowStoreChanges lets changes and rules reach into store objects.
	AllowStoreChanges bool
	// Lower, if not nil, is the image that the parts are laid over. Changes see it; rules do not,
	// since what it has is not written again.
	Lower *rootfs.Lower

	// Stdin is what the source "-" reads. It can be read once.
	Stdin io.Reader
	// SpoolDir is where streams and decompressed tars are kept. They have no name there.
	SpoolDir string
	// Decompress begins to decompress what starts with the bytes given; nil, nil if it is not compressed.
	// By default it knows gzip and bzip2.
	Decompress func(head []byte, r io.Reader) (io.ReadCloser, error)
}

// Overlay is an image with what is laid on top of it.
type Overlay struct {
	Parts  []rootfs.Part // those below, changed by rules
	Layers []Layer       // what comes on top, from the lowest
	Notes  []string      // what was replaced, left out or changed in the store, a line each

	tree    *tree            // nil if nothing is changed
	objects map[string]*node // by root, as they were below
	base    rootfs.Tree
	closers []io.Closer
	noted   map[string]bool
}

// Layer is what one group of changes makes.
type Layer struct {
	Part   rootfs.Part // its Root is empty
	Hidden []string    // paths that are gone, in directories that Part holds; sorted
	// Changes are the titles of all changes in it, without a name of this machine.
	Changes []string
}

// Close lets go of the sources, after which no tree of the overlay can be read.
func (o *Overlay) Close() error {
	var errs []error
	for _, c := range o.closers {
		errs = append(errs, c.Close())
	}
	o.closers = nil
	return errors.Join(errs...)
}

func (o *Overlay) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !o.noted[n] {
		o.Notes = append(o.Notes, n)
		o.noted[n] = true
	}
}

// Apply lays changes on top of an image's parts: its store objects, at which the view looks,
// and its base part, if it has one. Sources are read once here, so that the layers' keys promise their contents,
// and again whenever a layer is written, which fails if they have changed.
//
// What can be corrected together is in one error. After success, the caller closes the overlay.
func Apply(ctx context.Context, parts []rootfs.Part, view *rootfs.View, options Options) (_ *Overlay, err error) {
	if len(options.Layers) == 0 && len(options.Rules) == 0 { // what is below need not be looked at
		return &Overlay{Parts: slices.Clone(parts)}, context.Cause(ctx)
	}
	o := &Overlay{objects: make(map[string]*node), noted: make(map[string]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	r, err := newRules(options.Rules)
	if err != nil {
		return nil, err
	}
	o.tree = newTree(view, r, options.AllowStoreChanges)
	if err := o.tree.insertLower(options.Lower); err != nil {
		return nil, err
	}
	roots, err := o.below(parts)
	if err != nil {
		return nil, err
	}

	var errs []error
	for i, changes := range options.Layers {
		lower := o.tree.root
		o.tree.layer++
		a := applier{o, options, fmt.Sprintf(" of layer %d", i+1)}
		if len(options.Layers) == 1 {
			a.layer = ""
		}
		for _, c := range changes {
			if err := a.apply(ctx, c); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.typed(), err))
			}
			if options.Stdin != nil && c.Word == Add && c.Source == Standard {
				options.Stdin, a.options.Stdin = nil, nil
			}
		}
		o.addLayer(lower, i, changes)
	}
	if o.tree.err != nil {
		return nil, o.tree.err
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, rule := range options.Rules {
		if !options.AllowStoreChanges && mayMatchAny(rule, roots) {
			o.note("%s leaves store objects as they are", rule.Title())
		}
		if !rule.HasMode {
			o.noteIDs(rule.Title(), rule.UID, rule.GID)
		}
	}
	if err := r.unmatched(roots, options.AllowStoreChanges); err != nil {
		return nil, err
	}
	return o, nil
}

// noteIDs notes the numbers that rootless podman cannot map.
func (o *Overlay) noteIDs(title string, ids ...int) {
	if most := slices.Max(ids); most > rootfs.MaxRootlessID {
		o.note("%s: %d: rootless podman has no ids above %d by default", title, most, rootfs.MaxRootlessID)
	}
}

// below puts the parts into the tree, with the rules applied, and returns the roots of store objects.
func (o *Overlay) below(parts []rootfs.Part) (roots []string, err error) {
	t := o.tree
	for _, p := range parts {
		if p.Root != "" {
			roots = append(roots, p.Root)
			if p, err = o.ruledObject(p); err != nil {
				return nil, err
			}
			o.Parts = append(o.Parts, p)
			continue
		}
		ruled := make(map[string]rootfs.Entry)
		for e, err := range rootfs.Check("", p.Tree) {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			e.Open = nil
			if t.rules.apply(&e) {
				ruled[e.Path] = e
			}
			if err := t.insert(&node{Entry: e, from: fromBase}); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", p.Name, e.Path, err)
			}
		}
		base, err := ruledPart(p, ruled)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		o.Parts = append(o.Parts, base)
		o.base = base.Tree
	}
	for _, root := range roots {
		parent, _ := cut(root)
		if _, err := t.dir(parent, fromStore); err != nil {
			return nil, err
		}
		n := &node{Entry: rootfs.Dir(root, 0o555), from: fromStore, object: root}
		if had := t.find(parent); had.children[nameOf(root)] != nil {
			return nil, fmt.Errorf("%q: %w", root, fs.ErrExist)
		}
		if err := t.insert(n); err != nil {
			return nil, fmt.Errorf("%q: %w", root, err)
		}
		o.objects[root] = n
	}
	return roots, nil
}

func nameOf(path string) string {
	_, name := cut(path)
	return name
}
