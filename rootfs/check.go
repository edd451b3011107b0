package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// ComparePaths orders clean relative paths element by element:
// a parent comes before its children, and siblings are in the order of their bytes.
func ComparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		// A slash ends an element, so it sorts before any byte that could continue one.
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return +1
		case a[i] < b[i]:
			return -1
		}
		return +1
	}
	return len(a) - len(b)
}

// Within reports whether path is root or lies below it.
// Every path lies within the empty root.
func Within(root, path string) bool {
	return root == "" || path == root ||
		len(path) > len(root) && path[len(root)] == '/' && path[:len(root)] == root
}

// CheckName reports why a name cannot be one element of a path.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("name %q: not allowed", name)
	case len(name) > MaxName:
		return fmt.Errorf("name %.40q…: longer than %d bytes", name, MaxName)
	case strings.IndexByte(name, '/') >= 0, strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("name %q: contains a slash or NUL", name)
	}
	return nil
}

// CheckTarget reports why a symbolic link cannot have this target.
func CheckTarget(target string) error {
	switch {
	case target == "":
		return errors.New("empty link target")
	case len(target) > MaxTarget:
		return fmt.Errorf("link target longer than %d bytes", MaxTarget)
	case strings.IndexByte(target, 0) >= 0:
		return errors.New("link target contains NUL")
	}
	return nil
}

// checkEntry checks the rules that an entry alone can break.
func checkEntry(e Entry) error {
	depth := 0
	for name := range strings.SplitSeq(e.Path, "/") {
		if err := CheckName(name); err != nil {
			return err
		}
		if depth++; depth > MaxPathDepth {
			return fmt.Errorf("deeper than %d directories", MaxDepth)
		}
	}
	allowed := fs.ModeType | fs.ModePerm | fs.ModeSticky
	switch {
	case e.IsRegular():
		allowed |= fs.ModeSetuid | fs.ModeSetgid
	case e.IsDir():
		allowed |= fs.ModeSetgid
	}
	if extra := e.Mode &^ allowed; extra != 0 {
		return fmt.Errorf("mode %v is not representable", e.Mode)
	}
	switch {
	case e.IsDir():
	case e.IsLink():
		return CheckTarget(e.Target)
	case !e.IsRegular():
		return fmt.Errorf("is neither a directory, a regular file nor a symbolic link: %v", e.Mode.Type())
	case e.Size < 0:
		return fmt.Errorf("negative size %d", e.Size)
	case e.Open == nil:
		return errors.New("regular file without content")
	}
	return nil
}

// orderChecker checks a sequence of entries against the rules of a tree.
// The zero value stands before the first entry.
type orderChecker struct {
	last string
	dirs []string // the directories above the last entry, and that entry if it is a directory
}

// next checks the next entry. Only the root itself may lack a parent,
// since Join fills in the directories above a part.
func (o *orderChecker) next(root string, e Entry) error {
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("entry %q: %w", e.Path, err)
	}
	if !Within(root, e.Path) {
		return fmt.Errorf("entry %q: not within %q", e.Path, root)
	}
	if o.last != "" {
		switch c := ComparePaths(o.last, e.Path); {
		case c == 0:
			return fmt.Errorf("entry %q: %w", e.Path, fs.ErrExist)
		case c > 0:
			return fmt.Errorf("entry %q: comes after %q, out of path order", e.Path, o.last)
		}
	}
	for len(o.dirs) > 0 && !Within(o.dirs[len(o.dirs)-1], e.Path) {
		o.dirs = o.dirs[:len(o.dirs)-1]
	}
	if parent := Parent(e.Path); parent != "" && e.Path != root &&
		(len(o.dirs) == 0 || o.dirs[len(o.dirs)-1] != parent) {
		return fmt.Errorf("entry %q: its parent is not a directory of the tree", e.Path)
	}
	if e.IsDir() {
		o.dirs = append(o.dirs, e.Path)
	}
	o.last = e.Path
	return nil
}

// Check returns a part's tree, which ends with an error at the first entry that breaks a rule.
func Check(root string, t Tree) Tree {
	return func(yield func(Entry, error) bool) {
		var o orderChecker
		for e, err := range t {
			if err == nil {
				err = o.next(root, e)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if root != "" && o.last == "" {
			yield(Entry{}, fmt.Errorf("tree of %q: %w", root, fs.ErrNotExist))
		}
	}
}

// Parent returns the path of the directory that holds path, or "" for one in the root.
func Parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}
