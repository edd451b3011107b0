package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// around is the number of bytes to show on each side of a reference.
const around = 32

// findReferences finds the places in an object's files that have another object's hash: all of them, or the first.
// It spells them as nix why-depends --precise does.
func findReferences(ctx context.Context, store profile.Store, p, ref profile.Path, all bool) (hits []string, err error) {
	digest := []byte(ref.Digest())
	for e, err := range store.Files(ctx, p) {
		if err != nil {
			return hits, fmt.Errorf("read %q: %w", p, err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Path, p.Root()), "/")
		if name == "" {
			name = p.Base()
		}
		switch {
		case e.IsLink() && strings.Contains(e.Target, ref.Digest()):
			hits = append(hits, fmt.Sprintf("%s -> %s", printable([]byte(name)), printable([]byte(e.Target))))
		case e.IsRegular():
			context, err := firstAround(e, digest)
			if err != nil {
				return hits, fmt.Errorf("read %q: %w", "/"+e.Path, err)
			}
			if context != nil {
				hits = append(hits, fmt.Sprintf("%s: …%s…", printable([]byte(name)), printable(context)))
			}
		}
		if len(hits) > 0 && !all {
			return hits, nil
		}
	}
	return hits, nil
}

// firstAround finds the first place of a word in a file and returns it with the bytes around, or nil.
// It needs little memory, however large the file is.
func firstAround(e rootfs.Entry, word []byte) (_ []byte, err error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buf := make([]byte, 0, 64<<10)
	done := 0 // bytes of buf already searched, except a possible start of a match
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return nil, err
		}
		at := bytes.Index(buf[done:], word)
		if at >= 0 {
			at += done
			if end || len(buf) >= at+len(word)+around {
				return bytes.Clone(buf[max(0, at-around):min(len(buf), at+len(word)+around)]), nil
			}
			if len(buf) == cap(buf) { // no room for the bytes after it
				keep := max(0, at-around)
				buf = buf[:copy(buf, buf[keep:])]
				done = 0
			}
			continue
		}
		if end {
			return nil, nil
		}
		done = max(0, len(buf)-len(word)+1)
		if len(buf) == cap(buf) {
			keep := max(0, done-around)
			done -= keep
			buf = buf[:copy(buf, buf[keep:])]
		}
	}
}

// printable replaces every byte that is not printable ASCII by a dot.
func printable(b []byte) string {
	out := bytes.Clone(b)
	for i, c := range out {
		if c < ' ' || c > '~' {
			out[i] = '.'
		}
	}
	return string(out)
}
