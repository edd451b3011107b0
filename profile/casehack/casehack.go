// Package casehack restores names that Nix has changed for a file system that ignores case.
//
// On such a file system (macOS; the setting use-case-hack), Nix unpacks the files "Eterm" and "eterm" as
// "Eterm" and "eterm~nix~case~hack~1". It removes the suffix when it packs them again (libutil/archive.cc).
// So the NAR hash of a store object is that of the original names.
//
// A name could have such an end by itself. So names are restored only if the object then has its NAR hash,
// or if no hash is known.
package casehack

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// suffix precedes a number at the end of a changed name.
const suffix = "~nix~case~hack~"

// Original returns the name that Nix has changed to the given one, or false for other names.
func Original(name string) (original string, changed bool) {
	original, number, ok := strings.Cut(name, suffix)
	if !ok || original == "" || number == "" || strings.Trim(number, "0123456789") != "" {
		return "", false
	}
	return original, true
}

// Restorer decides for each store object whether to restore its names.
// It is safe for concurrent use. A nil Restorer restores nothing.
type Restorer struct {
	// Hash returns the NAR hash of an object, if it is known. A nil Hash knows none.
	Hash func(profile.Path) profile.Hash
	// Note, if not nil, is called for the first object whose names are restored, with a note for the user.
	// There are two notes: with a hash and without one.
	Note func(text string)

	mu      sync.Mutex
	objects map[profile.Path]*object
	noted   map[bool]bool // by whether the hash was known
}

// object holds the decision on one object.
type object struct {
	mu               sync.Mutex
	decided, restore bool
}

// Restore reports whether to restore the names of an object that has a changed name.
// restored is the object's tree with the original names.
// Restore reads it once to find its hash, or only its names if the hash is unknown.
func (r *Restorer) Restore(ctx context.Context, p profile.Path, name string, restored rootfs.Tree) (bool, error) {
	if r == nil {
		return false, nil
	}
	o := r.object(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.decided {
		return o.restore, nil
	}
	var want profile.Hash
	if r.Hash != nil {
		want = r.Hash(p)
	}
	fits := sound
	if want.Known() {
		fits = func(t rootfs.Tree, root string) bool {
			got, _, err := nar.Sum(t, root)
			return err == nil && got == want
		}
	}
	restore := fits(restored, p.Root())
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	o.decided, o.restore = true, restore
	if restore {
		r.note(p, name, want.Known())
	}
	return restore, nil
}

func (r *Restorer) object(p profile.Path) *object {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects == nil {
		r.objects, r.noted = make(map[profile.Path]*object), make(map[bool]bool)
	}
	if r.objects[p] == nil {
		r.objects[p] = new(object)
	}
	return r.objects[p]
}

// sound reports whether a tree is valid: its names may be equal once they are restored.
func sound(t rootfs.Tree, root string) bool {
	for _, err := range rootfs.Check(root, t) {
		if err != nil {
			return false
		}
	}
	return true
}

func (r *Restorer) note(p profile.Path, name string, known bool) {
	r.mu.Lock()
	first := !r.noted[known]
	r.noted[known] = true
	r.mu.Unlock()
	if !first || r.Note == nil {
		return
	}
	original, _ := Original(name)
	text := fmt.Sprintf("%q was written for a file system that ignores case: restoring %q from %q, and other such names", p, original, name)
	if !known {
		text += "; no hash confirms it"
	}
	r.Note(text)
}
