package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Rule sets the owner or the mode of paths that match a pattern; see the package comment.
type Rule struct {
	Glob     string
	HasMode  bool        // sets the mode; otherwise the owner
	Mode     fs.FileMode // permissions and fs.ModeSticky
	UID, GID int

	glob glob
}

// ParseOwner parses GLOB=UID[:GID]. GID defaults to UID.
func ParseOwner(s string) (Rule, error) {
	r, value, err := parseRule(s)
	if err == nil {
		fields := strings.Split(value, ":")
		if len(fields) > 2 {
			err = fmt.Errorf("%q is not UID[:GID]", value)
		} else {
			r.UID, r.GID, err = parseOwner(fields)
		}
	}
	if err != nil {
		return Rule{}, fmt.Errorf("owner %q: %w; want GLOB=UID[:GID], as in /var/lib/app/**=1000:1000", s, err)
	}
	return r, nil
}

// ParseMode parses GLOB=MODE.
func ParseMode(s string) (Rule, error) {
	r, value, err := parseRule(s)
	if err == nil {
		r.HasMode = true
		r.Mode, err = parseMode(value)
	}
	if err == nil && r.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		err = errors.New("setuid and setgid are only for added files")
	}
	if err != nil {
		return Rule{}, fmt.Errorf("mode %q: %w; want GLOB=MODE, as in /etc/app/**=0640", s, err)
	}
	return r, nil
}

func parseRule(s string) (Rule, string, error) {
	i := strings.LastIndexByte(s, '=')
	if i < 0 {
		return Rule{}, "", errors.New("no =")
	}
	g, err := parseGlob(s[:i])
	return Rule{Glob: s[:i], glob: g}, s[i+1:], err
}

// String returns the rule as [ParseOwner] or [ParseMode] reads it.
func (r Rule) String() string {
	if r.HasMode {
		return r.Glob + "=" + formatMode(r.Mode)
	}
	return fmt.Sprintf("%s=%d:%d", r.Glob, r.UID, r.GID)
}

// Title returns the flag's word and the rule, for messages.
func (r Rule) Title() string {
	if r.HasMode {
		return fmt.Sprintf("mode %q", r)
	}
	return fmt.Sprintf("owner %q", r)
}

// rules holds all rules of an image, and records which of them have matched.
type rules struct {
	store   rootfs.StoreDir
	all     []Rule
	matched []bool
}

func newRules(store rootfs.StoreDir, all []Rule) (*rules, error) {
	r := &rules{store: store, all: make([]Rule, len(all)), matched: make([]bool, len(all))}
	for i, rule := range all {
		g, err := parseGlob(rule.Glob) // a caller may have built the Rule without ParseOwner
		if err != nil {
			return nil, fmt.Errorf("rule: %w", err)
		}
		rule.glob = g
		r.all[i] = rule
	}
	return r, nil
}

// apply sets the owner and mode of an entry by the last rules that match it,
// and reports whether that changed the entry.
// No rule matches the store directory and those above it, which are alike in all layers.
func (r *rules) apply(e *rootfs.Entry) (changed bool) {
	if len(r.all) == 0 || r.store.Above(e.Path) {
		return false
	}
	was := *e
	elems := strings.Split(e.Path, "/")
	for i, rule := range r.all {
		if rule.HasMode && e.IsLink() || !rule.glob.match(elems) {
			continue
		}
		r.matched[i] = true
		if !rule.HasMode {
			e.UID, e.GID = rule.UID, rule.GID
			continue
		}
		if e.IsDir() {
			e.Mode = fs.ModeDir | searchable(rule.Mode)
		} else {
			e.Mode = rule.Mode
		}
	}
	return e.Mode != was.Mode || e.UID != was.UID || e.GID != was.GID
}

// searchable adds x wherever mode has r, so that every user who may read a directory may enter it.
func searchable(mode fs.FileMode) fs.FileMode { return mode | (mode&0o444)>>2 }

// mayMatch reports whether any rule can match root or a path below it.
func (r *rules) mayMatch(root string) bool {
	return slices.ContainsFunc(r.all, func(rule Rule) bool { return mayMatchAny(rule, []string{root}) })
}

// unmatched returns an error that names every rule that matched nothing.
func (r *rules) unmatched(roots []string, allowed bool) error {
	var errs []error
	for i, rule := range r.all {
		switch {
		case r.matched[i]:
		case !allowed && mayMatchAny(rule, roots):
			errs = append(errs, fmt.Errorf("%s: matches nothing outside the store: %w", rule.Title(), ErrStoreObject))
		default:
			errs = append(errs, fmt.Errorf("%s: matches no file", rule.Title()))
		}
	}
	return errors.Join(errs...)
}

func mayMatchAny(r Rule, roots []string) bool {
	if r.glob == nil {
		r.glob, _ = parseGlob(r.Glob)
	}
	return slices.ContainsFunc(roots, func(root string) bool { return r.glob.mayMatch(strings.Split(root, "/")) })
}
