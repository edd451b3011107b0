// Package overlay lays a user's files, directories, links, owners and modes over an image.
// Everything stays virtual: Apply sets no owner or mode on this machine, so it needs no privilege.
// It writes only nameless copies of streams. See [Apply] for the result.
//
// # Changes
//
// A [Change] adds a file, a directory or a tar, makes a directory or a symbolic link, or hides a path of the image below.
// Changes apply in order. Each group of them becomes a layer.
//
//   - Add puts a file at DST. If DST ends with a slash, the file goes into that directory
//     under the last element of SRC. A directory or a tar puts its contents at DST.
//     The first header identifies a tar, compressed or not; its name does not matter.
//     To add a tar as a file, add a directory that holds only this tar: files in directories are never unpacked.
//     If SRC is a link, it is followed. Links below SRC are kept verbatim.
//     Standard input ("-") and named pipes are copied to a nameless file, which exists until the overlay is closed.
//   - A source contributes names, contents, link targets and the owner's executable bit.
//     Files become 0644 or 0755 and directories 0755. Everything belongs to root and has rootfs.ModTime.
//     The same holds for tars, since their owners are those of the machine that made them.
//   - MODE applies to files. Directories of the source get it with x wherever it has r:
//     0640 makes them 0750. UID and GID apply to everything from the source, including links.
//     A MODE with setuid, setgid or sticky is only for a single file. These bits of a tar entry or a host's file are dropped.
//   - MODE, UID and GID also apply to the directory DST itself, with a note if it already exists.
//     If DST ends with a slash, an existing directory keeps its own mode and owner.
//   - All other existing directories keep their owner and mode.
//     Missing directories above DST are made with mode 0755 and owner root.
//   - Sources that contain devices, sockets or named pipes are refused. So are names that begin with ".wh."
//     (they would be whiteouts), and sparse or multi-volume tars.
//     Names in a tar lose a leading slash. A tar is refused if a name has "..", if a file occurs twice,
//     or if its end is missing. A hard link in a tar becomes a whole file.
//     Extended attributes are dropped with a note.
//
// # Links and conflicts
//
// Links to directories are followed above the last element of a path, no matter where they come from:
// if the image has bin -> usr/bin, a file for /bin/x goes to /usr/bin/x. No path leaves the image.
// A tar whose own links lead its files out of DST is refused.
// A directory also goes through a link to a directory at its own path.
// A file or link replaces a file or link, with a note: the later one wins.
// But a file never replaces a directory or a link to one, and a directory never replaces a file.
// Such a conflict is an error that names both sides. A whiteout before the change resolves it.
// A whiteout hides a link, not the link's target. A whiteout of a missing path is an error.
//
// A link may replace a directory only if everything in it comes from the image's base. The base is generated,
// so its files may live wherever the link leads. If the link leads to an existing directory, the base's files move into it.
// A file that is already there stays, with a note unless both lead to the same file.
// If nothing is there, the directory itself moves there.
// So with bin -> usr/bin in an added tar, bin/sh ends up at /usr/bin/sh. If the directory holds anything from another change,
// the image below or the store, it conflicts with the link. The link must come before the changes that go through it.
//
// A layer holds what it adds, and all directories above as they are below, so that no layer
// changes one by accident. It hides only names that it does not hold:
// unpackers disagree about a whiteout and a file of the same name in one layer,
// and about opaque whiteouts. A directory that was hidden and made again becomes
// an entry for itself and a whiteout for each name that it lost.
//
// # Rules
//
// A [Rule] sets the owner or the mode of the paths that its pattern matches, in the parts below and in changes.
// The last matching rule wins, separately for owner and mode, and overrides what a change asks for.
// Patterns match absolute paths. Between slashes, * ? and [a-z] work as in path.Match. ** matches any number
// of elements, and at the end of a pattern at least one. Directories get x wherever the mode has r.
// Links have owners and no mode.
// A rule that matches nothing is an error. No rule matches the store directory or those above it, such as /nix, which are alike in all layers.
//
// # The store
//
// The path of a store object promises its contents by a hash. So store objects change only with
// Options.AllowStoreChanges, and each such change adds a note.
// A changed part gets another key, so that no cache takes it for the original.
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

