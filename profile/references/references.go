// Package references reads files in which Nix records the hashes, sizes and references of store objects.
//
// It recognises these forms by their content (libstore/store-api.cc, libstore/path-info.cc):
//
//   - Text, one record after the other: path, hash, NAR size, deriver or an empty line,
//     number of references, references, each on its own line.
//     `nix-store --dump-db` and nixpkgs' closureInfo (registration) write it.
//   - The same without hash and size, as Nix writes it for exportReferencesGraph.
//   - JSON: `nix path-info --json` of every version (an array of objects with "path";
//     an object keyed by path; the same in "info", with "version" and "storeDir"),
//     and the .attrs.json of exportReferencesGraph (an array below any key).
//
// [Overlay] adds this metadata to a store that has none, or replaces that of a store that is not trusted.
package references

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/export-profile/export-profile/profile"
)

// maxFile limits the size of a file. The dump of a large store has 300 MB.
const maxFile = 1 << 30

// Parse reads a file in any of the forms. It returns the objects sorted by path.
// If an object appears more than once, all its records must agree.
// It returns a [FormatError] for a file of another kind.
// In the form without hashes and sizes, NarHash is unknown and NarSize is 0.
func Parse(r io.Reader) ([]*profile.Info, error) {
	b := bufio.NewReader(io.LimitReader(r, maxFile+1))
	head, err := b.Peek(1)
	for err == nil && bytes.IndexByte([]byte(" \t\r\n"), head[0]) >= 0 {
		_, _ = b.Discard(1)
		head, err = b.Peek(1)
	}
	var infos []*profile.Info
	switch {
	case errors.Is(err, io.EOF):
		return nil, &FormatError{"empty"}
	case err != nil:
		return nil, err
	case head[0] == '{', head[0] == '[':
		infos, err = parseJSON(b)
	case head[0] == '/':
		if err = checkText(b); err == nil {
			infos, err = parseText(b)
		}
	default:
		return nil, &FormatError{"neither nix-store --dump-db's text nor nix path-info's JSON"}
	}
	if err != nil {
		return nil, err
	}
	return unique(infos)
}

// unique sorts by path and drops duplicates.
func unique(infos []*profile.Info) ([]*profile.Info, error) {
	if err := checkDirs(infos); err != nil {
		return nil, err
	}
	slices.SortStableFunc(infos, func(a, b *profile.Info) int { return cmp.Compare(a.Path, b.Path) })
	out := infos[:0]
	for _, info := range infos {
		slices.Sort(info.References)
		info.References = slices.Compact(info.References)
		if len(out) == 0 || out[len(out)-1].Path != info.Path {
			out = append(out, info)
			continue
		}
		had := out[len(out)-1]
		if had.NarHash != info.NarHash || had.NarSize != info.NarSize || !slices.Equal(had.References, info.References) {
			return nil, fmt.Errorf("%q appears twice, with different metadata", info.Path)
		}
	}
	return out, nil
}

// checkDirs returns an error if two objects are in different store directories.
func checkDirs(infos []*profile.Info) error {
	if len(infos) == 0 {
		return nil
	}
	dir := infos[0].Path.StoreDir()
	for _, info := range infos {
		if err := info.Path.CheckIn(dir); err != nil {
			return err
		}
		for _, ref := range info.References {
			if err := ref.CheckIn(dir); err != nil {
				return fmt.Errorf("references of %q: %w", info.Path, err)
			}
		}
	}
	return nil
}

// lines reads text line by line and counts the lines.
type lines struct {
	s *bufio.Scanner
	n int
}

func (l *lines) next() (string, error) {
	if !l.s.Scan() {
		if err := l.s.Err(); err != nil {
			return "", fmt.Errorf("line %d: %w", l.n+1, err)
		}
		return "", io.ErrUnexpectedEOF
	}
	l.n++
	return l.s.Text(), nil
}

func (l *lines) number() (int64, error) {
	s, err := l.next()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("line %d: %q is not a number", l.n, s)
	}
	return int64(n), nil
}

func (l *lines) path() (profile.Path, error) {
	s, err := l.next()
	if err != nil {
		return "", err
	}
	p, err := profile.ParsePath(s)
	if err != nil {
		return "", fmt.Errorf("line %d: %w", l.n, err)
	}
	return p, nil
}

func parseText(r io.Reader) ([]*profile.Info, error) {
	l := &lines{s: bufio.NewScanner(r)}
	var infos []*profile.Info
	for l.s.Scan() {
		l.n++
		if l.s.Text() == "" && len(infos) > 0 { // jq ends its output with one
			continue
		}
		p, err := profile.ParsePath(l.s.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		}
		info, err := parseRecord(l, p)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("it ends within the record of %q: %w", p, err)
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	if err := l.s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", l.n+1, err)
	}
	return infos, nil
}

// parseRecord reads the record of p after the path. In the short form, the deriver takes the place of the hash.
func parseRecord(l *lines, p profile.Path) (*profile.Info, error) {
	info := &profile.Info{Path: p}
	second, err := l.next()
	if err != nil {
		return nil, err
	}
	deriver := second
	if second != "" && second[0] != '/' {
		if info.NarHash, err = profile.ParseHash(second); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		}
		if info.NarSize, err = l.number(); err != nil {
			return nil, err
		}
		if deriver, err = l.next(); err != nil {
			return nil, err
		}
	}
	if deriver != "" {
		if info.Deriver, err = profile.ParsePath(deriver); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		}
	}
	n, err := l.number()
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("line %d: %d references", l.n, n)
	}
	for range n {
		ref, err := l.path()
		if err != nil {
			return nil, err
		}
		info.References = append(info.References, ref)
	}
	return info, nil
}
