package scan

import (
	"bytes"

	"github.com/export-profile/export-profile/profile"
)

// Mention is the base name of a store path as a file has it. A reader cannot tell where the name ends if text follows it:
// the name is as long as its characters allow.
type Mention string

// Digest returns the 32 characters before the name.
func (m Mention) Digest() string { return string(m)[:digestLen] }

// Mentions is an io.Writer that finds store paths in its input by their form, even across writes:
// "/nix/store/" or another store directory, 32 digits of nix32, a dash and at least one character of a name. What precedes them does not matter.
//
// It skips placeholders, whose 32 characters are all the same. Other programs put them where a reference was:
// nuke-refs and remove-references-to write "e", which is no digit of nix32.
//
// Like [Finder], it finds nothing in compressed files, in upper case or in UTF-16.
// Unlike it, it does not find a digest that has no store directory before it.
type Mentions struct {
	prefix string // the store directory and a slash
	most   int    // bytes of a mention
	found  func(digest []byte, m func() Mention)
	tail   []byte // the last bytes written, less than most: what begins there was not looked at
}

// NewMentions returns a writer that calls found for each mention of an object in dir, in order.
// Digest holds the 32 characters, and is valid during the call. m makes the Mention.
func NewMentions(dir profile.StoreDir, found func(digest []byte, m func() Mention)) *Mentions {
	prefix := dir.String() + "/"
	most := len(prefix) + digestLen + 1 + profile.MaxNameLen
	return &Mentions{prefix: prefix, most: most, found: found, tail: make([]byte, 0, 2*most)}
}

// Write implements io.Writer. It never fails.
func (f *Mentions) Write(p []byte) (int, error) {
	kept := len(f.tail)
	if kept+len(p) < f.most {
		f.tail = append(f.tail, p...)
		return len(p), nil
	}
	seam := append(f.tail, p[:min(len(p), f.most)]...)
	if kept > 0 {
		f.scan(seam, min(kept, kept+len(p)-f.most+1))
	}
	if whole := len(p) - f.most + 1; whole > 0 {
		f.scan(p, whole)
		f.tail = append(f.tail[:0], p[whole:]...)
	} else { // p is short: the rest of the tail still waits
		f.tail = f.tail[:copy(seam, seam[len(seam)-f.most+1:])]
	}
	return len(p), nil
}

// End looks at the last bytes of a file. The next write begins another file.
func (f *Mentions) End() {
	f.scan(f.tail, len(f.tail))
	f.tail = f.tail[:0]
}

// scan finds the mentions that begin in b[:end].
func (f *Mentions) scan(b []byte, end int) {
	for i := 0; i < end; {
		n := bytes.Index(b[i:min(len(b), end+len(f.prefix)-1)], []byte(f.prefix))
		if n < 0 {
			return
		}
		rest := b[i+n+len(f.prefix):]
		i += n + len(f.prefix) - 1 // the last slash may begin another mention
		if isMention(rest) {
			f.found(rest[:digestLen], func() Mention { return mentionOf(rest) })
		}
	}
}

// isMention reports whether b begins with the base name of a store path that is no placeholder.
func isMention(b []byte) bool {
	if len(b) < digestLen+2 || b[digestLen] != '-' || !profile.IsNameByte(b[digestLen+1]) {
		return false
	}
	same := true
	for _, c := range b[:digestLen] {
		if !isDigit[c] {
			return false
		}
		same = same && c == b[0]
	}
	return !same
}

func mentionOf(b []byte) Mention {
	n := digestLen + 1
	for n < len(b) && n < digestLen+1+profile.MaxNameLen && profile.IsNameByte(b[n]) {
		n++
	}
	return Mention(b[:n])
}