const whiteoutPrefix = ".wh."

// ErrStoreObject is wrapped by errors about changes that Options.AllowStoreChanges would allow.
var ErrStoreObject = errors.New("store objects are not changed")

var errWhiteoutName = errors.New("a name that begins with .wh. would delete a file of another layer")

// Options say what to lay over an image. The zero value changes nothing.
type Options struct {
	Layers [][]Change // lowest first
	// Missing, if not nil, is a Mkdir that comes after all changes, in the last layer, if nothing is at its path.
	// It is never an error, and does nothing in the store.
	Missing *Change
	Rules   []Rule
	// AllowStoreChanges lets changes and rules reach into store objects.
	AllowStoreChanges bool
	// Lower, if not nil, is the image below the parts. Changes see it. Rules do not,
	// since its files are not written again.
	Lower *rootfs.Lower

	// Stdin is read by the source "-", which can occur once.
	Stdin io.Reader
	// SpoolDir is the directory for nameless copies of streams and decompressed tars.
	SpoolDir string
	// Decompress opens a decompressor for a stream that begins with head. It returns nil, nil if the stream
	// is not compressed. The default knows gzip and bzip2.
	Decompress func(head []byte, r io.Reader) (io.ReadCloser, error)
}

// Overlay is an image with its changes.
type Overlay struct {
	Parts  []rootfs.Part // the parts below, changed by rules
	Layers []Layer       // the layers on top, lowest first
	Notes  []string      // one line for each replaced file, dropped attribute or change of the store

	store   rootfs.StoreDir
	tree    *tree            // nil without changes
	objects map[string]*node // store objects by root, before any change
	base    rootfs.Tree      // of the base part, changed by rules
	closers []io.Closer
	noted   map[string]bool
	ruled   []string // store objects that rules have changed
}

// Layer is the result of one group of changes.
type Layer struct {
	Part   rootfs.Part // with an empty Root
	Hidden []string    // hidden paths, sorted; Part holds their directories
	// Changes are the titles of its changes. They contain no path of this machine.
	Changes []string
}

// Close closes the sources. After that, no tree of the overlay can be read.
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

// Apply lays changes over an image's parts: its store objects, which view must cover,
// and its base part, if any. Apply reads each source once, so that the layers' keys promise their contents.
// Writing a layer reads the sources again, and fails if they have changed.
//
// Apply reports all faulty changes in one error. After success, the caller closes the overlay.
func Apply(ctx context.Context, parts []rootfs.Part, view *rootfs.View, options Options) (_ *Overlay, err error) {
	if len(options.Layers) == 0 && len(options.Rules) == 0 { // skip reading the parts
		return &Overlay{Parts: parts}, context.Cause(ctx)
	}
	o := &Overlay{store: view.StoreDir(), objects: make(map[string]*node), noted: make(map[string]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	r, err := newRules(o.store, options.Rules)
	if err != nil {
		return nil, err
	}
	o.tree = newTree(view, r, options.AllowStoreChanges)
	if err := o.tree.insertLower(options.Lower); err != nil {
		return nil, err
	}
	roots, err := o.addParts(parts)
	if err != nil {
		return nil, err
	}
	o.noteRuled()

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
		if i == len(options.Layers)-1 && options.Missing != nil && a.makeMissing(*options.Missing) {
			changes = append(slices.Clone(changes), *options.Missing)
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

// noteIDs adds a note if rootless podman cannot map one of the ids.
func (o *Overlay) noteIDs(title string, ids ...int) {
	if most := slices.Max(ids); most > rootfs.MaxRootlessID {
		o.note("%s: %d: rootless podman has no ids above %d by default", title, most, rootfs.MaxRootlessID)
	}
}

// addParts inserts the parts into the tree, applies the rules, and returns the roots of the store objects.
func (o *Overlay) addParts(parts []rootfs.Part) (roots []string, err error) {
	t := o.tree
	for _, p := range parts {
		if p.Root != "" {
			roots = append(roots, p.Root)
			if p, err = o.applyRules(p); err != nil {
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
		base, err := replaceAttributes(p, ruled)
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
