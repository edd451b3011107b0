package verify

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// Problem is one fault of an image.
type Problem struct {
	Image digest.Digest `json:"image,omitempty"` // of the manifest; empty for a problem of an index
	Layer int           `json:"layer,omitempty"` // counted from 1; 0 for an index, manifest or config
	Blob  string        `json:"blob,omitempty"`  // a digest, or the name of a file in a layout or archive
	Path  string        `json:"path,omitempty"`  // of an entry in the layer
	What  string        `json:"what"`
}

// String returns one line that says what is wrong and where.
// It has no control characters, whatever the image contains.
func (p Problem) String() string {
	var b strings.Builder
	if p.Layer > 0 {
		fmt.Fprintf(&b, "layer %d: ", p.Layer)
	}
	if p.Blob != "" {
		fmt.Fprintf(&b, "%s: ", quoteOdd(p.Blob))
	}
	if p.Path != "" {
		fmt.Fprintf(&b, "%s: ", quote(p.Path))
	}
	return b.String() + p.What
}

// maxQuoted limits the bytes of a name in a message.
const maxQuoted = 400

// quote quotes a name that comes from an image, and shortens it.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q…", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}

// quoteOdd quotes s only if it has characters that need an escape, or if it is too long.
func quoteOdd(s string) string {
	if q := quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// findings collects problems. It keeps the first ones and counts all.
type findings struct {
	limit int           // problems to keep
	more  *atomic.Int64 // how many more may be kept, in all findings that share it; nil for none
	list  []Problem
	count int
}

// keeps counts a problem and reports whether to keep it.
func (f *findings) keeps() bool {
	f.count++
	return len(f.list) < f.limit || f.more != nil && f.more.Load() > 0 && f.more.Add(-1) >= 0
}

func (f *findings) add(p Problem) {
	if f.keeps() {
		f.list = append(f.list, p)
	}
}

// addf adds a problem of a path in a layer. An empty path stands for the whole blob.
func (f *findings) addf(path, format string, args ...any) {
	if !f.keeps() {
		return
	}
	if len(path) > maxQuoted {
		path = path[:maxQuoted] + "…"
	}
	f.list = append(f.list, Problem{Path: path, What: fmt.Sprintf(format, args...)})
}
